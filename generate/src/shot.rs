//! One event to be made: its kind and everything that its template's holes are filled with.

use std::fmt::Write;

use event::Timestamp;
use event::time::HOUR_NS;

use crate::company::{
    ACCOUNT, APPS, BROWSERS, BUCKETS, Company, Job, NODES, PLACES, Person, Place, REPOS,
};
use crate::identity;
use crate::kinds::{By, KindId};
use crate::log::Log;
use crate::rng::{self, Rng};
use crate::template::Var;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    V4(u32),
    /// An AWS service writes its name where others have an address.
    Name(&'static str),
}

/// An event that is decided on but not written yet. Small, so that a day of them fits in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot {
    pub kind: KindId,
    pub by: By,
    /// Positions in the lists of the company.
    pub person: u8,
    pub peer: u8,
    pub machine: u8,
    pub bucket: u8,
    pub repo: u8,
    pub pod: u8,
    pub app: u8,
    pub key: u8,
    pub node: u8,
    pub from: Origin,
    pub agent: &'static str,
    /// Through an anonymizing proxy.
    pub proxy: bool,
}

const CLI: &str = "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/macos#25.1.0 md/arch#arm64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe";
pub(crate) const BOTO: &str = "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.12.0 md/arch#x86_64 lang/python#3.12.3 md/pyimpl#CPython cfg/retry-mode#legacy";
const SDK: &str = "aws-sdk-go-v2/1.39.4 ua/2.1 os/linux lang/go#1.25.3 md/GOOS#linux md/GOARCH#arm64 exec-env/AWS_EC2";
const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.13.4 (+https://www.terraform.io) terraform-provider-aws/6.18.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.39.4 ua/2.1 os/linux lang/go#1.24.9 md/GOOS#linux md/GOARCH#amd64";
pub(crate) const KUBECTL: &str = "kubectl/v1.34.1 (darwin/arm64) kubernetes/93248f9";

const BUILD_ADDRESS: u32 = u32::from_be_bytes([192, 0, 2, 240]);
const BACKUP_ADDRESS: u32 = u32::from_be_bytes([192, 0, 2, 241]);
const CONTROL_ADDRESS: u32 = u32::from_be_bytes([10, 20, 0, 10]);
const BALANCER_ADDRESS: u32 = u32::from_be_bytes([10, 20, 0, 44]);

/// An address of the block for benchmarks: one of the many that scan the internet.
pub(crate) fn scanner(rng: &mut Rng) -> u32 {
    u32::from_be_bytes([198, 18, 0, 0]) + rng.below(1 << 17) as u32
}

impl Shot {
    /// An ordinary event of this kind: actor, place and things as they come.
    pub(crate) fn ordinary(company: &Company, kind: KindId, rng: &mut Rng) -> Self {
        let entry = company.templates.get(kind);
        let person = pick_person(company, entry.by, rng);
        let mut shot = Self {
            kind,
            by: entry.by,
            person,
            peer: 0,
            machine: rng.index(5) as u8,
            bucket: rng.index(BUCKETS.len()) as u8,
            repo: rng.index(REPOS.len()) as u8,
            pod: rng.index(company.pods.len()) as u8,
            app: rng.index(APPS.len()) as u8,
            key: rng.index(company.keys.len()) as u8,
            node: rng.index(NODES.len()) as u8,
            from: Origin::V4(0),
            agent: "",
            proxy: false,
        };
        shot.peer = (usize::from(person) + 1 + rng.index(company.people.len() - 1)) as u8
            % company.people.len() as u8;
        shot.from = origin(company, &shot, rng);
        shot.agent = agent(company, &shot, entry.log, rng);
        shot
    }

    /// An ordinary event with something changed. Whoever is named comes from the usual place with
    /// the usual browser, unless the change says otherwise.
    pub(crate) fn changed(
        company: &Company,
        kind: KindId,
        rng: &mut Rng,
        change: impl FnOnce(&mut Self),
    ) -> Self {
        let before = Self::ordinary(company, kind, rng);
        let mut shot = before;
        change(&mut shot);
        let person = &company.people[usize::from(shot.person)];
        if shot.is_human() && shot.from == before.from {
            shot.from = Origin::V4(person.address());
        }
        if shot.agent == before.agent && BROWSERS.iter().any(|b| b.0 == shot.agent) {
            shot.agent = BROWSERS[person.browser].0;
        }
        shot
    }

    /// Whether a person does it, in his working hours.
    pub(crate) fn is_human(&self) -> bool {
        matches!(self.by, By::Person | By::Engineer | By::Platform | By::OwnUser)
    }
}

fn pick_person(company: &Company, by: By, rng: &mut Rng) -> u8 {
    loop {
        let at = rng.index(company.people.len());
        let fits = match by {
            By::Engineer => company.people[at].job != Job::Office,
            By::Platform => company.people[at].job == Job::Platform,
            _ => true,
        };
        if fits {
            return at as u8;
        }
    }
}

fn origin(company: &Company, shot: &Shot, rng: &mut Rng) -> Origin {
    let person = &company.people[usize::from(shot.person)];
    Origin::V4(match shot.by {
        By::Person | By::Engineer | By::Platform | By::OwnUser => person.address(),
        By::KeyOf(_) => BACKUP_ADDRESS,
        By::Machine => company.instances[usize::from(shot.machine)].address,
        By::Ci => BUILD_ADDRESS,
        By::AwsService(name) => return Origin::Name(name),
        By::ConfigRole => return Origin::Name("config.amazonaws.com"),
        By::Control(_) => CONTROL_ADDRESS,
        By::Node | By::Workload(_) => company.instances[7 + usize::from(shot.node) % 3].address,
        By::Anonymous => BALANCER_ADDRESS,
        By::Nobody => scanner(rng),
    })
}

fn agent(company: &Company, shot: &Shot, log: Log, rng: &mut Rng) -> &'static str {
    let browser = BROWSERS[company.people[usize::from(shot.person)].browser].0;
    match (log, shot.by) {
        (Log::CloudTrail, By::AwsService(name)) => name,
        (Log::CloudTrail, By::ConfigRole) => "config.amazonaws.com",
        (Log::CloudTrail, By::KeyOf(_)) => BOTO,
        (Log::CloudTrail, By::Machine) => SDK,
        (Log::CloudTrail, By::Ci) => TERRAFORM,
        (Log::CloudTrail, _) => {
            if rng.chance(50) {
                browser
            } else {
                CLI
            }
        }
        (Log::Kubernetes, By::Control(_)) => {
            "kube-controller-manager/v1.34.1 (linux/arm64) kubernetes/93248f9/shared-informers"
        }
        (Log::Kubernetes, By::Node) => "kubelet/v1.34.1 (linux/arm64) kubernetes/93248f9",
        (Log::Kubernetes, By::Workload(_)) => "client-go/v0.34.1 (linux/arm64)",
        (Log::Kubernetes, By::Anonymous) => "ELB-HealthChecker/2.0",
        (Log::Kubernetes, _) => KUBECTL,
        _ => browser,
    }
}

