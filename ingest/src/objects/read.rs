//! Reading one object: from its beginning, or on from where it was left.

use super::body::{Body, Ended};
use super::reading::Reading;
use super::shelf::{Card, Found, Judged, Place, Stage};
use super::work::{Failure, Work};
use crate::error::{ErrorKind, SourceError};
use crate::framing::Frames;
use crate::ledger::LedgerError;
use crate::poll::source::now_ms;
use crate::stores::{Entry, Extent, Trouble};

impl Work {
    pub async fn read_key(&mut self, key: &str) -> Result<Option<Place>, Failure> {
        let found = self.found(self.store.head(key).await?);
        self.read(&found, true).await
    }

    pub fn grows(&self, key: &str) -> bool {
        self.setup.growing.as_ref().is_some_and(|end| key.ends_with(end.as_str()))
    }

    pub fn found(&self, entry: Entry) -> Found {
        let version = version(&entry);
        let Entry { key, size, changed_ms, .. } = entry;
        let grows = self.grows(&key);
        Found { key, version, size, changed_ms, grows }
    }

    /// Reads an object, or reads on; where its end is to be finished.
    pub async fn read(&mut self, found: &Found, is_told: bool) -> Result<Option<Place>, Failure> {
        let at = match self.shelf.judge(found) {
            Judged::Known(place) => {
                if is_told && !found.grows {
                    self.meter.repeated();
                }
                return Ok(place);
            }
            Judged::Late => {
                let told =
                    "grew after it was taken to be complete and forgotten; the rest is not read";
                return Err(Failure::Never(told.to_owned()));
            }
            Judged::Read(at) => at,
        };
        self.opened += 1;
        self.meter.age(now_ms() - found.changed_ms);
        self.read_slot(at, found, false).await?;
        let place = self.shelf.place(at);
        if !found.grows && self.shelf.retire(at, false, now_ms()) {
            self.remember(Frames::default()).await?;
        }
        Ok(Some(place))
    }

    pub async fn read_slot(
        &mut self,
        at: usize,
        found: &Found,
        closing: bool,
    ) -> Result<(), Failure> {
        let Some((card, read)) = self.shelf.card(at) else { return Ok(()) };
        let mut body = match self.body(at, found, read).await? {
            Some(body) => body,
            // Not the object that was read before.
            None => {
                tracing::warn!(source = %self.source, "{} was written anew", found.key);
                self.shelf.begin(at, found);
                return Box::pin(self.read_slot(at, found, closing)).await;
            }
        };
        let mut reading = Reading::new(card, read, &self.setup.framing, found.grows);
        (reading.card.version, reading.card.size) = (found.version.clone(), found.size);
        reading.card.changed_ms = found.changed_ms;
        reading.card.stage = Stage::Open;
        let mut broken = None;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => {
                    let bytes = reading.push(&chunk);
                    self.frame(at, &mut reading, &bytes).await?;
                }
                Err(Ended::Broken(reason)) => broken = Some(reason),
                Err(Ended::Away(words)) => {
                    return Err(Failure::Later(format!("{}: {words}", found.key)));
                }
            }
        }
        let rest = reading.before_end();
        self.frame(at, &mut reading, &rest).await?;
        if found.grows && !closing {
            return self.leave(at, reading).await;
        }
        while !reading.finish(broken.as_deref()) {
            self.emit(at, &mut reading, 0).await?;
        }
        reading.card.stage = if found.grows { Stage::Closed } else { Stage::Read };
        // The end is a position of its own, so that the state moves with it also when nothing was left.
        Ok(self.emit(at, &mut reading, 1).await?)
    }

    /// The body from where it was left; `None` when the bytes before that are others.
    async fn body(&self, at: usize, found: &Found, read: u64) -> Result<Option<Body>, Failure> {
        let etag = Some(found.version.clone()).filter(|version| !version.contains('/'));
        let tail = self.shelf.card(at).and_then(|(card, _)| card.tail).filter(|_| found.grows);
        let from = tail.map_or(if found.grows { read } else { 0 }, |tail| tail.from());
        if found.grows && from >= found.size {
            return Ok(Some(Body::plain(Box::pin(futures::stream::empty()))));
        }
        let upto = (from > 0).then_some(found.size);
        let (_, stream) = self.store.get(&found.key, Extent { from, upto, etag }).await?;
        if !found.grows {
            let is_flows = self.setup.framing.has_headers();
            return Ok(Some(Body::decoded(stream, read, is_flows)));
        }
        let mut body = Body::plain(stream);
        let Some(tail) = tail else { return Ok(Some(body)) };
        let skip = usize::try_from(read - from).unwrap_or(usize::MAX);
        let mut before = Vec::new();
        while before.len() < skip {
            match body.next().await {
                Some(Ok(chunk)) => before.extend_from_slice(&chunk),
                Some(Err(Ended::Away(words) | Ended::Broken(words))) => {
                    return Err(Failure::Later(words));
                }
                None => return Ok(None),
            }
        }
        if !tail.fits(&before[..tail.len as usize]) {
            return Ok(None);
        }
        body.put_back(before.split_off(skip));
        Ok(Some(body))
    }

    async fn frame(
        &mut self,
        at: usize,
        reading: &mut Reading,
        mut bytes: &[u8],
    ) -> Result<(), SourceError> {
        loop {
            let used = reading.frame(bytes);
            bytes = &bytes[used..];
            if reading.is_full() {
                self.emit(at, reading, 0).await?;
            } else if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// A growing object is read to where it ends now.
    async fn leave(&mut self, at: usize, mut reading: Reading) -> Result<(), Failure> {
        reading.card.stage = Stage::Read;
        let handed = self.shelf.card(at).map_or(0, |(_, read)| read);
        if reading.position() > handed {
            self.emit(at, &mut reading, 0).await?;
        } else {
            // A record that is not whole yet: read again with the rest of it.
            let card = reading.card();
            let framing = self.shelf.card(at).and_then(|(before, _)| before.framing);
            self.shelf.note(at, Card { framing, ..card });
        }
        Ok(())
    }

    async fn emit(
        &mut self,
        at: usize,
        reading: &mut Reading,
        end: u64,
    ) -> Result<(), SourceError> {
        let mut card = reading.card();
        let read = reading.position() + end;
        let span = self.shelf.span(at, card.clone(), read).map_err(|e| self.misfit(e))?;
        let batch = reading.take(span, &self.setup.log_type);
        if end > 0 && card.stage == Stage::Closed {
            // What should come after all begins behind the end.
            card.base += end;
            self.shelf.note(at, card);
        }
        self.send(batch).await
    }

    pub fn misfit(&self, error: LedgerError) -> SourceError {
        SourceError::new(&self.source, ErrorKind::Position, "spans do not touch").because(error)
    }
}

/// What tells this content of the object from others.
pub(super) fn version(entry: &Entry) -> String {
    let Entry { etag, changed_ms, size, .. } = entry;
    etag.clone().unwrap_or_else(|| format!("{changed_ms}/{size}"))
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Gone(words) => Self::Never(words),
            Trouble::Refused(words) => Self::Later(words),
        }
    }
}
