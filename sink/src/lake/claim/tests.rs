//! Processes that take partitions from one another, with every request delayed, failing and answered late.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::AsArray;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::lake::tests::part;
use super::super::manifest::FileKind;
use super::super::mistake::{self, Mistake};
use super::super::simulation::say;
use super::super::store::LakeOptions;
use super::super::verify::{Scope, verify};
use super::*;
use crate::testing::alert;

/// A store whose every request takes its time. Some are refused, of some the answer is lost.
#[derive(Debug)]
struct Unsteady {
    inner: InMemory,
    random: Mutex<u64>,
    faults_per_mille: u64,
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unsteady store")
    }
}

fn below(random: &Mutex<u64>, n: u64) -> u64 {
    let mut state = random.lock();
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

impl Unsteady {
    async fn wait(&self) {
        let turns = if below(&self.random, 10) == 0 { 60 } else { 6 };
        for _ in 0..below(&self.random, turns) {
            tokio::task::yield_now().await;
        }
    }

    async fn fault(&self) -> Result<()> {
        self.wait().await;
        if below(&self.random, 1_000) < self.faults_per_mille {
            return Err(object_store::Error::Generic { store: "unsteady", source: "no".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Unsteady {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.fault().await?;
        let done = self.inner.put_opts(at, bytes, how).await;
        self.fault().await?;
        done
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.fault().await?;
        let found = self.inner.get_opts(at, how).await;
        self.wait().await;
        found
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.fault().await?;
        let found = self.inner.list_with_delimiter(prefix).await;
        self.wait().await;
        found
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

fn key(partition: &str) -> PartitionKey {
    PartitionKey { source: "s".into(), partition: partition.into() }
}

fn lane(name: &str) -> LakeOptions {
    LakeOptions { lane: name.into(), ..LakeOptions::default() }
}

async fn open(store: &Arc<dyn ObjectStore>, name: &str) -> Lake {
    let at = LakeStore::of(store, &Path::default());
    loop {
        match Lake::open_at(at.clone(), None, &lane(name)).await {
            Ok((lake, _)) => return lake,
            // The store, or another who takes from the lane all the time.
            Err(error) => assert!(matches!(error.kind(), Kind::Store | Kind::Fenced), "{error:?}"),
        }
    }
}

fn in_memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

#[tokio::test]
async fn a_partition_goes_on_where_the_other_lane_has_ended() {
    let store = in_memory();
    let (mut first, mut second) = (open(&store, "a").await, open(&store, "b").await);
    let found = first.claim(&[key("p"), key("r")]).await.unwrap();
    assert!(found.values().all(|resume| resume.upto == 0 && resume.state.is_none()), "{found:?}");
    first.commit(vec![part("p", 0, 20), part("r", 0, 20)]).await.unwrap();
    let found = second.claim(&[key("p")]).await.unwrap();
    let resume = &found[&key("p")];
    assert_eq!((resume.upto, resume.state.as_deref()), (20, Some("{\"at\":20}")));
    second.commit(vec![part("p", 20, 50)]).await.unwrap();
    // The first one knows by its next commit, which holds nothing of it, and goes on.
    let done = first.commit(vec![part("r", 20, 30)]).await.unwrap();
    assert_eq!((done.epoch, done.files.iter().map(|file| file.rows).sum::<u64>()), (4, 10));
    assert_eq!(done.spent.iter().map(event::Rows::len).sum::<usize>(), 0, "emptied");
    let error = first.commit(vec![part("p", 20, 40)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    // There and back again, also over a start.
    let mut first = open(&store, "a").await;
    assert_eq!(first.positions()[&key("p")].hold, Hold::Taken);
    assert_eq!(first.claim(&[key("p")]).await.unwrap()[&key("p")].upto, 50);
    let error = second.commit(vec![part("p", 50, 60)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    first.commit(vec![part("p", 50, 60)]).await.unwrap();
    let report = verify(first.store(), Scope::full(true)).await.unwrap();
    assert!(report.ok && report.notes.is_empty(), "{report}");
    assert_eq!(report.totals.received, 60 + 30);
}

#[tokio::test]
async fn the_alerts_of_an_epoch_that_gave_way_name_its_files() {
    let store = in_memory();
    let (mut first, mut second) = (open(&store, "a").await, open(&store, "b").await);
    first.claim(&[key("p"), key("r")]).await.unwrap();
    second.claim(&[key("p")]).await.unwrap();
    let mut with_alert = part("r", 0, 5);
    let (event_uid, log_type) = ("e3".into(), "aws.cloudtrail".into());
    with_alert.alerts.push(event::Alert { event_uid, log_type, ..alert(1) });
    let done = first.commit(vec![with_alert]).await.unwrap();
    let has = |kind| done.files.iter().filter(move |file| file.kind == kind);
    let (events, alerts) = (has(FileKind::Events).next(), has(FileKind::Alerts).next());
    let bytes = store.get_opts(&alerts.unwrap().path.as_str().into(), GetOptions::default()).await;
    let bytes = bytes.unwrap().bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes);
    let batch = reader.unwrap().build().unwrap().next().unwrap().unwrap();
    let named = batch.column_by_name("event_file").unwrap().as_string::<i32>().value(0).to_owned();
    assert_eq!(named, events.unwrap().path);
    assert!(named.contains("a-00000000000000000003-"), "{named}");
}

#[tokio::test]
async fn what_was_claimed_and_not_read_goes_on_from_where_it_was() {
    let store = in_memory();
    let (mut first, mut second) = (open(&store, "a").await, open(&store, "b").await);
    // Never claimed: begun by a process that was alone.
    first.commit(vec![part("p", 0, 20)]).await.unwrap();
    second.claim(&[key("p")]).await.unwrap();
    drop(second);
    let mut third = open(&store, "c").await;
    assert_eq!(third.claim(&[key("p")]).await.unwrap()[&key("p")].upto, 20);
    third.commit(vec![part("p", 20, 25)]).await.unwrap();
    let mut second = open(&store, "b").await;
    assert_eq!(second.claim(&[key("p")]).await.unwrap()[&key("p")].upto, 25);
    assert!(verify(second.store(), Scope::full(true)).await.unwrap().ok);
    // It never learned of what was taken from it, and holds nothing else.
    let error = first.commit(vec![part("p", 20, 30)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
}

/// What processes do to one another, by a seed; how many epochs of events were committed.
async fn disturb(seed: u64, faults_per_mille: u64) -> u64 {
    let random = Rc::new(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let unsteady = Unsteady { inner: InMemory::new(), random: Mutex::new(seed), faults_per_mille };
    let store: Arc<dyn ObjectStore> = Arc::new(unsteady);
    let acknowledged = Rc::new(Mutex::new(Vec::new()));
    let process = |name: &'static str| {
        let (store, random, acknowledged) = (store.clone(), random.clone(), acknowledged.clone());
        async move {
            for _ in 0..1 + below(&random, 3) {
                live(&store, name, &random, &acknowledged).await;
            }
        }
    };
    futures::join!(process("a"), process("b"), process("c"));
    let mut last = open(&store, "last").await;
    let found = loop {
        match last.claim(&[key("p"), key("r")]).await {
            Ok(found) => break found,
            Err(error) => assert_eq!(error.kind(), Kind::Store, "seed {seed}: {error:?}"),
        }
    };
    let report = loop {
        match verify(last.store(), Scope::full(true)).await {
            Ok(report) => break report,
            Err(error) => assert_eq!(error.kind(), Kind::Store, "seed {seed}: {error:?}"),
        }
    };
    assert!(report.ok, "seed {seed}: {report}");
    let mut read: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for (partition, after, upto) in acknowledged.lock().iter().cloned() {
        read.entry(partition).or_default().push((after, upto));
    }
    for (partition, spans) in &mut read {
        spans.sort_unstable();
        let twice = spans.windows(2).find(|two| two[1].0 < two[0].1);
        assert_eq!(twice, None, "seed {seed}: {partition} was acknowledged twice");
        let end = found[&key(partition)].upto;
        assert!(spans.last().unwrap().1 <= end, "seed {seed}: {partition} went back to {end}");
    }
    read.values().map(|spans| spans.len() as u64).sum()
}

/// A process until it is killed or has to stop.
async fn live(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    random: &Mutex<u64>,
    acknowledged: &Mutex<Vec<(String, u64, u64)>>,
) {
    let mut lake = open(store, name).await;
    // Where the source would go on, as it was told last.
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    for _ in 0..below(random, 8) {
        let work = async {
            if next.is_empty() || below(random, 4) == 0 {
                let keys = [&["p"][..], &["r"], &["p", "r"]][below(random, 3) as usize];
                let wanted: Vec<_> = keys.iter().map(|partition| key(partition)).collect();
                let found = loop {
                    match lake.claim(&wanted).await {
                        Err(error) if error.kind() == Kind::Store => {}
                        found => break found?,
                    }
                };
                next.extend(keys.iter().map(|partition| (*partition, found[&key(partition)].upto)));
            }
            let mut parts = Vec::new();
            for (partition, at) in &mut next {
                if below(random, 3) > 0 {
                    let upto = *at + 1 + below(random, 5);
                    parts.push(part(partition, *at, upto));
                    *at = upto;
                }
            }
            let mut done = lake.commit(parts).await;
            while done.as_ref().is_err_and(|error| error.kind() == Kind::Store) {
                done = lake.retry().await;
            }
            let spans = done?.spans;
            acknowledged
                .lock()
                .extend(spans.iter().map(|s| (s.key.partition.to_string(), s.after, s.upto)));
            Ok::<_, Error>(())
        };
        let patience = if below(random, 6) == 0 { below(random, 120) } else { u64::MAX };
        let killed = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = work => match done {
                Ok(()) => {}
                // The process ends, and another of the lane begins.
                Err(error) if error.kind() == Kind::Fenced => return,
                Err(error) => panic!("{error:?}"),
            },
            () = killed => return,
        }
    }
}

fn run(seed: u64, faults_per_mille: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(disturb(seed, faults_per_mille))
}

#[test]
fn processes_take_from_one_another_and_nothing_is_lost_or_doubled() {
    let seeds = std::env::var("CLAIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let fresh = now_us() as u64;
    let seeds: Vec<u64> = (0..seeds).chain(fresh..fresh + seeds).collect();
    say(&format!("claims: fresh seeds from {fresh}"));
    let epochs: u64 = seeds.iter().map(|seed| run(*seed, [0, 15][*seed as usize % 2])).sum();
    assert!(epochs > 2 * seeds.len() as u64, "{epochs} epochs of {} seeds", seeds.len());
}

#[test]
fn mistakes_are_found() {
    for planted in [Mistake::ClaimUnsaid, Mistake::ClaimLooksOnly, Mistake::TakenKept] {
        let finds = |seed: &u64| {
            mistake::with(planted, || std::panic::catch_unwind(|| run(*seed, 0)).is_err())
        };
        let found = (0..2_000).find(finds);
        assert!(found.is_some(), "nobody has found {planted:?}");
        say(&format!("{planted:?} is found by seed {found:?}"));
    }
}