/// Fills the holes of one event.
pub(crate) struct Filler<'a> {
    pub company: &'a Company,
    pub shot: &'a Shot,
    pub at: Timestamp,
    /// The provider's identity of the event.
    pub id: u128,
    pub rng: Rng,
}

/// Where people who do not belong here seem to be.
static ELSEWHERE: Place = Place {
    city: "Amsterdam",
    state: "North Holland",
    country: "Netherlands",
    code: "NL",
    postal: "1012",
    lat: "52.37",
    lon: "4.89",
    offset_h: 1,
    office: 0,
};

impl Filler<'_> {
    pub(crate) fn person(&self) -> &Person {
        &self.company.people[usize::from(self.shot.person)]
    }

    fn peer(&self) -> &Person {
        &self.company.people[usize::from(self.shot.peer)]
    }

    fn place(&self) -> &Place {
        let person = self.person();
        match self.shot.from {
            Origin::V4(at) if at == person.home => person.place,
            Origin::V4(at) => PLACES.iter().find(|p| p.office == at).unwrap_or(&ELSEWHERE),
            Origin::Name(_) => person.place,
        }
    }

    /// Appends what belongs in the hole.
    pub(crate) fn put(&mut self, var: Var, out: &mut String) {
        match var {
            Var::Time | Var::TimeMillis | Var::TimeMicros | Var::TimeMicrosLater => {
                self.put_time(var, out);
            }
            Var::Millis => number(self.at.0 / 1_000_000, out),
            Var::Uuid => rng::uuid(self.id, out),
            Var::Hex32 => rng::hex128(self.id, out),
            Var::Doc => rng::base64(self.id, out),
            Var::Request => rng::uuid(self.id.rotate_left(61) ^ 0x7e9_4e57, out),
            Var::Same(digits) => Rng::new(self.id as u64, 7).hex(usize::from(digits), out),
            Var::AwsDate(hours) => aws_date(Timestamp(self.at.0 + i64::from(hours) * HOUR_NS), out),
            Var::Hex(digits) => self.rng.hex(usize::from(digits), out),
            Var::Base32(digits) => self.rng.base32(usize::from(digits), out),
            Var::Number(low, high) => {
                let n = self.rng.between(u64::from(low), u64::from(high));
                number(n as i64, out);
            }
            Var::Identity => identity::cloudtrail(self, out),
            Var::KubeUser => identity::kubernetes(self, out),
            Var::Address => match self.shot.from {
                Origin::V4(at) => address(at, out),
                Origin::Name(name) => out.push_str(name),
            },
            Var::Geo => geo(self.place(), out),
            Var::Country => out.push_str(self.place().code),
            Var::Proxy => out.push_str(if self.shot.proxy { "true" } else { "false" }),
            Var::AsNumber => number(if self.place().office == 0 { 64_500 } else { 64_496 }, out),
            Var::Agent => out.push_str(self.shot.agent),
            Var::Account => out.push_str(ACCOUNT),
            _ => self.put_name(var, out),
        }
    }

    fn put_time(&self, var: Var, out: &mut String) {
        let at = match var {
            Var::TimeMicrosLater => Timestamp(self.at.0 + 3_417_000 + (self.id & 0xff_ffff) as i64),
            _ => self.at,
        };
        let ns = to_seconds(at, out);
        match var {
            Var::Time => {}
            Var::TimeMillis => {
                out.push('.');
                digits(ns / 1_000_000, 3, out);
            }
            _ => {
                out.push('.');
                digits(ns / 1_000, 6, out);
            }
        }
        out.push('Z');
    }

    /// The names of people and things.
    fn put_name(&self, var: Var, out: &mut String) {
        let (company, shot) = (self.company, self.shot);
        let machine = &company.instances[usize::from(shot.machine)];
        let pod = &company.pods[usize::from(shot.pod)];
        let text: &str = match var {
            Var::Handle => return handle(self.person(), '.', out),
            Var::Mail => return mail(self.person(), out),
            Var::Name => return full_name(self.person(), out),
            Var::Login => return handle(self.person(), '-', out),
            Var::GithubId => return number(self.person().github_id as i64, out),
            Var::PeerHandle => return handle(self.peer(), '.', out),
            Var::PeerMail => return mail(self.peer(), out),
            Var::PeerName => return full_name(self.peer(), out),
            Var::PeerLogin => return handle(self.peer(), '-', out),
            Var::RepoId => return number(551_200_330 + i64::from(shot.repo), out),
            Var::Private => return address(machine.address, out),
            Var::OktaId => &self.person().okta_id,
            Var::PeerOktaId => &self.peer().okta_id,
            Var::Browser => self.browser().1,
            Var::Os => self.browser().2,
            Var::Bucket => BUCKETS[usize::from(shot.bucket)],
            Var::Instance => &machine.id,
            Var::Eni => &machine.eni,
            Var::Service | Var::Role => machine.service,
            Var::RoleId => company.role_id(machine.service),
            Var::Vpc => &company.vpc,
            Var::Subnet => &company.subnets[machine.subnet],
            Var::Detector => &company.detector,
            Var::Key => &company.keys[usize::from(shot.key)],
            Var::Repo => REPOS[usize::from(shot.repo)],
            Var::App => APPS[usize::from(shot.app)].0,
            Var::AppId => APPS[usize::from(shot.app)].1,
            Var::Namespace => pod.namespace,
            Var::Deployment => pod.deployment,
            Var::Pod => &pod.name,
            Var::Node => NODES[usize::from(shot.node)],
            _ => unreachable!("put() fills the other holes"),
        };
        out.push_str(text);
    }

    /// The browser that the agent belongs to.
    fn browser(&self) -> &'static (&'static str, &'static str, &'static str) {
        let agent = self.shot.agent;
        BROWSERS.iter().find(|b| b.0 == agent).unwrap_or(&("", "UNKNOWN", "Unknown"))
    }
}

