//! Names of MITRE ATT&CK tactics and of the techniques that cloud, SaaS and network rules name.
//!
//! A technique that is not in the table is shown by its id: the table is a help for the reader, not
//! a list of what is allowed. It must not guess.

/// The ATT&CK part of a rule's tags, in words, in the order of the tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attack {
    /// `Initial Access`
    pub tactics: Vec<String>,
    /// `Valid Accounts: Cloud Accounts (T1078.004)`; only the id where the table has no name.
    pub techniques: Vec<String>,
}

impl Attack {
    /// Reads Sigma tags: `attack.t1078.004`, `attack.initial-access`. Ignores other name spaces,
    /// groups and software.
    pub fn of_tags(tags: &[String]) -> Self {
        let mut attack = Self::default();
        for tag in tags {
            let tag = tag.to_ascii_lowercase();
            let Some(name) = tag.strip_prefix("attack.") else { continue };
            if let Some(technique) = technique(name) {
                push_new(&mut attack.techniques, technique);
            } else if let Some(tactic) = tactic(name) {
                push_new(&mut attack.tactics, tactic.into());
            }
        }
        attack
    }
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The name of a tactic, from Sigma's spelling of it with `-` or `_`.
pub fn tactic(name: &str) -> Option<&'static str> {
    Some(match name.replace('_', "-").as_str() {
        "reconnaissance" => "Reconnaissance",
        "resource-development" => "Resource Development",
        "initial-access" => "Initial Access",
        "execution" => "Execution",
        "persistence" => "Persistence",
        "privilege-escalation" => "Privilege Escalation",
        "defense-evasion" => "Defense Evasion",
        "credential-access" => "Credential Access",
        "discovery" => "Discovery",
        "lateral-movement" => "Lateral Movement",
        "collection" => "Collection",
        "command-and-control" => "Command and Control",
        "exfiltration" => "Exfiltration",
        "impact" => "Impact",
        _ => return None,
    })
}

/// `t1078.004` as `Valid Accounts: Cloud Accounts (T1078.004)`; `None` when it is no technique id.
pub fn technique(id: &str) -> Option<String> {
    let id = id.to_ascii_uppercase();
    if !is_technique_id(&id) {
        return None;
    }
    let (parent, sub) = match id.split_once('.') {
        Some((parent, _)) => (parent, name_of(&id)),
        None => (id.as_str(), None),
    };
    Some(match (name_of(parent), sub) {
        (Some(parent), Some(sub)) => format!("{parent}: {sub} ({id})"),
        (Some(name), None) => format!("{name} ({id})"),
        (None, Some(sub)) => format!("{sub} ({id})"),
        (None, None) => id,
    })
}

/// `T1234` or `T1234.001`.
fn is_technique_id(id: &str) -> bool {
    let Some(digits) = id.strip_prefix('T') else { return false };
    let (parent, sub) = digits.split_once('.').unwrap_or((digits, "000"));
    let all_digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    all_digits(parent, 4) && all_digits(sub, 3)
}

fn name_of(id: &str) -> Option<&'static str> {
    let found = TECHNIQUES.binary_search_by_key(&id, |(id, _)| id).ok()?;
    Some(TECHNIQUES[found].1)
}

