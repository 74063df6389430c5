//! Texts that wildcards and regular expressions match.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::ir::{Part, Pattern, Regex};

/// With different fillings of the wildcards.
pub(super) fn of_wildcards(pattern: &Pattern) -> Vec<String> {
    let filled = |any: &str, one: &str| {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.to_string(),
            Part::Any => any.to_owned(),
            Part::One => one.to_owned(),
        };
        pattern.parts().iter().map(part).collect::<String>()
    };
    [("", "x"), ("x", "x"), (" ", "1"), ("x1", "_")].map(|(any, one)| filled(any, one)).into()
}

/// Ways through an expression that are tried.
const TRIES: u64 = 48;
const TEXT_BYTES_MAX: usize = 4096;

/// Different texts that the expression matches; some may be missing text around them that it wants.
pub(super) fn of_regex(regex: &Regex) -> Vec<String> {
    let parsed = ParserBuilder::new()
        .case_insensitive(regex.flags.ignore_case)
        .multi_line(regex.flags.multi_line)
        .dot_matches_new_line(regex.flags.dot_matches_line_break)
        .build()
        .parse(&regex.pattern);
    let Ok(hir) = parsed else { return Vec::new() };
    let mut texts: Vec<String> = Vec::new();
    for seed in 0..TRIES {
        let mut way = Way { seed, out: String::new() };
        way.take(&hir);
        for text in [way.out.clone(), format!("x{}", way.out), format!("{} ", way.out)] {
            if text.len() <= TEXT_BYTES_MAX && !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts
}

/// One way through an expression. The first takes the shortest everywhere.
struct Way {
    seed: u64,
    out: String,
}

impl Way {
    /// A number below `many`; always 0 on the first way.
    fn choose(&mut self, many: usize) -> usize {
        if self.seed == 0 || many < 2 {
            return 0;
        }
        // Knuth's MMIX: any spread will do.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) as usize % many
    }

    fn take(&mut self, hir: &Hir) {
        if self.out.len() > TEXT_BYTES_MAX {
            return;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.out.push_str(&String::from_utf8_lossy(&literal.0)),
            HirKind::Class(class) => {
                let c = self.one_of(class);
                self.out.extend(c);
            }
            HirKind::Repetition(repetition) => {
                let room =
                    repetition.max.map_or(2, |max| max.saturating_sub(repetition.min).min(2));
                let more = self.choose(room as usize + 1) as u32;
                for _ in 0..repetition.min.min(TEXT_BYTES_MAX as u32) + more {
                    self.take(&repetition.sub);
                }
            }
            HirKind::Capture(capture) => self.take(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.take(part)),
            HirKind::Alternation(parts) => {
                let chosen = self.choose(parts.len());
                self.take(&parts[chosen]);
            }
        }
    }

    /// A character of the class, a plain one where there is one.
    fn one_of(&mut self, class: &Class) -> Option<char> {
        const PLAIN: &str = "ax1_-. /\\:";
        let class = match class {
            Class::Unicode(class) => class.clone(),
            Class::Bytes(class) => class.to_unicode_class()?,
        };
        let has = |c: char| class.iter().any(|r| (r.start()..=r.end()).contains(&c));
        let plain: Vec<char> = PLAIN.chars().filter(|c| has(*c)).collect();
        let first = || class.iter().flat_map(|r| r.start()..=r.end()).take(64);
        let choice = if plain.is_empty() { first().collect() } else { plain };
        let at = self.choose(choice.len());
        choice.get(at).copied()
    }
}
