//! Listings as stores write them, and stores that refuse.

use super::*;
use crate::testing::front::{Fate, front};

/// Sends requests as they are.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Proof for Nobody {
    async fn sign(&self, _: &mut Request) -> Result<(), String> {
        Ok(())
    }
}

fn store(url: &str) -> Arc<Store> {
    let client = client(None, None).unwrap();
    Arc::new(Store::new(client, Dialect::S3, format!("{url}/bucket"), Arc::new(Nobody)))
}

fn contents(key: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2026-03-01T12:00:00.000Z</LastModified>\
         <ETag>&quot;e&quot;</ETag><Size>5</Size></Contents>"
    )
}

fn listed(inner: &str) -> String {
    format!("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\">{inner}</ListBucketResult>")
}

fn entry_of(key: &str) -> Entry {
    let (etag, changed_ms) = (Some("\"e\"".to_owned()), 1_772_366_400_000);
    Entry { key: key.to_owned(), etag, size: 5, changed_ms }
}

#[test]
fn a_page_of_s3_is_read_with_and_without_its_encoding() {
    let folder = "<CommonPrefixes><Prefix>a%2F/</Prefix></CommonPrefixes>";
    let next = "<IsTruncated>true</IsTruncated><NextContinuationToken>t=</NextContinuationToken>";
    let inner = format!("{}{folder}{next}", contents("a+b%2Bc//&amp;"));
    let page = Dialect::S3.page(&listed(&inner)).unwrap();
    let expected = (vec![entry_of("a+b%2Bc//&")], vec!["a%2F/".to_owned()], Some("t=".to_owned()));
    assert_eq!((page.entries, page.folders, page.next), expected);
    let url = format!("<EncodingType>url</EncodingType><Prefix></Prefix>{inner}");
    let page = Dialect::S3.page(&listed(&url)).unwrap();
    assert_eq!((page.entries, page.folders), (vec![entry_of("a b+c//&")], vec!["a//".to_owned()]));
    let first = Listing { prefix: "a b/", folders: true, after: None };
    assert_eq!(
        Dialect::S3.listing(first),
        "delimiter=%2F&encoding-type=url&list-type=2&prefix=a%20b%2F"
    );
}

#[test]
fn a_page_of_azure_is_read() {
    let blob = |name: &str| {
        format!(
            "<Blob><Name{name}</Name><Properties><Last-Modified>Sun, 01 Mar 2026 12:00:00 GMT\
             </Last-Modified><Etag>\"e\"</Etag><Content-Length>5</Content-Length></Properties></Blob>"
        )
    };
    let xml = format!(
        "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ServiceEndpoint=\"x\" ContainerName=\"c\">\
         <Blobs>{}{}<BlobPrefix><Name>a//</Name></BlobPrefix></Blobs><NextMarker />\
         </EnumerationResults>",
        blob(">a%2F+&lt;"),
        blob(" Encoded=\"true\">b%EF%BF%BE+")
    );
    let page = Dialect::Azure.page(&xml).unwrap();
    assert_eq!(page.entries, [entry_of("a%2F+<"), entry_of("b\u{fffe}+")]);
    assert_eq!((page.folders, page.next), (vec!["a//".to_owned()], None));
}

#[test]
fn a_page_that_cannot_be_understood_leaves_nothing_out_silently() {
    let no_size = contents("a").replace("Size", "Length");
    for xml in [
        "",
        "<html>hello</html>",
        "<ListBucketResult><Contents>",
        &listed(&format!("{}{no_size}", contents("b"))),
        &listed(&contents("a").replace("2026", "soon")),
        &listed("<IsTruncated>true</IsTruncated>"),
    ] {
        assert!(Dialect::S3.page(xml).is_err(), "{xml}");
    }
    assert_eq!(Dialect::S3.page(&listed("<IsTruncated>false</IsTruncated>")), Ok(Page::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_whole_or_an_error() {
    let is_away = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let away = is_away.clone();
    let url = front("http://127.0.0.1:1", move |asked| {
        let next = |token: &str| format!("<NextContinuationToken>{token}</NextContinuationToken>");
        let after = asked.path.split_once("continuation-token=").map(|(_, token)| &token[..2]);
        match after {
            // The first page is there when it is asked for once more.
            None if asked.before == 0 => {
                Fate::Answer(503, "<Error><Code>SlowDown</Code></Error>".to_owned())
            }
            None => Fate::Answer(200, listed(&format!("{}{}", contents("//a"), next("t1")))),
            // A page without objects is not the end.
            Some("t1") => Fate::Answer(200, listed(&next("t2"))),
            Some(_) if away.load(std::sync::atomic::Ordering::Relaxed) => {
                let said = "<Error><Code>AccessDenied</Code><Message>no\nhunter2</Message></Error>";
                Fate::Answer(403, said.to_owned())
            }
            Some(_) => Fate::Answer(200, listed(&contents("b"))),
        }
    });
    let failed = store(&url).entries(String::new()).try_collect::<Vec<_>>().await.unwrap_err();
    let words = "the credential lacks s3:GetObject (or s3:ListBucket, or kms:Decrypt) on bucket: \
                 AccessDenied: no";
    assert_eq!(failed, Trouble::Refused(words.to_owned()));
    is_away.store(false, std::sync::atomic::Ordering::Relaxed);
    let found = store(&url).entries(String::new()).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(found, [entry_of("//a"), entry_of("b")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_gives_no_parts_is_not_taken_for_one_that_does() {
    let url = front("http://127.0.0.1:1", |_| Fate::Answer(200, "whole".to_owned()));
    let extent = Extent { from: 2, ..Extent::default() };
    let Err(trouble) = store(&url).get("a", extent).await else {
        panic!("read from its beginning")
    };
    assert!(trouble.words().contains("parts"), "{trouble:?}");
}

#[test]
fn a_store_says_how_long_it_wants_to_be_left_alone() {
    assert_eq!(wait(" 7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("Tue, 21 Aug 2012 17:29:18 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("soon"), None);
}
