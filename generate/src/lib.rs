//! Makes logs: a seeded small company whose people, machines, habits and noise fill six log types
//! in the vendors' own formats, with six attacks hidden in a day and an answer sheet.
//!
//! ```ignore
//! let company = Company::new(7);
//! let mut day = company.day(midnight);
//! let (truth, mut line) = (day.truth.clone(), String::new());
//! while let Some((log, time)) = day.next_into(&mut line) { /* … */ }
//! ```
//!
//! Pure: no clock, no files, no randomness but the seed. The same seed and start give the same bytes
//! on every machine. Everything is invented; addresses are those reserved for documentation.

mod company;
mod day;
mod flow;
mod habits;
mod identity;
mod kinds;
mod load;
mod log;
mod rng;
mod rules;
mod shot;
mod story;
mod template;
mod truth;

#[cfg(test)]
mod tests;

pub use company::Company;
pub use day::{Day, Event};
pub use load::{Load, Mix};
pub use log::{FLOW_HEADER, Log, Writers};
pub use truth::{Accepted, Attack, EventRef, Expected, LookAlike, Truth};
