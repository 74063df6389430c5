//! In the steady state nothing is allocated per event between decoding and the column buffers: shown by
//! counting every call of the allocator on this thread. What correlations are to remember of an event is
//! the exception, and has a bound of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use detect::Engine;
use event::{LogType, Parser, PartitionKey, Timestamp};
use generate::{Load, Log, Mix};
use mantissa::config::RulesConfig;
use mantissa::pipeline::{Detection, Origin, Stream};
use mantissa::plan;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; the counter is a plain thread-local cell
// without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.with(|c| c.set(c.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.with(|c| c.set(c.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn check(log_type: &str) {
    let rules = plan::rules(&RulesConfig::default()).unwrap().rules;
    let detection = Detection {
        catalog: Arc::new(plan::catalog(&[]).unwrap()),
        rules: Arc::new(rules),
        generation: 0,
    };
    let compiled = detection.compile(&LogType::from(log_type), Engine::Fast).unwrap();
    assert!(!compiled.group.rules().is_empty(), "no rule reads {log_type}");
    let mut stream = Stream::new(compiled);
    let mix = Mix::only(Log::parse(log_type).unwrap());
    let load = Load::new(1, Timestamp(1_790_000_000_000_000_000), 1_000, mix);
    let lines: Vec<String> = load.take(4_000).map(|(_, line)| line).collect();
    let key = PartitionKey { source: "s".into(), partition: "p".into() };
    let mut parser = Parser::default();
    let mut pass = || {
        let (mut plain, mut remembered, mut concerned) = (0, 0, 0);
        for (at, line) in lines.iter().enumerate() {
            let now = Timestamp(1_800_000_000_000_000_000);
            let at = at as u64;
            let name = Some("message:2070443601311540");
            let origin = Origin { key: &key, at, index: 0, name, now, late_after_ns: i64::MAX };
            let before = CALLS.with(Cell::get);
            let taken = stream.take(&mut parser, line.as_bytes(), None, &origin, &mut |_| false);
            let calls = CALLS.with(Cell::get) - before;
            assert!(taken.is_ok(), "{line}");
            if stream.compiled.group.feeds().concern(&stream.hits) {
                remembered += calls;
                concerned += 1;
                stream.observations.clear();
            } else {
                plain += calls;
            }
        }
        assert!(remembered <= concerned * 40, "{remembered} for {concerned} events");
        plain
    };
    // Rows pile up, so now and then a column's buffer doubles: fewer and fewer passes see that. A pass
    // in which nothing doubles allocates nothing at all.
    let calls: Vec<u64> = (0..12).map(|_| pass()).collect();
    let least = calls.iter().min().expect("there were passes");
    assert!(*least <= 8, "{log_type}: allocations for {} events a pass: {calls:?}", lines.len());
}

#[test]
fn cloudtrail() {
    check("aws.cloudtrail");
}

#[test]
fn flow_logs() {
    check("aws.vpcflow");
}

#[test]
fn okta() {
    check("okta.system");
}

#[test]
fn kubernetes() {
    check("k8s.audit");
}

#[test]
fn github() {
    check("github.audit");
}
