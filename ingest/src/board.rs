//! What sources of processes that write one lake tell each other, so that they can part their work.
//!
//! The program gives the board; where it stands is the lake's. It is for who reads what. What *was* read is in the
//! lake alone, and who relieves another process is told by [`Board::take_over`].

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::source::Resume;

/// A board of numbered sheets, of which the newest says everything.
#[async_trait]
pub trait Board: std::fmt::Debug + Send + Sync + 'static {
    /// The lane of this process: its name among the others, also after a restart.
    fn lane(&self) -> &str;

    /// The newest sheet of that name, with its number. Fails in words.
    async fn newest(&self, name: &str) -> Result<Option<(u64, Bytes)>, String>;

    /// Puts a sheet; false when there is one of that number. Fails in words; then nobody knows whether it was put.
    async fn put(&self, name: &str, number: u64, sheet: Bytes) -> Result<bool, String>;

    /// Ends what the process of a lane had under way: from then on it can commit nothing more, until it is started
    /// anew. Where the partitions of that source stand there, by partition. Fails in words.
    async fn take_over(
        &self,
        lane: &str,
        source: &str,
    ) -> Result<HashMap<std::sync::Arc<str>, Resume>, String>;
}
