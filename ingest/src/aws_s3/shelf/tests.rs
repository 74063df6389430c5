//! Objects in pieces over restarts, also when they are announced again, and when their body breaks off.

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::aws_s3::body::{Job, Piece, read};
use crate::decode::tests::gzip;
use crate::framing::{Format, Options};
use crate::meter::Meter;

const SOURCE: &str = "s";

fn object(name: &str) -> Object {
    Object { url: format!("s3://bucket/{name}"), etag: "\"e1\"".into() }
}

fn open(resume: &HashMap<Arc<str>, Resume>) -> Shelf {
    Shelf::open(&SOURCE.into(), &"okta.system".into(), 1 << 16, resume).unwrap()
}

fn job(object: &Object, mark: Option<Mark>) -> Job {
    let mut framing = Options::new(Format::Auto, "okta.system");
    framing.record_bytes_max = 1 << 20;
    let meter = Meter::new(&SOURCE.into(), &crate::Standing::default());
    let log_type = "okta.system".into();
    Job { source: SOURCE.into(), origin: object.origin(), log_type, framing, mark, meter }
}

fn lines(from: usize, upto: usize) -> Vec<u8> {
    (from..upto).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect()
}

/// Pieces of a body that is sent in parts of this size, and breaks off behind `good` of its bytes.
async fn pieces(job: Job, body: &[u8], part: usize, good: usize) -> Vec<Piece> {
    let mut parts: Vec<Result<Bytes, String>> = body[..good.min(body.len())]
        .chunks(part)
        .map(|part| Ok(Bytes::copy_from_slice(part)))
        .collect();
    if good < body.len() {
        parts.push(Err("the store went away".to_owned()));
    }
    let (sender, mut receiver) = mpsc::channel(4);
    let reading = tokio::spawn(read(job, futures::stream::iter(parts).boxed(), sender));
    let mut out = Vec::new();
    while let Some(piece) = receiver.recv().await {
        out.push(piece);
    }
    reading.await.unwrap();
    out
}

/// What is durable: a lake that commits so many of the spans that it is given.
#[derive(Default)]
struct Lake {
    resume: HashMap<Arc<str>, Resume>,
    records: Vec<(Arc<str>, u64, u32, String)>,
}

impl Lake {
    fn commit(&mut self, batch: Batch) {
        for record in &batch.records {
            let text = String::from_utf8_lossy(&batch.record(record)).into_owned();
            let origin = batch.origin().partition.clone();
            self.records.push((origin, record.at, record.index, text));
        }
        let Span { key, upto, state, after } = batch.span;
        let known = self.resume.get(&key.partition).map_or(0, |resume| resume.upto);
        assert_eq!(known, after, "spans touch");
        self.resume.insert(key.partition, Resume { upto, state });
    }
}

