//! Every kind of event there is: its name, who causes it, how often, and its template.
//!
//! The tables are in `kinds/*.rs`, one row a kind; kinds with weight 0 occur only in stories.

mod aws;
mod github;
mod guardduty;
mod k8s;
mod okta;

use std::collections::HashMap;

use crate::log::Log;
use crate::rng::Rng;
use crate::template::Template;

/// Who causes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Anybody who works there.
    Person,
    /// Engineers and the platform team.
    Engineer,
    /// The platform team.
    Platform,
    /// An IAM user with a long-lived key.
    KeyOf(&'static str),
    /// An IAM user with the name of the person.
    OwnUser,
    /// A virtual machine, with the role of its service.
    Machine,
    /// The build system.
    Ci,
    /// An AWS service, `ec2.amazonaws.com`.
    AwsService(&'static str),
    /// AWS Config with its own role.
    ConfigRole,
    /// A component of the cluster's control plane, by its user name.
    Control(&'static str),
    /// A node of the cluster.
    Node,
    /// A service account, `namespace:name`.
    Workload(&'static str),
    Anonymous,
    /// Nobody: findings of GuardDuty.
    Nobody,
}

/// A kind of event.
#[derive(Debug)]
pub(crate) struct Kind {
    pub name: &'static str,
    pub log: Log,
    pub by: By,
    /// How often among the benign events of its log type.
    pub weight: u32,
    pub template: Template,
}

/// Index of a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KindId(u16);

/// All kinds, ready to be filled.
#[derive(Debug)]
pub(crate) struct Templates {
    kinds: Vec<Kind>,
    by_name: HashMap<&'static str, KindId>,
    /// Per log type: kinds with the running sum of their weights.
    weighted: [Vec<(u64, KindId)>; 6],
}

impl Templates {
    /// Compiles the tables.
    ///
    /// # Panics
    /// When two kinds have the same name.
    pub(crate) fn new() -> Self {
        let mut kinds = aws::kinds();
        kinds.extend(guardduty::kinds());
        kinds.extend(okta::kinds());
        kinds.extend(github::kinds());
        kinds.extend(k8s::kinds());
        let mut by_name = HashMap::new();
        let mut weighted = [const { Vec::new() }; 6];
        for (i, kind) in kinds.iter().enumerate() {
            let id = KindId(i as u16);
            assert!(by_name.insert(kind.name, id).is_none(), "kind {} is there twice", kind.name);
            let list: &mut Vec<(u64, KindId)> = &mut weighted[kind.log as usize];
            let sum = list.last().map_or(0, |(sum, _)| *sum);
            if kind.weight > 0 {
                list.push((sum + u64::from(kind.weight), id));
            }
        }
        Self { kinds, by_name, weighted }
    }

    pub(crate) fn get(&self, id: KindId) -> &Kind {
        &self.kinds[usize::from(id.0)]
    }

    /// # Panics
    /// When there is no such kind: names are part of this program.
    pub(crate) fn named(&self, name: &str) -> KindId {
        *self.by_name.get(name).unwrap_or_else(|| panic!("no such kind: {name}"))
    }

    /// A benign kind of a log type that has templates (not flow logs), by weight.
    pub(crate) fn benign(&self, log: Log, rng: &mut Rng) -> KindId {
        let list = &self.weighted[log as usize];
        let sum = list.last().expect("every log type has benign kinds").0;
        let at = rng.below(sum);
        list[list.partition_point(|(upto, _)| *upto <= at)].1
    }
}
