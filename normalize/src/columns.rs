//! The common columns: the fixed vocabulary that every table starts with, so that one question can
//! be asked of all log types. Names are ECS names in snake_case. The list only ever grows.

use event::{ColumnDef, ColumnType};

use ColumnType::{Bool, Int, Text, TextList, Time};

/// Who fills a common column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The mapper, for every row; a log type's file must not mention it.
    ByMapper,
    /// The log type's file, with any value.
    ByFile,
    /// The log type's file, with one of these words.
    ByFileFrom(&'static [&'static str]),
}

/// A common column.
#[derive(Clone, Copy, Debug)]
pub struct Common {
    pub name: &'static str,
    pub column_type: ColumnType,
    pub filled: Filled,
    /// The list column that its value is added to as well.
    pub also_in: Option<&'static str>,
    /// What it holds, with the ECS field where there is one.
    pub doc: &'static str,
}

/// The words of `outcome`.
pub const OUTCOMES: &[&str] = &["success", "failure", "unknown"];
/// The words of `actor_type`.
pub const ACTOR_TYPES: &[&str] = &["human", "service", "role", "app", "system", "anonymous"];
/// The words of `category` (ECS `event.category`).
pub const CATEGORIES: &[&str] = &[
    "api",
    "authentication",
    "configuration",
    "database",
    "driver",
    "email",
    "file",
    "host",
    "iam",
    "intrusion_detection",
    "library",
    "malware",
    "network",
    "package",
    "process",
    "registry",
    "session",
    "threat",
    "vulnerability",
    "web",
];
/// The words of `type` (ECS `event.type`).
pub const TYPES: &[&str] = &[
    "access",
    "admin",
    "allowed",
    "change",
    "connection",
    "creation",
    "deletion",
    "denied",
    "device",
    "end",
    "error",
    "group",
    "indicator",
    "info",
    "installation",
    "protocol",
    "start",
    "user",
];

const fn mapper(name: &'static str, column_type: ColumnType, doc: &'static str) -> Common {
    Common { name, column_type, filled: Filled::ByMapper, also_in: None, doc }
}

const fn file(name: &'static str, column_type: ColumnType, doc: &'static str) -> Common {
    Common { name, column_type, filled: Filled::ByFile, also_in: None, doc }
}

const fn words(
    name: &'static str,
    column_type: ColumnType,
    words: &'static [&'static str],
    doc: &'static str,
) -> Common {
    Common { name, column_type, filled: Filled::ByFileFrom(words), also_in: None, doc }
}

const fn listed(mut common: Common, list: &'static str) -> Common {
    common.also_in = Some(list);
    common
}

/// Every common column in table order.
pub const COMMON: &[Common] = &[
    mapper(
        "event_time",
        Time,
        "When it happened; arrival where the record does not say. ECS @timestamp.",
    ),
    mapper("event_time_ns", Int, "The same in nanoseconds since 1970."),
    mapper("ingest_time", Time, "When we received it. ECS event.ingested."),
    mapper("source", Text, "The configured connector it came from."),
    mapper("log_type", Text, "What kind of record it is. ECS event.dataset."),
    file("tenant", Text, "The organization the log belongs to. ECS organization.id."),
    mapper(
        "event_uid",
        Text,
        "The vendor's id of the event, or our hash of its position. ECS event.id.",
    ),
    mapper("dedup_key", Text, "Hash that finds duplicates: 32 hexadecimal digits."),
    file("action", Text, "What was done, in the vendor's word. ECS event.action."),
    words("category", TextList, CATEGORIES, "Kind of event. ECS event.category."),
    words("type", TextList, TYPES, "Finer kind of event. ECS event.type."),
    words("outcome", Text, OUTCOMES, "success, failure or unknown. ECS event.outcome."),
    file("outcome_reason", Text, "Why it failed, in the vendor's word. ECS event.reason."),
    file("severity", Int, "0 to 100, if the vendor grades. ECS event.severity."),
    file("actor_id", Text, "Who did it: the stable id. ECS user.id."),
    listed(file("actor_name", Text, "Who did it: the name people know. ECS user.name."), "users"),
    listed(file("actor_email", Text, "Who did it: the e-mail address. ECS user.email."), "users"),
    words("actor_type", Text, ACTOR_TYPES, "human, service, role, app, system or anonymous."),
    file("actor_session", Text, "The session or credential it was done with."),
    listed(file("source_ip", Text, "Where it came from, if an IP address. ECS source.ip."), "ips"),
    file("source_address", Text, "Where it came from, if a name. ECS source.address."),
    file("source_port", Int, "ECS source.port."),
    listed(file("dest_ip", Text, "Where it went. ECS destination.ip."), "ips"),
    file("dest_port", Int, "ECS destination.port."),
    file("protocol", Text, "Transport in lower case: tcp, udp, icmp. ECS network.transport."),
    file(
        "country",
        Text,
        "Country of the source as the vendor writes it. ECS source.geo.country_iso_code.",
    ),
    file("asn", Int, "Autonomous system of the source. ECS source.as.number."),
    file("user_agent", Text, "ECS user_agent.original."),
    file("target_type", Text, "Kind of the first thing acted on."),
    file("target_id", Text, "Id of the first thing acted on."),
    file("target_name", Text, "Name of the first thing acted on. ECS user.target.name."),
    file("targets", TextList, "Names or ids of everything acted on."),
    file("service", Text, "The vendor's service that acted. ECS event.provider."),
    file("cloud_provider", Text, "aws, gcp or azure. ECS cloud.provider."),
    file("cloud_account", Text, "Account, project or subscription. ECS cloud.account.id."),
    file("cloud_region", Text, "ECS cloud.region."),
    file("host_name", Text, "ECS host.name."),
    file("host_id", Text, "ECS host.id."),
    file("http_method", Text, "ECS http.request.method."),
    file("url", Text, "Address or path requested. ECS url.original."),
    file("http_status", Int, "ECS http.response.status_code."),
    file("ips", TextList, "Every IP address of the event. ECS related.ip."),
    file("users", TextList, "Every user of the event. ECS related.user."),
    mapper("late", Bool, "The event time is far from the arrival, or unknown: stored by arrival."),
    mapper("parse_error", Text, "What of the record could not be read. ECS error.message."),
    mapper(
        "source_partition",
        Text,
        "The part of the source it came from: a file, a Kafka partition.",
    ),
    mapper("source_position", Int, "Position of its line, message or object in that part."),
    mapper("source_index", Int, "Which record of that line, message or object it is, from 0."),
];

/// The name of the last column, the vendor's own text.
pub const RAW: &str = "raw";

/// The position of a common column in every table.
pub fn index_of(name: &str) -> Option<usize> {
    COMMON.iter().position(|c| c.name == name)
}

/// The position of a column that this crate itself names.
pub(crate) const fn at(name: &str) -> usize {
    let mut i = 0;
    while i < COMMON.len() {
        if same(COMMON[i].name.as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no common column has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl Common {
    /// As a column of a table.
    pub fn def(&self) -> ColumnDef {
        ColumnDef { name: self.name.into(), column_type: self.column_type, doc: self.doc.into() }
    }

    /// Whether every step adds to the list, rather than the first that has something.
    pub fn gathers(&self) -> bool {
        self.column_type == TextList && self.filled == Filled::ByFile
    }
}
