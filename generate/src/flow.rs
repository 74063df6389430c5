//! VPC flow log records, version 5 with all fields.

use event::Timestamp;

use crate::company::{ACCOUNT, Company, REGION};
use crate::rng::Rng;
use crate::shot::{address, number, scanner};

/// One record, seen at the network interface of a machine. Begins at the time of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub machine: u8,
    pub source: u32,
    pub target: u32,
    pub source_port: u16,
    pub target_port: u16,
    /// 6 is TCP, 17 UDP.
    pub protocol: u8,
    pub packets: u64,
    pub bytes: u64,
    pub accepted: bool,
    pub inbound: bool,
    /// How long it was watched, in seconds.
    pub lasts_s: u8,
}

const PROBED: &[u16] =
    &[22, 22, 23, 80, 443, 445, 1433, 2375, 3306, 3389, 3389, 5432, 5900, 6379, 8080, 9200];

/// Services on the internet that the company uses.
fn vendor(rng: &mut Rng) -> u32 {
    u32::from_be_bytes([192, 0, 2, 130 + rng.below(100) as u8])
}

impl Flow {
    /// Everyday traffic: the services talk to the database and to vendors, people come in by HTTPS,
    /// and strangers knock at closed doors all the time.
    pub(crate) fn ordinary(company: &Company, rng: &mut Rng) -> Self {
        let machine = rng.index(company.instances.len()) as u8;
        let own = company.instances[usize::from(machine)].address;
        let step = rng.between(1, company.instances.len() as u64 - 1) as usize;
        let other = (usize::from(machine) + step) % company.instances.len();
        let other = company.instances[other].address;
        let high = rng.between(32_768, 60_999) as u16;
        let packets = rng.between(6, 400);
        let flow = |source, target, source_port, target_port, inbound| Self {
            machine,
            source,
            target,
            source_port,
            target_port,
            protocol: 6,
            packets,
            bytes: 0,
            accepted: true,
            inbound,
            lasts_s: 58,
        };
        let mut flow = match rng.below(100) {
            0..30 => flow(own, other, high, 5432, false),
            30..48 => flow(other, own, high, 8080, true),
            48..62 => flow(own, vendor(rng), high, 443, false),
            62..74 => flow(vendor(rng), own, 443, high, true),
            74..80 => flow(scanner(rng), own, high, 443, true),
            80..85 => Self { protocol: 17, packets: 2, ..flow(own, other, high, 53, false) },
            85..87 => Self { protocol: 17, packets: 1, ..flow(own, vendor(rng), 123, 123, false) },
            87..88 => {
                let bastion =
                    company.instances[usize::from(company.instance_of("bastion"))].address;
                flow(bastion, own, high, 22, true)
            }
            _ => {
                let knocks = rng.between(1, 3);
                let port = *rng.pick(PROBED);
                let knock = flow(scanner(rng), own, high, port, true);
                return Self { packets: knocks, bytes: knocks * 44, accepted: false, ..knock };
            }
        };
        flow.bytes = flow.packets * rng.between(52, 1_400);
        flow.lasts_s = rng.between(10, 59) as u8;
        flow
    }

    /// Appends the record.
    pub(crate) fn write(&self, company: &Company, at: Timestamp, out: &mut String) {
        let machine = &company.instances[usize::from(self.machine)];
        let begins = at.0.div_euclid(1_000_000_000);
        out.push_str("5 ");
        out.push_str(ACCOUNT);
        out.push(' ');
        out.push_str(&machine.eni);
        out.push(' ');
        address(self.source, out);
        out.push(' ');
        address(self.target, out);
        for n in [
            i64::from(self.source_port),
            i64::from(self.target_port),
            i64::from(self.protocol),
            self.packets as i64,
            self.bytes as i64,
            begins,
            begins + i64::from(self.lasts_s),
        ] {
            out.push(' ');
            number(n, out);
        }
        let flags = match (self.protocol, self.accepted) {
            (6, true) => " 3 IPv4 ",
            (6, false) => " 2 IPv4 ",
            _ => " 0 IPv4 ",
        };
        out.push_str(if self.accepted { " ACCEPT OK " } else { " REJECT OK " });
        out.push_str(&company.vpc);
        out.push(' ');
        out.push_str(&company.subnets[machine.subnet]);
        out.push(' ');
        out.push_str(&machine.id);
        out.push_str(flags);
        address(self.source, out);
        out.push(' ');
        address(self.target, out);
        out.push(' ');
        out.push_str(REGION);
        out.push_str(" euc1-az2 - - - - ");
        out.push_str(if self.inbound { "ingress -" } else { "egress 8" });
    }
}
