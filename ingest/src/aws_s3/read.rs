//! One object on its way: asked for, judged by who knows what was read before, and read.

use std::sync::Arc;

use event::{Batch, LogType};
use tokio::sync::{mpsc, oneshot};

use super::body::{self, Job, Piece};
use super::notice::Announced;
use super::shelf::{Mark, Object};
use super::store::Stores;
use crate::framing::Options;
use crate::meter::Meter;
use crate::stores::Trouble;

/// What is heard of an object while it is read.
pub(super) enum News {
    /// It is there with this content. The answer is where to begin, `None`: not at all.
    Opened(Object, oneshot::Sender<Option<Option<Mark>>>),
    /// Records, and where the next begin; `None`: they were the last.
    Piece(Object, Box<Batch>, Option<Mark>),
    /// It ended without more to read.
    Skipped,
    /// It cannot be had.
    Trouble(Trouble),
}

/// What every object of a source is read with.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub source: Arc<str>,
    pub log_type: LogType,
    pub framing: Options,
    pub meter: Meter,
    pub stores: Arc<Stores>,
}

impl Reader {
    /// Reads an object. Tells of everything under its number; the last news are [`News::Piece`] without a
    /// mark, [`News::Skipped`] or [`News::Trouble`].
    pub async fn read(self, number: u64, wanted: Announced, news: mpsc::Sender<(u64, News)>) {
        if let Err(last) = self.follow(number, &wanted, &news).await {
            // Nobody hears it when the source is stopping.
            let _ = news.send((number, last)).await;
        }
    }

    async fn follow(
        self,
        number: u64,
        wanted: &Announced,
        news: &mpsc::Sender<(u64, News)>,
    ) -> Result<(), News> {
        let Announced { bucket, key, region, .. } = wanted;
        let got = self.stores.get(bucket, key, region.as_deref()).await;
        let (entry, chunks) = got.map_err(News::Trouble)?;
        let object = named(bucket, key, entry.etag.as_deref().unwrap_or_default());
        let (answer, answered) = oneshot::channel();
        let opened = (number, News::Opened(object.clone(), answer));
        news.send(opened).await.map_err(|_| News::Skipped)?;
        let mark = answered.await.unwrap_or_default().ok_or(News::Skipped)?;
        let job = Job {
            source: self.source,
            origin: object.origin(),
            log_type: self.log_type,
            framing: self.framing,
            mark,
            meter: self.meter,
        };
        let (sender, mut pieces) = mpsc::channel(2);
        let reading = body::read(job, chunks, sender);
        let forward = async {
            while let Some(piece) = pieces.recv().await {
                let piece = match piece {
                    Piece::Framed(batch, mark) => News::Piece(object.clone(), batch, mark),
                    Piece::Failed(error) => News::Trouble(Trouble::Refused(error.to_string())),
                };
                if news.send((number, piece)).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(reading, forward);
        Ok(())
    }
}

/// An object with this content.
pub(super) fn named(bucket: &str, key: &str, etag: &str) -> Object {
    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    Object { url: format!("s3://{bucket}/{key}"), etag }
}
