//! Vendors that are asked: one engine for every API that answers JSON over HTTP.
//!
//! What is particular to a vendor is data ([`connector`]); what must never be wrong is a state machine that
//! does no I/O and is told the time: a [`session::Session`] of [`poller::Poller`]s, which a virtual clock can
//! drive through years of trouble.

pub mod allowance;
pub mod auth;
pub mod backoff;
pub mod call;
pub mod connector;
pub mod cursor;
pub mod handover;
pub mod page;
pub mod poller;
pub mod request;
pub mod scan;
pub mod seen;
pub mod session;
pub mod setup;
pub mod when;

#[cfg(test)]
mod tests;
