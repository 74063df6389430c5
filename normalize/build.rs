//! A file added to `log_types/` becomes part of the program without a change elsewhere.
#![allow(clippy::print_stdout, reason = "a build script speaks to cargo by printing")]

fn main() {
    println!("cargo:rerun-if-changed=log_types");
}
