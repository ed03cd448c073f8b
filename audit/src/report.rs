//! What an audit found.

use serde::Serialize;

/// How many offenders a check names.
pub const OFFENDERS_SHOWN: usize = 20;

/// Whether everything agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check holds.
    Clean,
    /// A check does not hold, or could not be made.
    Broken,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// Which: the id of a request, an entry, an account, a command.
    pub id: String,
    /// Where: a consumer, topic-partition@offset, a bank and a day.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The name, for machines.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// How many things were compared.
    pub compared: u64,
    /// The first of those that offend.
    pub offenders: Vec<Offender>,
    /// How many offend in all.
    pub offenders_total: u64,
    /// What was compared with what.
    pub what: &'static str,
    /// Where to look when it does not hold.
    pub look_at: &'static str,
    /// What was seen and is not wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why it could not be made, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub could_not: Option<String>,
}

impl Check {
    /// A check that has compared nothing yet.
    pub fn new(name: &'static str, what: &'static str, look_at: &'static str) -> Self {
        Self {
            name,
            ok: true,
            compared: 0,
            offenders: Vec::new(),
            offenders_total: 0,
            what,
            look_at,
            notes: Vec::new(),
            could_not: None,
        }
    }

    /// Counts one more thing that was compared.
    pub fn compare(&mut self) {
        self.compared += 1;
    }

    /// Notes an offender.
    pub fn offend(
        &mut self,
        id: impl Into<String>,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) {
        self.ok = false;
        self.offenders_total += 1;
        if self.offenders.len() < OFFENDERS_SHOWN {
            let (id, place, problem) = (id.into(), place.into(), problem.into());
            self.offenders.push(Offender { id, place, problem });
        }
    }

    /// Notes an offender, without the cost of its words where it is not shown.
    pub fn offend_with(&mut self, words: impl FnOnce() -> (String, String, String)) {
        if self.offenders.len() < OFFENDERS_SHOWN {
            let (id, place, problem) = words();
            self.offend(id, place, problem);
        } else {
            self.ok = false;
            self.offenders_total += 1;
        }
    }

    /// Notes what was seen and is not wrong.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The check could not be made: that is no pass.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.ok = false;
        self.could_not = Some(why.into());
    }
}

/// All checks of an audit.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether everything agrees.
    pub verdict: Verdict,
    /// The checks.
    pub checks: Vec<Check>,
    /// How long it took, in milliseconds, the wait not counted.
    pub took_ms: u64,
    /// Messages read from the topics.
    pub messages_read: u64,
}

impl Report {
    /// A report over checks.
    pub fn new(checks: Vec<Check>) -> Self {
        let clean = checks.iter().all(|check| check.ok);
        Self {
            verdict: if clean {
                Verdict::Clean
            } else {
                Verdict::Broken
            },
            checks,
            took_ms: 0,
            messages_read: 0,
        }
    }

    /// Whether a check could not be made, so that the verdict says too little.
    pub fn is_incomplete(&self) -> bool {
        self.checks.iter().any(|check| check.could_not.is_some())
    }
}
