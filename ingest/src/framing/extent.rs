//! Where a JSON value ends: strings, escapes and depth, nothing else.

use memchr::memchr2;
use serde::{Deserialize, Serialize};

/// The scan of one container or string. Brackets of both kinds count alike: whether they pair up is
/// for the parser to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    depth: u32,
    string: bool,
    escaped: bool,
}

impl Extent {
    /// Inside that many brackets.
    pub fn inside(depth: u32) -> Self {
        Self { depth, string: false, escaped: false }
    }

    /// Scans on; the index after the value's last byte when it ends in `input`. The first byte of
    /// the value must be part of what is scanned, unless it began [`Extent::inside`].
    pub fn advance(&mut self, input: &[u8]) -> Option<usize> {
        let mut i = 0;
        while i < input.len() {
            if self.string {
                if self.escaped {
                    self.escaped = false;
                    i += 1;
                    continue;
                }
                i += memchr2(b'"', b'\\', &input[i..])? + 1;
                if input[i - 1] == b'\\' {
                    self.escaped = true;
                    continue;
                }
                self.string = false;
                if self.depth == 0 {
                    return Some(i);
                }
                continue;
            }
            match input[i] {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(i + 1);
                    }
                }
                _ => {}
            }
            i += 1;
        }
        None
    }
}
