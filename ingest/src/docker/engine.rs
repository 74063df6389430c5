//! The engine's API over its socket: events line by line, and what a container is.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::lines::{Broken, Lines};

/// An answer must begin after this time; events may take for ever.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const INSPECT_BYTES_MAX: usize = 4 << 20;

/// Why the engine gives nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer in {} s", ANSWER_MAX.as_secs())]
    Late,
    #[error("status {0}")]
    Status(u16),
    #[error("the stream has ended")]
    Ended,
    #[error("{0}")]
    Lost(String),
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Lost(error) => error.into(),
            silent @ Broken::Silent(_) => Self::Lost(silent.to_string()),
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        // The innermost cause says what happened: permission denied, no such file.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Self::Lost(cause.to_string())
    }
}

pub(super) struct Engine {
    client: reqwest::Client,
    line_bytes_max: usize,
}

impl Engine {
    pub fn new(socket: &Path, line_bytes_max: usize) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().unix_socket(socket).no_proxy().build()?;
        Ok(Self { client, line_bytes_max })
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<reqwest::Response, Trouble> {
        let request = self.client.get(format!("http://engine{path}")).query(query).send();
        let answer =
            tokio::time::timeout(ANSWER_MAX, request).await.map_err(|_| Trouble::Late)??;
        match answer.status().as_u16() {
            200 => Ok(answer),
            status => Err(Trouble::Status(status)),
        }
    }

    /// Events from a time on; to their end when `until` is given.
    pub async fn events(&self, since: &str, until: Option<&str>) -> Result<Lines, Trouble> {
        let mut query = vec![("since", since)];
        query.extend(until.map(|until| ("until", until)));
        let answer = self.get("/events", &query).await?;
        Ok(Lines::new(answer, self.line_bytes_max, None))
    }

    /// What the engine says of a container; a failure in words.
    pub async fn inspect(&self, id: &str) -> Result<Value, String> {
        let read = async {
            let mut answer = self.get(&format!("/containers/{id}/json"), &[]).await?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > INSPECT_BYTES_MAX {
                    return Err(Trouble::Lost("the answer is too long".to_owned()));
                }
            }
            serde_json::from_slice(&body).map_err(|_| Trouble::Lost("no JSON".to_owned()))
        };
        let read = tokio::time::timeout(ANSWER_MAX, read).await;
        read.unwrap_or(Err(Trouble::Late)).map_err(|trouble| trouble.to_string())
    }
}
