//! Event templates: a vendor's text with holes, cut into pieces once, filled many times.
//!
//! A hole is written `${name}` or `${name:argument}`; which names there are is [`Var`]'s business.
//! Filling appends to a string that the caller keeps: nothing is allocated per event.

/// A hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Var {
    /// Of the event: seconds, milliseconds and microseconds as RFC 3339; milliseconds as a number.
    Time,
    TimeMillis,
    TimeMicros,
    TimeMicrosLater,
    Millis,
    /// `Nov 23, 2026, 2:11:09 AM`, so many hours later, as IAM and STS answer.
    AwsDate(u8),
    /// The provider's identity of the event in its three forms, and another one for the request.
    Uuid,
    Hex32,
    Doc,
    Request,
    /// Digits that are the same wherever they stand in one event.
    Same(u8),
    /// Random digits and numbers.
    Hex(u8),
    Base32(u8),
    Number(u32, u32),
    /// Who: JSON objects for CloudTrail, Okta's actor, Kubernetes, and the plain texts.
    Identity,
    KubeUser,
    Handle,
    Mail,
    Name,
    OktaId,
    Login,
    GithubId,
    /// The other person of the event.
    PeerHandle,
    PeerMail,
    PeerName,
    PeerOktaId,
    PeerLogin,
    /// From where, with what.
    Address,
    Agent,
    Browser,
    Os,
    Geo,
    Country,
    Proxy,
    AsNumber,
    /// Things.
    Account,
    Bucket,
    Instance,
    Eni,
    Private,
    Service,
    Role,
    RoleId,
    Vpc,
    Subnet,
    Detector,
    Key,
    Repo,
    RepoId,
    App,
    AppId,
    Namespace,
    Deployment,
    Pod,
    Node,
}

impl Var {
    fn parse(name: &str) -> Option<Self> {
        let (word, argument) = name.split_once(':').unwrap_or((name, ""));
        Some(match word {
            "t" => Self::Time,
            "tms" => Self::TimeMillis,
            "tus" => Self::TimeMicros,
            "tus2" => Self::TimeMicrosLater,
            "ms" => Self::Millis,
            "uuid" => Self::Uuid,
            "id32" => Self::Hex32,
            "doc" => Self::Doc,
            "req" => Self::Request,
            "same" => Self::Same(argument.parse().ok()?),
            "aws" => Self::AwsDate(argument.parse().ok()?),
            "h" => Self::Hex(argument.parse().ok()?),
            "b" => Self::Base32(argument.parse().ok()?),
            "n" => {
                let (low, high) = argument.split_once(':')?;
                Self::Number(low.parse().ok()?, high.parse().ok()?)
            }
            "identity" => Self::Identity,
            "kuser" => Self::KubeUser,
            "handle" => Self::Handle,
            "mail" => Self::Mail,
            "name" => Self::Name,
            "okta" => Self::OktaId,
            "login" => Self::Login,
            "ghid" => Self::GithubId,
            "phandle" => Self::PeerHandle,
            "pmail" => Self::PeerMail,
            "pname" => Self::PeerName,
            "pokta" => Self::PeerOktaId,
            "plogin" => Self::PeerLogin,
            "ip" => Self::Address,
            "ua" => Self::Agent,
            "browser" => Self::Browser,
            "os" => Self::Os,
            "geo" => Self::Geo,
            "country" => Self::Country,
            "proxy" => Self::Proxy,
            "asn" => Self::AsNumber,
            "acct" => Self::Account,
            "bucket" => Self::Bucket,
            "inst" => Self::Instance,
            "eni" => Self::Eni,
            "private" => Self::Private,
            "service" => Self::Service,
            "role" => Self::Role,
            "roleid" => Self::RoleId,
            "vpc" => Self::Vpc,
            "subnet" => Self::Subnet,
            "detector" => Self::Detector,
            "key" => Self::Key,
            "repo" => Self::Repo,
            "repoid" => Self::RepoId,
            "app" => Self::App,
            "appid" => Self::AppId,
            "ns" => Self::Namespace,
            "deploy" => Self::Deployment,
            "pod" => Self::Pod,
            "node" => Self::Node,
            _ => return None,
        })
    }
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Hole(Var),
}

/// A template, ready to be filled.
#[derive(Debug)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    /// # Panics
    /// On an unknown hole: templates are part of this program.
    pub(crate) fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, hole) = rest.split_at(start);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let end = hole.find('}').expect("a hole is closed");
            let name = &hole[2..end];
            let var = Var::parse(name).unwrap_or_else(|| panic!("no such hole: {name}"));
            pieces.push(Piece::Hole(var));
            rest = &hole[end + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Self(pieces)
    }

    /// Appends the text with every hole filled by `put`.
    pub(crate) fn fill(&self, out: &mut String, mut put: impl FnMut(Var, &mut String)) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(var) => put(*var, out),
            }
        }
    }
}
