//! What differs between stores: how a listing is asked for and written, how parts are asked for, what refusals
//! mean.
//!
//! - S3: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
//! - Cloud Storage, by the interface that it has in common with S3:
//!   <https://cloud.google.com/storage/docs/xml-api/get-bucket-list>
//! - Azure: <https://learn.microsoft.com/rest/api/storageservices/list-blobs>

use super::names::decoded;
use super::xml::{elements, text, unescaped};
use super::{Entry, Extent, Listing, Page, Trouble};
use crate::poll::request::{Request, encode};
use crate::poll::when::{Form, read_http_date};

/// The first version that encodes names which XML cannot hold.
const AZURE_VERSION: &str = "2021-02-12";

/// How a store is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    S3,
    Google,
    Azure,
}

impl Dialect {
    /// What every request says.
    pub(super) fn introduce(self, request: &mut Request) {
        if self == Self::Azure {
            request.header("x-ms-version", AZURE_VERSION);
        }
    }

    /// What a request for an object says.
    pub(super) fn want(self, request: &mut Request) {
        if self == Self::Google {
            // Else an object that is stored compressed would be decompressed there, and never given in parts.
            request.header("accept-encoding", "gzip");
        }
    }

    /// The query for a page, in the order of its names.
    pub(super) fn listing(self, listing: Listing<'_>) -> String {
        let delimiter = listing.folders.then_some("/");
        let prefix = Some(listing.prefix).filter(|prefix| !prefix.is_empty());
        let pairs = match self {
            Self::Azure => vec![
                ("comp", Some("list")),
                ("delimiter", delimiter),
                ("marker", listing.after),
                ("prefix", prefix),
                ("restype", Some("container")),
            ],
            Self::S3 | Self::Google => vec![
                ("continuation-token", listing.after),
                ("delimiter", delimiter),
                // Names may hold what XML cannot.
                ("encoding-type", Some("url")),
                ("list-type", Some("2")),
                ("prefix", prefix),
            ],
        };
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        pairs.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
    }

    /// A page as it is written. Fails in words rather than leave an object out.
    pub(super) fn page(self, xml: &str) -> Result<Page, String> {
        let (root, next) = match self {
            Self::Azure => ("EnumerationResults", "NextMarker"),
            Self::S3 | Self::Google => ("ListBucketResult", "NextContinuationToken"),
        };
        if elements(xml, root).is_empty() {
            return Err("the listing cannot be understood, or broke off".to_owned());
        }
        let next = text(xml, next).filter(|next| !next.is_empty());
        if next.is_none() && text(xml, "IsTruncated").is_some_and(|is| is == "true") {
            return Err("the listing goes on, and does not say where".to_owned());
        }
        let (entries, folders) = match self {
            Self::Azure => ("Blob", "BlobPrefix"),
            Self::S3 | Self::Google => ("Contents", "CommonPrefixes"),
        };
        // Some that speak as S3 does know nothing of the encoding.
        let is_url = text(xml, "EncodingType").is_some_and(|kind| kind == "url");
        let entry = |xml: &str| {
            let told = || "the listing has an object that cannot be understood".to_owned();
            self.entry(xml, is_url).ok_or_else(told)
        };
        let entries = elements(xml, entries).into_iter().map(|found| entry(found.content));
        let folders =
            elements(xml, folders).into_iter().filter_map(|found| self.name(found.content, is_url));
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, folders: folders.collect(), next })
    }

    fn entry(self, xml: &str, is_url: bool) -> Option<Entry> {
        let (etag, size, changed) = match self {
            Self::Azure => ("Etag", "Content-Length", "Last-Modified"),
            Self::S3 | Self::Google => ("ETag", "Size", "LastModified"),
        };
        let changed = text(xml, changed)?;
        let changed_ms = match self {
            Self::Azure => read_http_date(&changed)?,
            Self::S3 | Self::Google => Form::Rfc3339.read(&changed)?,
        };
        let key = self.name(xml, is_url)?;
        Some(Entry { key, etag: text(xml, etag), size: text(xml, size)?.parse().ok()?, changed_ms })
    }

    /// The name of an object or a folder.
    fn name(self, xml: &str, is_url: bool) -> Option<String> {
        if self == Self::Azure {
            let name = *elements(xml, "Name").first()?;
            let text = unescaped(name.content);
            let is_encoded = name.attributes.contains("Encoded=\"true\"");
            return Some(if is_encoded { decoded(&text, false) } else { text.into_owned() });
        }
        let name = text(xml, "Key").or_else(|| text(xml, "Prefix"))?;
        Some(if is_url { decoded(&name, true) } else { name })
    }

    /// Asks for some of an object, or only for this content.
    pub(super) fn narrow(self, request: &mut Request, extent: &Extent) {
        let range = if self == Self::Azure { "x-ms-range" } else { "range" };
        match extent.upto {
            Some(upto) => {
                let last = upto.saturating_sub(1);
                request.header(range, format!("bytes={}-{last}", extent.from));
            }
            None if extent.from > 0 => request.header(range, format!("bytes={}-", extent.from)),
            None => {}
        }
        if let Some(etag) = &extent.etag {
            let is_quoted = etag.starts_with('"') || etag.starts_with("W/");
            let quoted = if is_quoted { etag.clone() } else { format!("\"{etag}\"") };
            request.header("if-match", quoted);
        }
    }

    /// What a refusal means.
    pub(super) fn judge(self, status: u16, code: &str, said: &str, name: &str) -> Trouble {
        let (kind, needs) = match self {
            Self::S3 => ("bucket", "s3:GetObject (or s3:ListBucket, or kms:Decrypt)"),
            Self::Google => ("bucket", "storage.objects.get (or storage.objects.list)"),
            Self::Azure => ("container", "the role Storage Blob Data Reader"),
        };
        match (status, code) {
            (404, "NoSuchBucket" | "ContainerNotFound") => {
                Trouble::Refused(format!("there is no {kind} {name}"))
            }
            (404, _) => Trouble::Gone("it is not there any more".to_owned()),
            // S3's word for Glacier, Azure's for its tier.
            (_, "InvalidObjectState" | "BlobArchived") => Trouble::Gone(
                "it is archived, and must be restored before it can be read".to_owned(),
            ),
            (401 | 403, _) => {
                Trouble::Refused(format!("the credential lacks {needs} on {name}: {said}"))
            }
            (412, _) => Trouble::Refused("it was written while it was read".to_owned()),
            _ if said.is_empty() => Trouble::Refused(format!("status {status}")),
            _ => Trouble::Refused(format!("status {status}: {said}")),
        }
    }
}
