//! Unicode simple case folding, one character to one character.
//!
//! Sigma compares text without regard to case. `to_lowercase` is not that: it depends on position
//! (final sigma) and leaves alternate letters apart (U+017F `ſ` and `s`), which is a way around a
//! rule. Folding here maps every letter of a case equivalence class (Unicode `CaseFolding.txt`,
//! status C and S) to one letter of it; an ASCII letter always to its lower-case form.
//!
//! Folded text may be shorter or longer in bytes than its source; it always has as many characters.

mod table;

use table::RUNS;

/// The representative of a character's case equivalence class.
#[inline]
pub fn fold_char(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { fold_wide(c) }
}

fn fold_wide(c: char) -> char {
    let code = c as u32;
    let at = RUNS.partition_point(|run| run.1 < code);
    match RUNS.get(at) {
        Some(&(first, _, step, delta)) if code >= first && (code - first).is_multiple_of(step) => {
            code.checked_add_signed(delta).and_then(char::from_u32).unwrap_or(c)
        }
        _ => c,
    }
}

/// Replaces `out` by the folded form of `text`. Allocates only when `out` has to grow.
#[inline]
pub fn fold_into(text: &str, out: &mut String) {
    out.clear();
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.extend(text.chars().map(fold_char));
    }
}

/// The folded form of `text`.
pub fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, same: bool) {
        assert_eq!(folded(a) == folded(b), same, "{a:?} {b:?}");
    }

    #[test]
    fn letters_of_one_class_are_the_same() {
        check("PowerShell", "pOWERsHELL", true);
        check("\u{212a}", "k", true); // Kelvin sign
        check("\u{17f}", "S", true); // long s
        check("ΣΑΣ", "σας", true); // final sigma
        check("ÄÖÜ", "äöü", true);
        check("\u{1e9e}", "ß", true);
        check("Ω", "\u{2126}", true); // Ohm sign
        check("Ⴀ", "ⴀ", true);
        check("Ꭰ", "ꭰ", true); // Cherokee
        check("𐐀", "𐐨", true);
        check("ß", "ss", false); // full folding only
        check("i", "ı", false); // Turkic only
        check("İ", "i", false);
        check("–", "-", false);
    }

    #[test]
    fn folding_is_stable_and_keeps_the_number_of_characters() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let folded = fold_char(c);
            assert_eq!(fold_char(folded), folded, "{c:?}");
        }
        assert_eq!(folded("\u{212a}x").len(), 2);
    }

    #[test]
    fn agrees_with_the_regex_tables() {
        for run in RUNS {
            for code in (run.0..=run.1).step_by(run.2 as usize) {
                let c = char::from_u32(code).unwrap();
                let pattern = format!("(?i)^{}$", fold_char(c));
                let regex = regex_automata::meta::Regex::new(&pattern).unwrap();
                assert!(regex.is_match(&c.to_string()), "{c:?}");
            }
        }
    }
}
