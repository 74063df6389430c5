//! The company whose logs are made: who works there, where, on what.
//!
//! Everything is invented. Public addresses come from the blocks reserved for documentation and
//! benchmarks, domains end in `.example`, account numbers are those of the vendors' own manuals.

use crate::rng::{self, Rng};

/// The AWS account that everything runs in.
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-central-1";

/// What somebody does all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Engineer,
    /// Runs the cloud accounts, the cluster and Okta.
    Platform,
    /// Everybody else: finance, support, sales.
    Office,
}

/// A place with an office, or where people work from home.
#[derive(Debug)]
pub(crate) struct Place {
    pub city: &'static str,
    pub state: &'static str,
    pub country: &'static str,
    pub code: &'static str,
    pub postal: &'static str,
    pub lat: &'static str,
    pub lon: &'static str,
    /// Hours ahead of UTC.
    pub offset_h: i64,
    /// The office's address.
    pub office: u32,
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

pub(crate) const PLACES: &[Place] = &[
    Place {
        city: "Berlin",
        state: "Land Berlin",
        country: "Germany",
        code: "DE",
        postal: "10115",
        lat: "52.53",
        lon: "13.38",
        offset_h: 1,
        office: v4(203, 0, 113, 24),
    },
    Place {
        city: "London",
        state: "England",
        country: "United Kingdom",
        code: "GB",
        postal: "EC2A",
        lat: "51.52",
        lon: "-0.08",
        offset_h: 0,
        office: v4(203, 0, 113, 61),
    },
    Place {
        city: "Lisbon",
        state: "Lisbon",
        country: "Portugal",
        code: "PT",
        postal: "1200-109",
        lat: "38.71",
        lon: "-9.14",
        offset_h: 0,
        office: v4(203, 0, 113, 90),
    },
];

pub(crate) const BROWSERS: &[(&str, &str, &str)] = &[
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        "CHROME",
        "Mac OS 15.7.1 (Sequoia)",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
        "EDGE_CHROMIUM",
        "Windows 11",
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "FIREFOX", "Linux"),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
        "SAFARI",
        "Mac OS 26.1 (Tahoe)",
    ),
];

/// Somebody who works there.
#[derive(Debug)]
pub(crate) struct Person {
    pub first: &'static str,
    pub last: &'static str,
    pub job: Job,
    pub place: &'static Place,
    /// At home.
    pub home: u32,
    /// Works from there.
    pub remote: bool,
    pub browser: usize,
    pub okta_id: String,
    pub github_id: u64,
    /// Minutes after local midnight.
    pub begins_min: u64,
    pub ends_min: u64,
}

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Instance {
    pub id: String,
    pub eni: String,
    /// `ledger-api`; also the name of its role.
    pub service: &'static str,
    pub address: u32,
    pub subnet: usize,
}

/// A running pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub namespace: &'static str,
    pub deployment: &'static str,
    pub name: String,
}

/// A seeded small company: Larkspur, forty people who run a payment service. The same seed gives
/// the same company, down to the identifiers.
#[derive(Debug)]
pub struct Company {
    pub(crate) seed: u64,
    pub(crate) people: Vec<Person>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) keys: Vec<String>,
    pub(crate) vpc: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) detector: String,
    /// One per role, in the order of [`ROLES`].
    pub(crate) role_ids: Vec<String>,
    pub(crate) templates: crate::kinds::Templates,
}

/// Roles and service accounts, with an identifier each.
pub(crate) const ROLES: &[&str] = &[
    "ledger-api",
    "checkout-web",
    "batch-export",
    "ci-deploy",
    "AWSReservedSSO_PowerUser_0a1b2c3d4e5f6a7b",
    "AWSReservedSSO_ReadOnly_7b6a5f4e3d2c1b0a",
    "svc-backup",
    "svc-deploy",
    "AWSServiceRoleForConfig",
    "ledger-db",
    "bastion",
    "node",
];

pub(crate) const BUCKETS: &[&str] = &[
    "larkspur-ledger",
    "larkspur-exports",
    "larkspur-backups",
    "larkspur-artifacts",
    "larkspur-web-assets",
];
pub(crate) const REPOS: &[&str] =
    &["ledger", "checkout", "infra", "mobile-app", "design-tokens", "docs", "batch-export"];
pub(crate) const APPS: &[(&str, &str)] = &[
    ("AWS IAM Identity Center", "0oa1awsSsoKq5d7"),
    ("GitHub Enterprise", "0oa1ghEntLm5d7"),
    ("Slack", "0oa1slackPz5d7"),
    ("Google Workspace", "0oa1gwsRt5d7"),
    ("Jira", "0oa1jiraVb5d7"),
    ("Workday", "0oa1wdayNc5d7"),
];
pub(crate) const NODES: &[&str] = &[
    "ip-10-20-2-11.eu-central-1.compute.internal",
    "ip-10-20-2-38.eu-central-1.compute.internal",
    "ip-10-20-3-52.eu-central-1.compute.internal",
    "ip-10-20-3-77.eu-central-1.compute.internal",
];

