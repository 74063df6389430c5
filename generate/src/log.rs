//! The six log types that can be made.

use std::fmt;
use std::io::{self, Write};

use event::LogType;
use serde::{Deserialize, Serialize};

/// A log type of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Log {
    #[serde(rename = "aws.cloudtrail")]
    CloudTrail,
    #[serde(rename = "aws.vpcflow")]
    VpcFlow,
    #[serde(rename = "aws.guardduty")]
    GuardDuty,
    #[serde(rename = "okta.system")]
    Okta,
    #[serde(rename = "github.audit")]
    GitHub,
    #[serde(rename = "k8s.audit")]
    Kubernetes,
}

/// First line of flow-log text: version 5 with all its fields.
pub const FLOW_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport \
protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type \
pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service \
pkt-dst-aws-service flow-direction traffic-path";

impl Log {
    pub const ALL: [Self; 6] = [
        Self::CloudTrail,
        Self::VpcFlow,
        Self::GuardDuty,
        Self::Okta,
        Self::GitHub,
        Self::Kubernetes,
    ];

    /// `aws.cloudtrail`, as the configuration names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudTrail => "aws.cloudtrail",
            Self::VpcFlow => "aws.vpcflow",
            Self::GuardDuty => "aws.guardduty",
            Self::Okta => "okta.system",
            Self::GitHub => "github.audit",
            Self::Kubernetes => "k8s.audit",
        }
    }

    /// Reads [`Log::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|log| log.as_str() == name)
    }

    pub fn log_type(self) -> LogType {
        LogType::from(self.as_str())
    }

    /// The line that a file of this type begins with.
    pub fn header(self) -> Option<&'static str> {
        (self == Self::VpcFlow).then_some(FLOW_HEADER)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One output per log type, opened when its first line comes: NDJSON, or text with a header line.
pub struct Writers<W, F> {
    open: F,
    outputs: [Option<W>; 6],
}

impl<W: Write, F: FnMut(Log) -> io::Result<W>> Writers<W, F> {
    /// `open` makes the output of a log type; it is called at most once for each.
    pub fn new(open: F) -> Self {
        Self { open, outputs: [const { None }; 6] }
    }

    /// Writes one line, and the header before the first.
    pub fn line(&mut self, log: Log, line: &str) -> io::Result<()> {
        let output = match &mut self.outputs[log as usize] {
            Some(output) => output,
            empty => {
                let output = empty.insert((self.open)(log)?);
                if let Some(header) = log.header() {
                    output.write_all(header.as_bytes())?;
                    output.write_all(b"\n")?;
                }
                output
            }
        };
        output.write_all(line.as_bytes())?;
        output.write_all(b"\n")
    }

    /// The outputs that were opened, to be flushed and closed.
    pub fn into_outputs(self) -> impl Iterator<Item = (Log, W)> {
        Log::ALL.into_iter().zip(self.outputs).filter_map(|(log, output)| Some((log, output?)))
    }
}
