//! Objects: found by looking, read, and done with.

use futures::TryStreamExt as _;
use tokio::sync::mpsc;

use super::{Answer, Wanted, Work};
use crate::aws_s3::ListingOptions;
use crate::aws_s3::listing::{self, Look, Looked};
use crate::aws_s3::notice::Announced;
use crate::aws_s3::read::{News, named};
use crate::aws_s3::shelf::Standing as Known;
use crate::aws_s3::store::Stores;
use crate::error::SourceError;
use crate::poll::source::now_ms;
use crate::stores::Trouble;

impl Work {
    pub(super) fn begin_look(&mut self, listing: ListingOptions) {
        let began_ms = now_ms();
        let last = self.shelf.also().and_then(|text| serde_json::from_str(text).ok());
        let since_ms = Looked::since_ms(last, &listing, began_ms);
        self.look = Some(Look { began_ms, ..Look::default() });
        let (stores, found) = (self.reader.stores.clone(), self.listed.0.clone());
        self.answers.push(Box::pin(async move {
            let mut listed = Ok(());
            for prefix in listing::prefixes(&listing, since_ms, began_ms) {
                let one = list(&stores, &listing.bucket, &prefix, since_ms, &found).await;
                listed = listed.and(one);
            }
            Answer::Listed(began_ms, listed)
        }));
    }

    /// Whether an object was read with the content that is announced.
    pub(super) fn is_known(&self, announced: &Announced) -> bool {
        let Announced { bucket, key, etag, .. } = announced;
        let id = etag.as_ref().map(|etag| named(bucket, key, etag).id());
        id.is_some_and(|id| self.shelf.standing(&id) == Known::Done)
    }

    pub(super) fn found(&mut self, announced: Announced) {
        if !self.options.wants(&announced.key) || self.is_known(&announced) {
            return;
        }
        if let Some(look) = &mut self.look {
            look.left += 1;
            self.waiting.push_back(Wanted { announced, message: None });
        }
    }

    pub(super) fn hear(&mut self, number: u64, news: News) -> Result<(), SourceError> {
        match news {
            News::Opened(object, answer) => {
                let id = object.id();
                let begin = match self.shelf.standing(&id) {
                    Known::Done => None,
                    _ if self.open.contains_key(&id) => None,
                    Known::New => Some(None),
                    Known::Begun(mark) => Some(Some(mark)),
                };
                match begin {
                    None => self.reader.meter.repeated(),
                    Some(_) => {
                        self.open.insert(id, number);
                        self.summary.opened += 1;
                    }
                }
                // It is gone only when the whole source is.
                let _ = answer.send(begin);
                Ok(())
            }
            News::Piece(object, batch, mark) => {
                let is_last = mark.is_none();
                let batches = self.shelf.piece(&object, *batch, mark, now_ms());
                self.emit(batches)?;
                if is_last { self.read_to_end(number, None) } else { Ok(()) }
            }
            News::Skipped => self.read_to_end(number, None),
            News::Trouble(trouble) => self.read_to_end(number, Some(trouble)),
        }
    }

    /// An object is done with, well or not.
    fn read_to_end(&mut self, number: u64, trouble: Option<Trouble>) -> Result<(), SourceError> {
        self.open.retain(|_, reading| *reading != number);
        let Some(wanted) = self.reading.remove(&number) else { return Ok(()) };
        let Announced { bucket, key, .. } = &wanted.announced;
        let has_failed = matches!(trouble, Some(Trouble::Refused(_)));
        match trouble {
            Some(Trouble::Gone(words)) => {
                let url = format!("s3://{bucket}/{key}");
                let batches = self.shelf.reject(format!("{url}: {words}"), url.into_bytes());
                self.emit(batches)?;
            }
            Some(Trouble::Refused(words)) => self.fail(&format!("s3://{bucket}/{key}: {words}")),
            None => {}
        }
        match wanted.message {
            Some(id) => self.inbox.read(&id, self.shelf.upto(), has_failed),
            None => {
                if let Some(look) = &mut self.look {
                    look.left = look.left.saturating_sub(1);
                    look.has_failed |= has_failed;
                }
                self.end_look()?;
            }
        }
        self.settle();
        Ok(())
    }

    /// When everything that a look found was read: so much is behind us.
    pub(super) fn end_look(&mut self) -> Result<(), SourceError> {
        let Some(look) = self.look.take_if(|look| look.is_listed && look.left == 0) else {
            return Ok(());
        };
        let Some(listing) = self.options.listing.as_ref().filter(|_| !look.has_failed) else {
            return Ok(());
        };
        let looked = Looked { began_ms: look.began_ms };
        // Twice as far as the next look goes back.
        let kept_ms = look.began_ms - Looked::since_ms(Some(looked), listing, look.began_ms);
        self.shelf.forget_before(look.began_ms - 2 * kept_ms);
        self.has_looked = true;
        self.reader.meter.read_to(looked.began_ms);
        let batches = self.shelf.note(serde_json::to_string(&looked).unwrap_or_default());
        self.emit(batches)
    }
}

/// Hands over what was written below a prefix since that time.
async fn list(
    stores: &Stores,
    bucket: &str,
    prefix: &str,
    since_ms: i64,
    found: &mpsc::Sender<Announced>,
) -> Result<(), Trouble> {
    let mut listed = stores.bucket(bucket, None).entries(prefix.to_owned());
    while let Some(entry) = listed.try_next().await? {
        if entry.changed_ms < since_ms || entry.is_folder() {
            continue;
        }
        let (bucket, region) = (bucket.to_owned(), None);
        let announced = Announced { bucket, key: entry.key, etag: entry.etag, region };
        if found.send(announced).await.is_err() {
            break;
        }
    }
    Ok(())
}