/// RFC 3339 without a fraction and without the zone; returns the nanoseconds left.
fn to_seconds(at: Timestamp, out: &mut String) -> u32 {
    let (y, mo, d, h, mi, s, ns) = at.civil();
    number(y, out);
    for (mark, n) in [('-', mo), ('-', d), ('T', h), (':', mi), (':', s)] {
        out.push(mark);
        digits(n, 2, out);
    }
    ns
}

/// RFC 3339 in whole seconds.
pub(crate) fn seconds(at: Timestamp, out: &mut String) {
    to_seconds(at, out);
    out.push('Z');
}

fn aws_date(at: Timestamp, out: &mut String) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (y, mo, d, h, mi, s, _) = at.civil();
    let month = MONTHS[mo as usize - 1];
    let (hour, half) = ((h + 11) % 12 + 1, if h < 12 { "AM" } else { "PM" });
    write!(out, "{month} {d}, {y}, {hour}:{mi:02}:{s:02} {half}")
        .expect("writing to a string cannot fail");
}

/// `ines.moreau`
pub(crate) fn handle(person: &Person, between: char, out: &mut String) {
    let lower = |c: char| c.to_ascii_lowercase();
    out.extend(person.first.chars().map(lower));
    out.push(between);
    out.extend(person.last.chars().map(lower));
}

