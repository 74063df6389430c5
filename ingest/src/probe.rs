//! What trying out a configured source finds: what may be done, what is missing, in words. Nothing is handed
//! over and nothing is taken away from other readers.

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, and how it is if it is well.
    pub what: String,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// All of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What the source reads, `the subscription projects/p/subscriptions/s`.
    pub reads: String,
    pub findings: Vec<Finding>,
    /// What the credential must be allowed to do.
    pub needs: String,
    /// The page of the documentation about it.
    pub docs: &'static str,
}

impl Findings {
    pub fn new(reads: impl Into<String>, needs: impl Into<String>, docs: &'static str) -> Self {
        Self { reads: reads.into(), findings: Vec::new(), needs: needs.into(), docs }
    }

    /// It is well.
    pub fn good(&mut self, what: impl Into<String>) {
        self.findings.push(Finding { what: what.into(), trouble: None });
    }

    /// It is not.
    pub fn bad(&mut self, what: impl Into<String>, trouble: impl Into<String>) {
        self.findings.push(Finding { what: what.into(), trouble: Some(trouble.into()) });
    }

    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.trouble.is_none())
    }
}
