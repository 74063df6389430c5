//! The board on which sources of processes that write one lake part their work, as the lake has it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ingest::{Board, Resume};
use sink::lake::{Lake, LakeOptions};

use super::resume_of;
use crate::report;

#[derive(Debug)]
pub struct LakeBoard(sink::lake::Board);

impl LakeBoard {
    /// Of a lake that is open.
    pub fn of(lake: &Lake, options: &LakeOptions) -> Arc<dyn Board> {
        Arc::new(Self(sink::lake::Board::new(lake.store().clone(), &options.lane)))
    }
}

#[async_trait]
impl Board for LakeBoard {
    fn lane(&self) -> &str {
        self.0.lane()
    }

    async fn newest(&self, name: &str) -> Result<Option<(u64, Bytes)>, String> {
        self.0.newest(name).await.map_err(|e| report::chain(&e))
    }

    async fn put(&self, name: &str, number: u64, sheet: Bytes) -> Result<bool, String> {
        self.0.put(name, number, sheet).await.map_err(|e| report::chain(&e))
    }

    async fn take_over(
        &self,
        lane: &str,
        source: &str,
    ) -> Result<HashMap<Arc<str>, Resume>, String> {
        let positions = self.0.take_over(lane).await.map_err(|e| report::chain(&e))?;
        Ok(resume_of(&positions, source))
    }
}
