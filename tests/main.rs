//! The one integration binary: the program from outside, and the house rules.
//!
//! - `tidy`: the dependency table, sizes, docs, cases;
//! - `ingest_query`: files in, lake and alerts out, through the command line;
//! - `crash`: kill -9 at random moments, judged by reading Parquet without our manifest code;
//! - `bad_input`: hostile bytes end as dead letters;
//! - `correlation`: events that belong together, over restarts and changed rules;
//! - `blobs`: a container with blobs that grow, killed programs;
//! - `buckets`: a bucket of Cloud Storage, listed and told of, killed programs;
//! - `falcon`: event streams of CrowdStrike, cut connections, killed programs;
//! - `corpus`: real vendor events, where somebody has them;
//! - `demo`: the attacks of a generated day are found;
//! - `lake`: a lake is compacted and collected, and holds the same rows all the time;
//! - `history`: rules over the past;
//! - `members`: processes that share a topic and a lake;
//! - `memory`: how much the program takes while records are huge;
//! - `operate`: health, reload, destinations that are down, a full disk, redaction, redrive, stop;
//! - `poll`: vendors that are asked, killed programs, connectors;
//! - `pubsub`: a subscription of a real emulator, killed programs;
//! - `queue`: a topic of a real broker, read to its end;
//! - `rules`: checking, testing and evaluating Sigma rules;
//! - `s3`: objects of a bucket as a source;
//! - `sources`: every source has a log type and a way in;
//! - `soak`: everything fails at once, for as long as one likes, judged by DuckDB;
//! - `stores`: the lake in buckets and containers of three clouds;
//! - `tell`: what rules tell about themselves;
//! - `docs`: commands in the documentation run as printed.
//!
//! Tests that need a server install and start a real one (`scripts/test-deps.sh`) and print `SKIPPED`
//! when it cannot be had.

mod backfill;
mod bad_input;
mod blobs;
mod buckets;
mod corpus;
mod correlation;
mod crash;
mod demo;
mod docs;
mod doors;
mod falcon;
mod firehose;
mod history;
mod ingest_query;
mod kinesis;
mod lake;
mod lives;
mod members;
mod memory;
mod operate;
mod poll;
mod pubsub;
mod queue;
mod rules;
mod s3;
mod soak;
mod sources;
mod stores;
mod support;
mod tell;
mod tidy;
