use std::io::Cursor;

use super::*;
use crate::decode::tests::gzip;
use crate::testing::Lake;

fn source(bytes: &[u8]) -> Box<StdinSource> {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    Box::new(StdinSource::reading("t", StdinOptions::default(), input))
}

#[tokio::test]
async fn the_same_content_again_adds_nothing() {
    let lake = Lake::default();
    let text: String = (0..30_000).map(|i| format!("{{\"n\":{i}}}\n")).collect();
    let (records, summary) = lake.all(source(text.as_bytes())).await;
    assert_eq!((records.len(), summary.opened, summary.records), (30_000, 1, 30_000));
    for again in [text.clone().into_bytes(), gzip(text.as_bytes())] {
        let (records, summary) = lake.all(source(&again)).await;
        assert_eq!((records.len(), summary.read_before), (0, 1));
        assert_eq!(summary.read_before_names, ["-"]);
    }
    let (records, _) = lake.all(source(format!("{text}more\n").as_bytes())).await;
    assert_eq!(records, ["more"]);
    let other = text.replace("{\"n\":29999}", "{\"n\":99999}");
    let refused = lake.start(source(other.as_bytes())).end().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Position);
}

#[tokio::test]
async fn a_truncated_gzip_keeps_what_could_be_read() {
    let lake = Lake::default();
    let text: String = (0..50_000).map(|i| format!("{{\"n\":{i}}}\n")).collect();
    let mut packed = gzip(text.as_bytes());
    packed.truncate(packed.len() / 2);
    let (records, summary) = lake.all(source(&packed)).await;
    assert!(records.len() > 10_000, "{}", records.len());
    assert_eq!(summary.rejects, 1);
    let rejects = lake.rejects.lock().clone();
    assert!(rejects[0].0.contains("the gzip stream ends early (after "), "{}", rejects[0].0);
    let seen: usize = records.iter().map(|r| r.len() + 1).sum();
    assert!(text.as_bytes()[seen..].starts_with(&rejects[0].1), "the tail is kept");
}