pub(crate) fn mail(person: &Person, out: &mut String) {
    handle(person, '.', out);
    out.push_str("@larkspur.example");
}

fn full_name(person: &Person, out: &mut String) {
    out.push_str(person.first);
    out.push(' ');
    out.push_str(person.last);
}

fn geo(place: &Place, out: &mut String) {
    let Place { city, state, country, postal, lat, lon, .. } = place;
    for (name, value) in
        [("{\"city", city), ("state", state), ("country", country), ("postalCode", postal)]
    {
        if !name.starts_with('{') {
            out.push_str(",\"");
        }
        out.push_str(name);
        out.push_str("\":\"");
        out.push_str(value);
        out.push('"');
    }
    out.push_str(",\"geolocation\":{\"lat\":");
    out.push_str(lat);
    out.push_str(",\"lon\":");
    out.push_str(lon);
    out.push_str("}}");
}

pub(crate) fn number(n: i64, out: &mut String) {
    write!(out, "{n}").expect("writing to a string cannot fail");
}

fn digits(n: u32, width: usize, out: &mut String) {
    write!(out, "{n:0width$}").expect("writing to a string cannot fail");
}

/// A dotted address.
pub(crate) fn address(at: u32, out: &mut String) {
    let [a, b, c, d] = at.to_be_bytes();
    write!(out, "{a}.{b}.{c}.{d}").expect("writing to a string cannot fail");
}