/// Sorted by id. A sub-technique's name is without its parent's.
const TECHNIQUES: &[(&str, &str)] = &[
    ("T1003", "OS Credential Dumping"),
    ("T1005", "Data from Local System"),
    ("T1016", "System Network Configuration Discovery"),
    ("T1018", "Remote System Discovery"),
    ("T1020", "Automated Exfiltration"),
    ("T1021", "Remote Services"),
    ("T1021.001", "Remote Desktop Protocol"),
    ("T1021.004", "SSH"),
    ("T1021.007", "Cloud Services"),
    ("T1021.008", "Direct Cloud VM Connections"),
    ("T1027", "Obfuscated Files or Information"),
    ("T1029", "Scheduled Transfer"),
    ("T1030", "Data Transfer Size Limits"),
    ("T1033", "System Owner/User Discovery"),
    ("T1036", "Masquerading"),
    ("T1040", "Network Sniffing"),
    ("T1041", "Exfiltration Over C2 Channel"),
    ("T1046", "Network Service Discovery"),
    ("T1048", "Exfiltration Over Alternative Protocol"),
    ("T1049", "System Network Connections Discovery"),
    ("T1053", "Scheduled Task/Job"),
    ("T1053.007", "Container Orchestration Job"),
    ("T1059", "Command and Scripting Interpreter"),
    ("T1059.004", "Unix Shell"),
    ("T1059.009", "Cloud API"),
    ("T1068", "Exploitation for Privilege Escalation"),
    ("T1069", "Permission Groups Discovery"),
    ("T1069.003", "Cloud Groups"),
    ("T1070", "Indicator Removal"),
    ("T1071", "Application Layer Protocol"),
    ("T1071.001", "Web Protocols"),
    ("T1071.004", "DNS"),
    ("T1072", "Software Deployment Tools"),
    ("T1078", "Valid Accounts"),
    ("T1078.001", "Default Accounts"),
    ("T1078.002", "Domain Accounts"),
    ("T1078.003", "Local Accounts"),
    ("T1078.004", "Cloud Accounts"),
    ("T1082", "System Information Discovery"),
    ("T1083", "File and Directory Discovery"),
    ("T1087", "Account Discovery"),
    ("T1087.004", "Cloud Account"),
    ("T1090", "Proxy"),
    ("T1090.003", "Multi-hop Proxy"),
    ("T1095", "Non-Application Layer Protocol"),
    ("T1098", "Account Manipulation"),
    ("T1098.001", "Additional Cloud Credentials"),
    ("T1098.002", "Additional Email Delegate Permissions"),
    ("T1098.003", "Additional Cloud Roles"),
    ("T1098.004", "SSH Authorized Keys"),
    ("T1098.005", "Device Registration"),
    ("T1098.006", "Additional Container Cluster Roles"),
    ("T1105", "Ingress Tool Transfer"),
    ("T1110", "Brute Force"),
    ("T1110.001", "Password Guessing"),
    ("T1110.003", "Password Spraying"),
    ("T1110.004", "Credential Stuffing"),
    ("T1111", "Multi-Factor Authentication Interception"),
    ("T1114", "Email Collection"),
    ("T1119", "Automated Collection"),
    ("T1133", "External Remote Services"),
    ("T1134", "Access Token Manipulation"),
    ("T1136", "Create Account"),
    ("T1136.003", "Cloud Account"),
    ("T1137", "Office Application Startup"),
    ("T1184", "SSH Hijacking"),
    ("T1187", "Forced Authentication"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1195", "Supply Chain Compromise"),
    ("T1195.001", "Compromise Software Dependencies and Development Tools"),
    ("T1195.002", "Compromise Software Supply Chain"),
    ("T1199", "Trusted Relationship"),
    ("T1201", "Password Policy Discovery"),
    ("T1204", "User Execution"),
    ("T1204.003", "Malicious Image"),
    ("T1210", "Exploitation of Remote Services"),
    ("T1213", "Data from Information Repositories"),
    ("T1213.003", "Code Repositories"),
    ("T1219", "Remote Access Software"),
    ("T1222", "File and Directory Permissions Modification"),
    ("T1484", "Domain or Tenant Policy Modification"),
    ("T1484.002", "Trust Modification"),
    ("T1485", "Data Destruction"),
    ("T1486", "Data Encrypted for Impact"),
    ("T1489", "Service Stop"),
    ("T1490", "Inhibit System Recovery"),
    ("T1496", "Resource Hijacking"),
    ("T1498", "Network Denial of Service"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1505", "Server Software Component"),
    ("T1518", "Software Discovery"),
    ("T1525", "Implant Internal Image"),
    ("T1526", "Cloud Service Discovery"),
    ("T1528", "Steal Application Access Token"),
    ("T1530", "Data from Cloud Storage"),
    ("T1531", "Account Access Removal"),
    ("T1535", "Unused/Unsupported Cloud Regions"),
    ("T1537", "Transfer Data to Cloud Account"),
    ("T1538", "Cloud Service Dashboard"),
    ("T1539", "Steal Web Session Cookie"),
    ("T1543", "Create or Modify System Process"),
    ("T1546", "Event Triggered Execution"),
    ("T1548", "Abuse Elevation Control Mechanism"),
    ("T1548.005", "Temporary Elevated Cloud Access"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1550.001", "Application Access Token"),
    ("T1550.004", "Web Session Cookie"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Credentials In Files"),
    ("T1552.005", "Cloud Instance Metadata API"),
    ("T1552.007", "Container API"),
    ("T1555", "Credentials from Password Stores"),
    ("T1555.006", "Cloud Secrets Management Stores"),
    ("T1556", "Modify Authentication Process"),
    ("T1556.006", "Multi-Factor Authentication"),
    ("T1556.009", "Conditional Access Policies"),
    ("T1557", "Adversary-in-the-Middle"),
    ("T1562", "Impair Defenses"),
    ("T1562.001", "Disable or Modify Tools"),
    ("T1562.007", "Disable or Modify Cloud Firewall"),
    ("T1562.008", "Disable or Modify Cloud Logs"),
    ("T1563", "Remote Service Session Hijacking"),
    ("T1565", "Data Manipulation"),
    ("T1566", "Phishing"),
    ("T1567", "Exfiltration Over Web Service"),
    ("T1567.001", "Exfiltration to Code Repository"),
    ("T1567.002", "Exfiltration to Cloud Storage"),
    ("T1568", "Dynamic Resolution"),
    ("T1571", "Non-Standard Port"),
    ("T1572", "Protocol Tunneling"),
    ("T1578", "Modify Cloud Compute Infrastructure"),
    ("T1578.001", "Create Snapshot"),
    ("T1578.002", "Create Cloud Instance"),
    ("T1578.003", "Delete Cloud Instance"),
    ("T1580", "Cloud Infrastructure Discovery"),
    ("T1583", "Acquire Infrastructure"),
    ("T1586", "Compromise Accounts"),
    ("T1589", "Gather Victim Identity Information"),
    ("T1590", "Gather Victim Network Information"),
    ("T1595", "Active Scanning"),
    ("T1595.001", "Scanning IP Blocks"),
    ("T1595.002", "Vulnerability Scanning"),
    ("T1606", "Forge Web Credentials"),
    ("T1608", "Stage Capabilities"),
    ("T1609", "Container Administration Command"),
    ("T1610", "Deploy Container"),
    ("T1611", "Escape to Host"),
    ("T1612", "Build Image on Host"),
    ("T1613", "Container and Resource Discovery"),
    ("T1614", "System Location Discovery"),
    ("T1619", "Cloud Storage Object Discovery"),
    ("T1621", "Multi-Factor Authentication Request Generation"),
    ("T1648", "Serverless Execution"),
    ("T1649", "Steal or Forge Authentication Certificates"),
    ("T1651", "Cloud Administration Command"),
    ("T1654", "Log Enumeration"),
    ("T1657", "Financial Theft"),
    ("T1666", "Modify Cloud Resource Hierarchy"),
    ("T1671", "Cloud Application Integration"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, expected: Option<&str>) {
        assert_eq!(technique(id).as_deref(), expected, "{id}");
    }

    #[test]
    fn techniques_have_names_or_stay_ids() {
        check("t1078.004", Some("Valid Accounts: Cloud Accounts (T1078.004)"));
        check("t1098", Some("Account Manipulation (T1098)"));
        check("t1078.099", Some("Valid Accounts (T1078.099)"));
        check("t9999", Some("T9999"));
        check("t9999.001", Some("T9999.001"));
        check("g0016", None);
        check("t12", None);
        check("t1078.4", None);
        check("t1078.0x4", None);
        check("", None);
    }

    #[test]
    fn the_table_is_sorted_and_sane() {
        assert!(TECHNIQUES.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(TECHNIQUES.iter().all(|(id, name)| is_technique_id(id) && !name.is_empty()));
    }

    #[test]
    fn tags_of_other_kinds_are_ignored() {
        let tags = ["attack.t1078", "cve.2024-1", "attack.defense_evasion", "attack.g0016"]
            .map(String::from);
        let expected = Attack {
            tactics: vec!["Defense Evasion".into()],
            techniques: vec!["Valid Accounts (T1078)".into()],
        };
        assert_eq!(Attack::of_tags(&tags), expected);
        let both = ["attack.initial-access", "attack.initial_access"].map(String::from);
        assert_eq!(Attack::of_tags(&both).tactics, ["Initial Access"]);
    }
}
