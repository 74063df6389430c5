//! Where events and alerts end up: the lake and the destinations.

pub mod destinations;
pub mod dispatch;
pub mod lake;
pub mod outbound;
pub mod outbox;
pub mod routing;
#[cfg(test)]
mod testing;
