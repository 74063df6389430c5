//! Objects of a bucket or container as records: each is read once, one that grows is read on.
//!
//! Which objects there are is told by notifications ([`notices`]) or found by listing ([`walk`]); both lead to
//! the same reading. What was read commits with the epoch:
//!
//! - An object that is being read, or may grow, has a *slot*: a partition whose positions go on from object
//!   to object, and whose state is the object's card ([`shelf`]). So a crash goes on in the middle of it.
//! - An object that was read to its end is remembered by name and version (etag) in a seen-set. A
//!   notification that comes twice is recognised; an object that was written anew has another version and is
//!   read as another object.
//!
//! A notification is deleted when everything of its objects is in the lake, and is kept from others until
//! then. Bodies are streamed and decompressed by their first bytes; none is held as a whole.

mod body;
mod keeper;
pub mod notices;
mod read;
mod reading;
mod shelf;
mod store;
mod walk;
mod work;

pub(crate) use notices::{Notice, Notices, Says};
pub(crate) use store::try_out;
pub(crate) use work::{Setup, run};

/// What the names of objects in a folder begin with.
fn folder(name: &str) -> String {
    match name.is_empty() || name.ends_with('/') {
        true => name.to_owned(),
        false => format!("{name}/"),
    }
}
