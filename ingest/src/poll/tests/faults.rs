//! What goes wrong between the collector and a vendor, and what collectors are known to do wrong.

use super::vendors::Vendor;
use super::world::SECOND;
use crate::poll::connector::{Connector, CursorRule};

/// What goes wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// No answer; the request may have reached the vendor.
    Timeout,
    ServerError,
    Limited,
    /// An error page, or a login, with status 200.
    Html,
    Truncated,
    WrongJson,
    /// The token is no longer good.
    TokenExpired,
    Redirect,
    /// The client's clock is wrong.
    Skew,
    /// The process dies, before or after an answer.
    Crash,
    /// At nearly every request.
    CrashOften,
    /// All of them but the last.
    All,
}

pub(super) const FAULTS: [Fault; 13] = [
    Fault::None,
    Fault::Timeout,
    Fault::ServerError,
    Fault::Limited,
    Fault::Html,
    Fault::Truncated,
    Fault::WrongJson,
    Fault::TokenExpired,
    Fault::Redirect,
    Fault::Skew,
    Fault::Crash,
    Fault::CrashOften,
    Fault::All,
];

#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub vendor: Vendor,
    /// One of the vendor's connectors.
    pub connector: &'static str,
    pub fault: Fault,
    pub days: i64,
    pub per_hour: u64,
    pub seed: u64,
}

/// What collectors are known to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The next window begins where the last one ended, and nothing is read again.
    NoOverlap,
    /// Windows overlap, but what is shown hours later is never looked for.
    NoRescan,
    /// The cursor is the time of the newest event.
    NewestEvent,
    /// An empty page moves the cursor to now.
    NowOnEmpty,
    /// A page that fails is logged, and the window goes on.
    ErrorIsEmpty,
    /// A page with fewer records than asked for is taken for the last.
    ShortIsLast,
    /// The position is durable before the records are.
    PositionFirst,
    /// The records are durable before what was seen and the position are.
    RecordsFirst,
    /// The position is in memory only: a restart begins now.
    NoState,
    /// Of what was seen, the last two thousand are remembered.
    SmallMemory,
    /// The vendor's limit is found out by hitting it.
    NoLimit,
    /// Windows go by the collector's own clock.
    OwnClock,
}

pub(super) const MISTAKES: [Mistake; 12] = [
    Mistake::NoOverlap,
    Mistake::NoRescan,
    Mistake::NewestEvent,
    Mistake::NowOnEmpty,
    Mistake::ErrorIsEmpty,
    Mistake::ShortIsLast,
    Mistake::PositionFirst,
    Mistake::RecordsFirst,
    Mistake::NoState,
    Mistake::SmallMemory,
    Mistake::NoLimit,
    Mistake::OwnClock,
];

impl Fault {
    /// As a column of a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Timeout => "no answer",
            Self::ServerError => "5xx",
            Self::Limited => "told to wait",
            Self::Html => "web page, status 200",
            Self::Truncated => "cut off",
            Self::WrongJson => "other JSON",
            Self::TokenExpired => "token revoked",
            Self::Redirect => "redirect",
            Self::Skew => "wrong clock",
            Self::Crash => "crash",
            Self::CrashOften => "crash at every second request",
            Self::All => "all but the last together",
        }
    }
}

impl Mistake {
    /// The fault that brings it to light; some need none.
    pub fn fault(self) -> Fault {
        match self {
            Self::PositionFirst | Self::RecordsFirst | Self::NoState => Fault::Crash,
            Self::ErrorIsEmpty => Fault::ServerError,
            Self::OwnClock => Fault::Skew,
            _ => Fault::None,
        }
    }

    pub(super) fn spoil(self, connector: &mut Connector) {
        if self == Self::NoLimit {
            connector.limits.requests = usize::MAX;
            connector.every_ms = SECOND;
        }
        let CursorRule::Window(rule) = &mut connector.cursor else { return };
        match self {
            Self::NoOverlap | Self::NewestEvent | Self::NowOnEmpty => {
                rule.overlap_ms = 0;
                rule.rescan_ms.clear();
            }
            Self::NoRescan | Self::OwnClock => rule.rescan_ms.clear(),
            _ => {}
        }
    }
}
