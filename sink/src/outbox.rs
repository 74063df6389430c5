//! The durable queue between detection and destinations: the queue is a database file.
//!
//! An alert is inserted once by its `alert_id`, however often a redo, replay or backfill offers it
//! again; per alert and destination one [`Delivery`] says where it stands. Nothing is dropped
//! because anything is full: the bound is the disk, and a failed insert is an error that the caller
//! must not acknowledge over.
//!
//! **Crash between send and record.** A delivery is claimed durably before it is sent and recorded
//! afterwards. After a crash the claimed ones are sent again with [`Delivery::maybe_sent`] set, and
//! the destination's own dedup (idempotency key, id in the file) or a remark in the message makes
//! that harmless. One crash can repeat at most the deliveries that were in flight.
//!
//! **Retention.** [`Retention`]: the bodies of alerts that have no open delivery go after a time;
//! their ids stay longer, so that a late redo still adds nothing. Parked alerts stay as long as the
//! ids, pending ones for ever.
//!
//! Several processes may have the file open (`mantissa alerts list` beside a running program); only
//! one may dispatch, see [`Outbox::lock_dispatch`]. Calls block on the disk: not for async tasks.
//! This module knows no clock and no network.

mod delivery;
mod error;
mod read;
mod window;
mod write;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use event::AlertId;
use redb::{
    ConcurrencyMode, Database, ReadTransaction, ReadableDatabase as _, StorageError,
    TableDefinition, TransactionError, WriteTransaction,
};

pub use delivery::{Claim, Delivery, Entry, Filter, Routed, State, StateName, Suppress};
pub use error::{Error, ErrorKind};
pub use write::Retention;

type Id = [u8; 16];

/// Every id ever inserted, with the time of its detection in nanoseconds.
const IDS: TableDefinition<'_, &Id, i64> = TableDefinition::new("ids");
/// Oldest ids first, for retention.
const IDS_BY_TIME: TableDefinition<'_, (i64, &Id), ()> = TableDefinition::new("ids_by_time");
/// The alert as JSON.
const ALERTS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("alerts");
/// The alerts of [`ALERTS`] by time of detection.
const ALERTS_BY_TIME: TableDefinition<'_, (i64, &Id), ()> = TableDefinition::new("alerts_by_time");
/// Not yet routed, in the order of insertion.
const UNROUTED: TableDefinition<'_, u64, &Id> = TableDefinition::new("unrouted");
/// A [`Delivery`] as JSON by alert and destination.
const DELIVERIES: TableDefinition<'_, (&Id, &str), &[u8]> = TableDefinition::new("deliveries");
/// Pending deliveries by destination and time of the next attempt.
const DUE: TableDefinition<'_, (&str, i64, &Id), ()> = TableDefinition::new("due");
/// Claimed and not recorded.
const IN_FLIGHT: TableDefinition<'_, (&str, &Id), ()> = TableDefinition::new("in_flight");
/// A [`window::Window`] as JSON by destination and dedup key.
const WINDOWS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("windows");

/// The alerts on their way out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// Replaced when a failure of the disk has made it useless, see [`Outbox::reopen`].
    database: Arc<RwLock<Arc<Database>>>,
    path: Arc<Path>,
}

/// The right to dispatch from this outbox; given back when dropped or when the process ends.
#[derive(Debug)]
pub struct DispatchLock {
    _file: File,
}

impl Outbox {
    /// Opens the file, or creates it readable by its owner only: alerts in it are not redacted.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        drop(options.open(path).map_err(|e| Error::open(path, e))?);
        let database = Arc::new(RwLock::new(Arc::new(database(path)?)));
        let outbox = Self { database, path: path.into() };
        outbox.create_tables()?;
        Ok(outbox)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the right to dispatch. Fails with [`ErrorKind::Locked`] while another process has it.
    pub fn lock_dispatch(&self) -> Result<DispatchLock, Error> {
        let mut path = PathBuf::from(&*self.path).into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::open(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(DispatchLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::locked(&path)),
            Err(std::fs::TryLockError::Error(e)) => Err(Error::open(&path, e)),
        }
    }

    fn begin_write(&self) -> Result<WriteTransaction, Error> {
        let database = self.database();
        match database.begin_write() {
            Err(TransactionError::Storage(StorageError::PreviousIo)) => {
                Ok(self.reopen(&database)?.begin_write()?)
            }
            begun => Ok(begun?),
        }
    }

    fn begin_read(&self) -> Result<ReadTransaction, Error> {
        let database = self.database();
        match database.begin_read() {
            Err(TransactionError::Storage(StorageError::PreviousIo)) => {
                Ok(self.reopen(&database)?.begin_read()?)
            }
            begun => Ok(begun?),
        }
    }

    fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// After the first failed write (a full disk) a handle refuses everything, for ever. The file is
    /// as its last commit left it, so a new handle goes on from there once the disk allows it.
    fn reopen(&self, broken: &Arc<Database>) -> Result<Arc<Database>, Error> {
        let mut current = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, broken) {
            *current = Arc::new(database(&self.path)?);
        }
        Ok(Arc::clone(&current))
    }

    fn create_tables(&self) -> Result<(), Error> {
        let write = self.begin_write()?;
        write.open_table(IDS)?;
        write.open_table(IDS_BY_TIME)?;
        write.open_table(ALERTS)?;
        write.open_table(ALERTS_BY_TIME)?;
        write.open_table(UNROUTED)?;
        write.open_table(DELIVERIES)?;
        write.open_table(DUE)?;
        write.open_table(IN_FLIGHT)?;
        write.open_table(WINDOWS)?;
        write.commit()?;
        Ok(())
    }
}

fn database(path: &Path) -> Result<Database, Error> {
    Database::builder()
        .set_concurrency_mode(ConcurrencyMode::MultiWriter)
        .create(path)
        .map_err(|e| Error::open(path, redb::Error::from(e)))
}

fn key_of(id: &AlertId) -> &Id {
    &id.0.0
}

fn id_of(key: &Id) -> AlertId {
    AlertId(event::Uid(*key))
}

#[cfg(test)]
mod tests;
