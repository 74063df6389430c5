//! Where events and alerts end up: the lake and the destinations.

pub mod lake;
pub mod outbox;
