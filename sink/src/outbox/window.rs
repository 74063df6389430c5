//! Suppression: of the alerts with one key, the first of a window goes out, later ones are counted,
//! and the next one after the window tells how many. Pure; time is when the rule matched.

use event::{AlertId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    /// The alert that went out.
    pub by: AlertId,
    pub until: Timestamp,
    pub held_back: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Goes out and opens a window; so many were held back in the window before.
    Out {
        held_back: u64,
    },
    Held {
        by: AlertId,
    },
}

/// Decides about one alert and gives the window as it is afterwards.
pub(super) fn admit(
    window: Option<Window>,
    alert: AlertId,
    detected_at: Timestamp,
    window_ns: i64,
) -> (Window, Verdict) {
    match window {
        // Workers may be out of step: what was detected before the window opened belongs to it too.
        Some(mut window) if detected_at < window.until => {
            window.held_back += 1;
            let by = window.by;
            (window, Verdict::Held { by })
        }
        before => {
            let held_back = before.map_or(0, |window| window.held_back);
            let until = Timestamp(detected_at.0.saturating_add(window_ns));
            (Window { by: alert, until, held_back: 0 }, Verdict::Out { held_back })
        }
    }
}