const FIRST: &[&str] = &[
    "Ines", "Jonas", "Priya", "Lena", "Tom", "Aisha", "Marco", "Sofia", "Erik", "Chloe", "Daniel",
    "Yara", "Pavel", "Nora", "Luis", "Hanna", "Owen", "Mei", "Karim", "Greta", "Felix", "Amara",
    "Rui", "Clara", "Ivan", "Zoe", "Hugo", "Leila", "Max", "Elif", "Ben", "Tess", "Arjun", "Maya",
    "Oscar", "Ruth", "Sven", "Dora", "Noah", "Vera",
];
const LAST: &[&str] = &[
    "Moreau", "Weber", "Nair", "Fischer", "Hughes", "Rahman", "Conti", "Almeida", "Lund",
    "Bennett", "Novak", "Haddad", "Sokolov", "Berg", "Santos", "Krause", "Price", "Chen", "Aziz",
    "Vogel", "Brandt", "Okafor", "Sousa", "Winter", "Petrov", "Clarke", "Duarte", "Karimi",
    "Schulz", "Demir", "Foster", "Walsh", "Mehta", "Lopes", "Holm", "Adler", "Dahl", "Costa",
    "Reid", "Horvat",
];

/// The people that the stories are about, by position.
pub(crate) const INES: u8 = 0; // platform, Berlin: administrator of everything
pub(crate) const JONAS: u8 = 1; // platform, Berlin
pub(crate) const PRIYA: u8 = 2; // engineer, London
pub(crate) const LENA: u8 = 3; // platform, Berlin: help desk
pub(crate) const TOM: u8 = 4; // engineer, London: a contractor

impl Company {
    /// Founds the company.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let people = (0..FIRST.len()).map(|i| person(i, &mut rng)).collect();
        let subnets = (0..3).map(|_| tagged("subnet-0", 16, &mut rng)).collect();
        let services: &[&str] = &[
            "ledger-api",
            "ledger-api",
            "checkout-web",
            "checkout-web",
            "batch-export",
            "ledger-db",
            "bastion",
            "node",
            "node",
            "node",
        ];
        let instances = services.iter().enumerate().map(|(i, service)| Instance {
            id: tagged("i-0", 16, &mut rng),
            eni: tagged("eni-0", 16, &mut rng),
            service,
            address: v4(10, 20, 2 + (i % 3) as u8, 10 + rng.below(200) as u8),
            subnet: i % 3,
        });
        let instances = instances.collect();
        let deployments: &[(&str, &str)] = &[
            ("ledger", "ledger-api"),
            ("ledger", "ledger-worker"),
            ("checkout", "checkout-web"),
            ("checkout", "checkout-jobs"),
            ("monitoring", "prometheus"),
            ("ingress", "envoy"),
        ];
        let pods = deployments.iter().map(|(namespace, deployment)| {
            let mut name = format!("{deployment}-");
            rng.hex(10, &mut name);
            name.push('-');
            rng.hex(5, &mut name);
            Pod { namespace, deployment, name }
        });
        let pods = pods.collect();
        let keys = (0..4).map(|n| {
            let mut key = String::new();
            rng::uuid(rng::event_id(seed ^ 0x6b65_7973, n), &mut key);
            key
        });
        Self {
            seed,
            people,
            instances,
            pods,
            keys: keys.collect(),
            vpc: tagged("vpc-0", 16, &mut rng),
            subnets,
            detector: tagged("", 32, &mut rng),
            role_ids: ROLES.iter().map(|_| role_id(&mut rng)).collect(),
            templates: crate::kinds::Templates::new(),
        }
    }

    pub(crate) fn role_id(&self, role: &str) -> &str {
        let i = ROLES.iter().position(|r| *r == role).expect("every role is in ROLES");
        &self.role_ids[i]
    }

    /// The first machine of a service.
    pub(crate) fn instance_of(&self, service: &str) -> u8 {
        let found = self.instances.iter().position(|i| i.service == service);
        found.expect("every service has a machine") as u8
    }
}

impl Person {
    /// Where this person usually works from.
    pub(crate) fn address(&self) -> u32 {
        if self.remote { self.home } else { self.place.office }
    }
}

fn tagged(tag: &str, digits: usize, rng: &mut Rng) -> String {
    let mut text = tag.to_owned();
    rng.hex(digits, &mut text);
    text
}

fn role_id(rng: &mut Rng) -> String {
    let mut text = String::new();
    rng.base32(10, &mut text);
    text.push_str("EXAMPLE");
    text
}

fn person(i: usize, rng: &mut Rng) -> Person {
    let job = match i {
        0 | 1 | 3 => Job::Platform,
        2 | 4..=15 => Job::Engineer,
        _ => Job::Office,
    };
    let place = match i {
        0 | 1 | 3 => &PLACES[0],
        2 | 4 => &PLACES[1],
        _ => rng.pick(PLACES),
    };
    let mut okta_id = "00u1".to_owned();
    rng.base32(13, &mut okta_id);
    okta_id.push_str("5d7");
    let begins_min = rng.between(7 * 60 + 30, 9 * 60 + 45);
    Person {
        first: FIRST[i],
        last: LAST[i],
        job,
        place,
        home: v4(192, 0, 2, 20 + i as u8),
        remote: i == usize::from(TOM) || i > usize::from(TOM) && rng.chance(35),
        browser: rng.index(BROWSERS.len()),
        okta_id,
        github_id: 90_210_000 + rng.below(80_000),
        begins_min,
        ends_min: begins_min + rng.between(8 * 60, 10 * 60),
    }
}
