//! The regular expressions of one rule: what all of them together may take, and what to write instead of one
//! that cannot be used. What one of them means and may take is [`crate::ir::Regex`]'s business.

use crate::ir::{REGEX_BYTES_MAX, REGEX_LENGTH_MAX, Regex, RegexFault, RegexFlags};

/// Largest compiled size of all expressions of a rule.
const RULE_BYTES_MAX: usize = 4 * REGEX_BYTES_MAX;

/// What the expressions of a rule may still take. An expression that is too large counts as large as one may be,
/// so that a thousand of them end as soon as four.
pub struct Budget {
    bytes_left: usize,
}

/// Why an expression is refused, and what to write instead.
pub struct Refusal {
    pub message: String,
    pub hint: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes_left: RULE_BYTES_MAX }
    }
}

impl Budget {
    pub fn compile(&mut self, pattern: &str, flags: RegexFlags) -> Result<Regex, Refusal> {
        if self.bytes_left == 0 {
            return Err(exhausted());
        }
        let compiled = Regex::new(pattern, flags);
        let taken = match &compiled {
            Ok(regex) => regex.compiled().memory_usage(),
            Err(RegexFault::TooLarge) => REGEX_BYTES_MAX,
            Err(RegexFault::TooLong | RegexFault::Syntax(_)) => 0,
        };
        let fits = taken <= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(taken);
        match compiled {
            Ok(_) if !fits => Err(exhausted()),
            Ok(regex) => Ok(regex),
            Err(fault) => Err(refusal(fault)),
        }
    }
}

fn exhausted() -> Refusal {
    let message = format!(
        "the regular expressions of this rule are together larger than {RULE_BYTES_MAX} bytes when compiled"
    );
    Refusal { message, hint: Some("divide the rule, or bound fewer repeats".to_owned()) }
}

fn refusal(fault: RegexFault) -> Refusal {
    let unusable = "this regular expression cannot be used";
    let (message, hint) = match fault {
        RegexFault::TooLong => (
            format!("{unusable}: longer than {REGEX_LENGTH_MAX} bytes"),
            Some("write alternatives as a list of values"),
        ),
        RegexFault::TooLarge => (
            format!("{unusable}: larger than {REGEX_BYTES_MAX} bytes when compiled"),
            Some(
                "bounds of repeats within each other multiply; `*` and `+` cost nothing, and `[0-9A-Za-z_]` costs less than `\\w`",
            ),
        ),
        RegexFault::Syntax(said) => {
            let beyond = said.contains("look-around") || said.contains("backreference");
            let hint = "expressions take linear time, which these cannot: write what must not be there as a selection after `not`";
            (format!("{unusable}: {said}"), beyond.then_some(hint))
        }
    };
    Refusal { message, hint: hint.map(str::to_owned) }
}
