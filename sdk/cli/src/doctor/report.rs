//! What was found out about one gateway.

use serde_json::{Value, json};

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Resolve,
    Udp,
    Certificate,
    Realm,
    Token,
    Session,
    RoundTrip,
    Mesh,
}

const STEPS: [Step; 8] = [
    Step::Resolve,
    Step::Udp,
    Step::Certificate,
    Step::Realm,
    Step::Token,
    Step::Session,
    Step::RoundTrip,
    Step::Mesh,
];

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Udp => "udp",
            Self::Certificate => "certificate",
            Self::Realm => "realm",
            Self::Token => "token",
            Self::Session => "session",
            Self::RoundTrip => "round_trip",
            Self::Mesh => "mesh",
        }
    }
}

/// Findings, one for each step that was taken.
#[derive(Debug)]
pub(crate) struct Report {
    url: String,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    step: Step,
    detail: String,
    /// What to do, where the step failed.
    remedy: Option<String>,
}

impl Report {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), findings: Vec::new() }
    }

    pub(crate) fn ok(&mut self, step: Step, detail: impl Into<String>) {
        self.findings.push(Finding { step, detail: detail.into(), remedy: None });
    }

    pub(crate) fn failed(&mut self, step: Step, detail: impl Into<String>, remedy: impl Into<String>) {
        self.findings.push(Finding { step, detail: detail.into(), remedy: Some(remedy.into()) });
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.remedy.is_none())
    }

    /// A line for each step, and one for what to do.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.url.clone()];
        for step in STEPS {
            let name = step.name();
            match self.find(step) {
                None => lines.push(format!("  -       {name}")),
                Some(Finding { detail, remedy: None, .. }) => {
                    lines.push(format!("  ok      {name:<12} {detail}"))
                }
                Some(Finding { detail, remedy: Some(remedy), .. }) => {
                    lines.push(format!("  FAILED  {name:<12} {detail}"));
                    lines.push(format!("          {:<12} {remedy}", "what to do:"));
                }
            }
        }
        lines.join("\n")
    }

    /// The same for programs; steps that were not reached are `skipped`.
    pub(crate) fn object(&self) -> Value {
        let steps: Vec<Value> = STEPS
            .into_iter()
            .map(|step| match self.find(step) {
                None => json!({"step": step.name(), "status": "skipped"}),
                Some(Finding { detail, remedy: None, .. }) => {
                    json!({"step": step.name(), "status": "ok", "detail": detail})
                }
                Some(Finding { detail, remedy: Some(remedy), .. }) => {
                    json!({"step": step.name(), "status": "failed", "detail": detail, "remedy": remedy})
                }
            })
            .collect();
        json!({"url": self.url, "ok": self.is_healthy(), "steps": steps})
    }

    fn find(&self, step: Step) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.step == step)
    }
}
