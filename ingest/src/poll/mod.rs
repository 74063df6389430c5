//! Vendors that are asked: one engine for every API that answers JSON over HTTP.
//!
//! What is particular to a vendor is data ([`connector`]); what must never be wrong is a state machine that
//! does no I/O and is told the time: a [`session::Session`] of [`poller::Poller`]s, which a virtual clock can
//! drive through years of trouble. The [`source`] around it is thin.

pub mod allowance;
pub mod auth;
pub mod backoff;
pub mod call;
pub mod client;
pub mod connector;
pub mod cursor;
mod gauges;
pub mod handover;
pub(crate) mod kept;
pub mod options;
pub mod page;
pub mod past;
pub mod poller;
pub mod probe;
pub mod request;
pub mod scan;
pub mod seen;
pub mod session;
pub mod setup;
pub mod source;
mod table;
pub mod when;

pub use connector::{Connector, Connectors};
pub use options::PollOptions;
pub use source::PollSource;

#[cfg(test)]
mod tests;
