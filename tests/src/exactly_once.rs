//! One answer for each request: none missing, none twice.

use std::collections::{HashMap, HashSet};
use std::fmt;

use anyhow::bail;
use mypay_schemas::ResultStatus;

use crate::results::Answer;

/// What a request must be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// COMPLETED.
    Complete,
    /// REJECTED, with this reason code.
    BeRejected(&'static str),
    /// REJECTED, for the reason that its bank gave.
    BeRefused,
    /// Whatever comes first: it depends on what other lanes do meanwhile.
    BeAnswered,
}

/// What is wrong with the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A request without an answer.
    Missing(String),
    /// A request with several answers.
    Twice(String, usize),
    /// Two answers under one id.
    SameId(String),
    /// Another answer than the one that must be.
    Other(String, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing(request) => write!(f, "{request}: no result"),
            Fault::Twice(request, count) => write!(f, "{request}: {count} results"),
            Fault::SameId(message) => write!(f, "two results have the id {message}"),
            Fault::Other(request, what) => write!(f, "{request}: {what}"),
        }
    }
}

/// The requests of a test, by id, and what each must be answered with.
#[derive(Debug, Clone, Default)]
pub struct Asked(HashMap<String, Must>);

impl Asked {
    /// Adds a request. Asking twice under one id is a duplicate: the first counts.
    pub fn add(&mut self, request_id: &str, must: Must) {
        self.0.entry(request_id.to_owned()).or_insert(must);
    }

    /// The ids.
    pub fn ids(&self) -> HashSet<String> {
        self.0.keys().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is wrong with these answers. Answers of other requests are of no
    /// concern, but for their ids.
    pub fn faults(&self, answers: &[Answer]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut by_request: HashMap<&str, Vec<&Answer>> = HashMap::new();
        let mut ids = HashSet::new();
        for answer in answers {
            by_request
                .entry(&answer.request_id)
                .or_default()
                .push(answer);
            if !ids.insert(&answer.message_id) {
                faults.push(Fault::SameId(answer.message_id.clone()));
            }
        }
        for (request, must) in &self.0 {
            match by_request
                .get(request.as_str())
                .map_or(&[][..], Vec::as_slice)
            {
                [] => faults.push(Fault::Missing(request.clone())),
                [answer] => faults.extend(must.differs(answer)),
                several => faults.push(Fault::Twice(request.clone(), several.len())),
            }
        }
        faults
    }

    /// Fails unless each request has exactly one answer, and the right one.
    pub fn are_answered_once(&self, answers: &[Answer]) -> anyhow::Result<()> {
        let faults = self.faults(answers);
        if faults.is_empty() {
            return Ok(());
        }
        let first: Vec<String> = faults.iter().take(10).map(Fault::to_string).collect();
        let (count, asked) = (faults.len(), self.0.len());
        bail!(
            "{count} faults among {asked} requests:\n  {}",
            first.join("\n  ")
        )
    }
}

impl Must {
    fn differs(self, answer: &Answer) -> Option<Fault> {
        let reason = match self {
            Must::BeAnswered => return None,
            Must::Complete => None,
            Must::BeRejected(reason) => Some(reason),
            Must::BeRefused => answer.reason.as_deref().or(Some("a reason")),
        };
        let status = match self {
            Must::BeRejected(_) | Must::BeRefused => ResultStatus::Rejected,
            _ => ResultStatus::Completed,
        };
        let same = answer.status == status && answer.reason.as_deref() == reason;
        let what = format!("{:?} ({:?}), not {self:?}", answer.status, answer.reason);
        (!same).then(|| Fault::Other(answer.request_id.clone(), what))
    }
}

/// That the checker itself finds what it must find.
#[cfg(test)]
mod tests {
    use super::*;

    fn completed(request: &str) -> Answer {
        Answer {
            message_id: format!("result of {request}"),
            request_id: request.to_owned(),
            correlation_id: String::new(),
            status: ResultStatus::Completed,
            reason: None,
            occurred_at: 0,
        }
    }

    fn asked() -> Asked {
        let mut asked = Asked::default();
        asked.add("a", Must::Complete);
        asked.add("b", Must::BeRejected("insufficient_funds"));
        asked.add("c", Must::BeAnswered);
        asked
    }

    fn answers() -> Vec<Answer> {
        let rejected = Answer {
            status: ResultStatus::Rejected,
            reason: Some("insufficient_funds".to_owned()),
            ..completed("b")
        };
        vec![completed("a"), rejected, completed("c")]
    }

    #[test]
    fn one_answer_each_is_fine_and_strangers_are_of_no_concern() {
        let mut answers = answers();
        answers.push(completed("of another test"));
        assert_eq!(asked().faults(&answers), []);
    }

    #[test]
    fn a_missing_answer_is_found() {
        for missing in 0..3 {
            let mut answers = answers();
            let gone = answers.remove(missing);
            assert_eq!(asked().faults(&answers), [Fault::Missing(gone.request_id)]);
        }
    }

    #[test]
    fn a_second_answer_is_found_whatever_its_id() {
        for twice in 0..3 {
            let mut answers = answers();
            let again = Answer {
                message_id: "another id".to_owned(),
                ..answers[twice].clone()
            };
            let request = again.request_id.clone();
            answers.push(again);
            assert_eq!(asked().faults(&answers), [Fault::Twice(request, 2)]);
        }
    }

    #[test]
    fn an_id_that_two_answers_have_is_found() {
        let mut answers = answers();
        answers[2].message_id = answers[0].message_id.clone();
        assert_eq!(
            asked().faults(&answers),
            [Fault::SameId("result of a".to_owned())]
        );
    }

    #[test]
    fn another_status_or_reason_is_found() {
        let mut wrong = answers();
        wrong[0].status = ResultStatus::Rejected;
        assert!(
            matches!(&asked().faults(&wrong)[..], [Fault::Other(request, _)] if request == "a")
        );
        let mut wrong = answers();
        wrong[1].reason = Some("unknown_member".to_owned());
        assert!(
            matches!(&asked().faults(&wrong)[..], [Fault::Other(request, _)] if request == "b")
        );
        assert!(asked().are_answered_once(&wrong).is_err());
    }

    #[test]
    fn the_first_request_under_an_id_counts() {
        let mut asked = asked();
        asked.add("a", Must::BeRejected("same_member"));
        assert_eq!(asked.len(), 3);
        assert_eq!(asked.faults(&answers()), []);
    }
}