#[tokio::test]
async fn an_object_is_read_on_where_the_lake_has_it() {
    for (packed, body) in [(false, lines(0, 9_000)), (true, gzip(&lines(0, 9_000)))] {
        for committed in 0..9 {
            let object = object("a.gz");
            let (mut lake, mut shelf) = (Lake::default(), open(&HashMap::new()));
            let all = pieces(job(&object, None), &body, 700, usize::MAX).await;
            assert!(all.len() >= 9, "{} pieces", all.len());
            for piece in all.into_iter().take(committed) {
                let Piece::Framed(batch, mark) = piece else { panic!("whole") };
                let batches = shelf.piece(&object, *batch, mark, 1_000).unwrap();
                batches.into_iter().for_each(|batch| lake.commit(batch));
            }
            // The process dies, and the object is announced again.
            let mut shelf = open(&lake.resume);
            let mark = match shelf.standing(&object.id()) {
                Standing::New => None,
                Standing::Begun(mark) => Some(mark),
                Standing::Done => panic!("it was not read to its end"),
            };
            assert_eq!(mark.is_some(), committed > 0);
            for piece in pieces(job(&object, mark), &body, 5_000, usize::MAX).await {
                let Piece::Framed(batch, mark) = piece else { panic!("whole") };
                let batches = shelf.piece(&object, *batch, mark, 1_000).unwrap();
                batches.into_iter().for_each(|batch| lake.commit(batch));
            }
            let have: Vec<_> = lake.records.iter().map(|r| r.3.clone()).collect();
            let expected: Vec<_> = (0..9_000).map(|n| format!("{{\"n\":{n}}}")).collect();
            assert!(have == expected, "packed {packed}, {committed} committed");
            assert!(
                lake.records.windows(2).all(|two| two[0].1 < two[1].1),
                "positions of the object"
            );
            assert_eq!(&*lake.records[0].0, "s3://bucket/a.gz#e1");
            let shelf = open(&lake.resume);
            assert_eq!(shelf.standing(&object.id()), Standing::Done);
            let other = Object { etag: "\"e2\"".into(), ..object };
            assert_eq!(shelf.standing(&other.id()), Standing::New, "written again");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_a_damaged_one() {
    let body = gzip(&lines(0, 20_000));
    let object = object("b.gz");
    let broken_off = pieces(job(&object, None), &body, 700, body.len() / 2).await;
    assert!(matches!(broken_off.last(), Some(Piece::Failed(_))), "tried again later");
    assert!(broken_off.iter().all(|piece| !matches!(piece, Piece::Framed(_, None))));
    // Damaged in the store itself: what can be read is read, and the rest is told of.
    let cut = &body[..body.len() / 2];
    let damaged = pieces(job(&object, None), cut, 700, usize::MAX).await;
    let Some(Piece::Framed(batch, None)) = damaged.last() else { panic!("{damaged:?}") };
    assert!(batch.rejects.iter().any(|r| r.reason.contains("ends early")), "{:?}", batch.rejects);
}

#[tokio::test]
async fn nothing_at_all_is_a_whole_object() {
    for body in [Vec::new(), gzip(b""), b"\n\n".to_vec()] {
        let object = object("empty");
        let mut shelf = open(&HashMap::new());
        let all = pieces(job(&object, None), &body, 10, usize::MAX).await;
        let [Piece::Framed(batch, None)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(batch.received(), 0);
        let sent = shelf.piece(&object, *batch.clone(), None, 0).unwrap();
        assert_eq!(sent.len(), 1);
        assert_eq!(shelf.standing(&object.id()), Standing::Done);
        assert_eq!(shelf.finish(&[sent[0].span.clone()]), 1);
    }
}

#[test]
fn what_is_old_is_forgotten_and_words_are_kept() {
    let mut lake = Lake::default();
    let mut shelf = open(&lake.resume);
    for n in 0..10_000 {
        let batch = Frames::default();
        let object = object(&format!("{n}"));
        let span = Span {
            key: PartitionKey { source: SOURCE.into(), partition: object.origin() },
            after: 0,
            upto: 1,
            state: None,
        };
        let mut batch = batch;
        let batch = batch.take(span, &"okta.system".into(), now());
        let sent = shelf.piece(&object, batch, None, n * 10_000).unwrap();
        sent.into_iter().for_each(|batch| lake.commit(batch));
        shelf.forget_before(n * 10_000 - 30_000_000);
    }
    shelf.note("scanned".into()).unwrap().into_iter().for_each(|batch| lake.commit(batch));
    shelf.reject("not understood".into(), b"{}".to_vec()).unwrap().into_iter().for_each(|batch| {
        assert_eq!(batch.rejects[0].reason, "not understood");
        lake.commit(batch);
    });
    let shelf = open(&lake.resume);
    assert_eq!(shelf.also(), Some("scanned"));
    assert_eq!(shelf.standing(&object("9999").id()), Standing::Done);
    assert_eq!(shelf.standing(&object("7500").id()), Standing::Done);
    assert_eq!(shelf.standing(&object("10").id()), Standing::New);
    assert!(shelf.remembered() < 8_000 && lake.resume.len() < 20, "{}", lake.resume.len());
    let broken =
        HashMap::from([(Arc::from(PARTITION), Resume { upto: 3, state: Some("nonsense".into()) })]);
    let refused = Shelf::open(&SOURCE.into(), &"okta.system".into(), 1 << 16, &broken);
    assert!(refused.is_err_and(|words| words.contains("cannot be read")));
}
