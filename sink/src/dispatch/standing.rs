//! How the destinations and the outbox are doing, for health and for people. Kept from answers as
//! they come; it decides nothing about delivery.

use std::collections::BTreeMap;

use super::lane::Answer;

/// What is wrong at present; nothing when all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why the outbox can not be read or written.
    pub outbox: Option<String>,
    /// By destination that does not work, why. Its alerts wait.
    pub down: BTreeMap<String, String>,
}

/// Why an answer is not a yes, without secrets.
pub(super) fn reason(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Accepted { .. } => None,
        Answer::Refused { reason }
        | Answer::Misconfigured { reason }
        | Answer::Busy { reason, .. }
        | Answer::Failed { reason, .. } => Some(reason),
    }
}
