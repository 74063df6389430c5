//! Calls over the socket: gRPC by HTTP/2
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::path::Path;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};

/// An answer must begin after this time; events may take for ever.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A flag and a length before each message.
const PREFIX_BYTES: usize = 5;

/// Why a call gives nothing (more).
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer in {} s", ANSWER_MAX.as_secs())]
    Late,
    #[error("status {0}")]
    Status(u16),
    /// A status of gRPC and what it says.
    #[error("refused with {0}: {1}")]
    Refused(String, String),
    #[error("an answer that is no message")]
    Form,
    #[error("the stream has ended")]
    Ended,
    #[error("{0}")]
    Lost(String),
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

pub(super) struct Grpc {
    client: reqwest::Client,
    message_bytes_max: usize,
}

impl Grpc {
    pub fn new(socket: &Path, message_bytes_max: usize) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().unix_socket(socket).no_proxy();
        Ok(Self { client: client.http2_prior_knowledge().build()?, message_bytes_max })
    }

    /// Calls a method, `package.Service/Method`.
    pub async fn call(
        &self,
        method: &str,
        namespace: Option<&str>,
        request: &[u8],
    ) -> Result<Messages, Trouble> {
        let length = u32::try_from(request.len()).map_err(|_| Trouble::Form)?;
        let body = [&[0][..], &length.to_be_bytes(), request].concat();
        let mut call = self.client.post(format!("http://containerd/{method}"));
        call = call.header("content-type", "application/grpc").header("te", "trailers");
        if let Some(namespace) = namespace {
            call = call.header("containerd-namespace", namespace);
        }
        let answer = tokio::time::timeout(ANSWER_MAX, call.body(body).send());
        let answer = answer.await.map_err(|_| Trouble::Late)??;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        match (answer.status().as_u16(), header("grpc-status")) {
            (200, None | Some("0")) => {}
            (200, Some(status)) => {
                let said = header("grpc-message").unwrap_or_default();
                return Err(Trouble::Refused(status.to_owned(), said.to_owned()));
            }
            (status, _) => return Err(Trouble::Status(status)),
        }
        Ok(Messages { answer, open: BytesMut::new(), max: self.message_bytes_max, passing: 0 })
    }

    /// The one message that a method answers.
    pub async fn ask(
        &self,
        method: &str,
        namespace: &str,
        request: &[u8],
    ) -> Result<Bytes, Trouble> {
        let asked = async {
            let mut answer = self.call(method, Some(namespace), request).await?;
            match answer.next().await? {
                Some(Ok(message)) => Ok(message),
                Some(Err(_)) => Err(Trouble::Lost("the answer is too long".to_owned())),
                None => Err(Trouble::Ended),
            }
        };
        tokio::time::timeout(ANSWER_MAX, asked).await.map_err(|_| Trouble::Late)?
    }
}

/// The messages of an answer.
pub(super) struct Messages {
    answer: reqwest::Response,
    open: BytesMut,
    max: usize,
    /// Bytes still to come of a message that is too long.
    passing: usize,
}

impl Messages {
    /// The next one; the beginning of one that is too long is an `Err`. `None`: there are no more. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Result<Option<Result<Bytes, Bytes>>, Trouble> {
        loop {
            let passed = self.passing.min(self.open.len());
            self.open.advance(passed);
            self.passing -= passed;
            if let Some((flag, length)) = self.head().filter(|_| self.passing == 0) {
                // Nobody asked for compression.
                if flag != 0 {
                    return Err(Trouble::Form);
                }
                if length > self.max && self.open.len() >= PREFIX_BYTES + self.max {
                    self.open.advance(PREFIX_BYTES);
                    self.passing = length - self.max;
                    return Ok(Some(Err(self.open.split_to(self.max).freeze())));
                }
                if self.open.len() >= PREFIX_BYTES + length {
                    self.open.advance(PREFIX_BYTES);
                    return Ok(Some(Ok(self.open.split_to(length).freeze())));
                }
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.open.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    fn head(&self) -> Option<(u8, usize)> {
        let (flag, rest) = self.open.split_first()?;
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        Some((*flag, usize::try_from(length).ok()?))
    }
}
