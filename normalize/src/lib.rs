//! What records mean: decoders, one mapping per log type, and redaction.
//!
//! A log type is a data file (`log_types/<name>.yml`) that says how its records are written, what
//! identifies them, when they happened, and which of the common and vendor columns are filled from
//! which paths. [`Catalog`] reads and checks the files at start; [`Mapping::bind`] joins one with the
//! fields of a stream; the [`Mapper`] it returns turns record after record into rows.
//!
//! Invariant: this crate is pure. It knows no file system, network, clock or async runtime; the
//! built-in files are part of the program. [`Mapper::parse`] and [`Mapper::map`] do not allocate per
//! event once their buffers have grown, and never panic on what is in a record.

mod address;
mod catalog;
mod cell;
mod check;
pub mod columns;
mod decode;
mod error;
mod file;
mod guess;
mod mapper;
mod mapping;
mod plan;
mod printer;
pub mod redact;
mod steps;
mod take;
pub mod timestamp;

pub use catalog::Catalog;
pub use error::{MappingError, Reject};
pub use guess::{Guess, guess};
pub use mapper::{Mapped, Mapper, RecordMeta};
pub use mapping::Mapping;
