//! Real servers for tests: a broker that speaks the Kafka protocol, emulators of S3, Kinesis and Pub/Sub,
//! containerd, a TLS front, a stand-in for CrowdStrike's event streams, a wire that can be cut, a proxy that spoils requests, and an authority that signs certificates for
//! one test.
//!
//! `scripts/test-deps.sh` installs the programs. A server listens on a free port of the loopback
//! address, and ends when it is dropped. Where one is not installed `start` says so loudly and gives
//! `None`; with `CI` set that is a failure. Only tests depend on this crate, never the program.

mod authority;
mod azure;
mod broker;
mod bucket;
mod cloud_storage;
mod containerd;
pub mod falcon;
mod faults;
mod front;
mod http;
mod kinesis;
mod passing;
mod process;
mod pubsub;
mod wire;

pub use authority::{Authority, Identity};
pub use azure::Azure;
pub use broker::{Broker, Topic};
pub use bucket::{Bucket, Member};
pub use cloud_storage::CloudStorage;
pub use containerd::Containerd;
pub use falcon::Falcon;
pub use faults::{Fault, Faults};
pub use front::Front;
pub use http::http;
pub use kinesis::Kinesis;
pub use process::{free_port, installed, note, skipped};
pub use pubsub::Pubsub;
pub use wire::Wire;
