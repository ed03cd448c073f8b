//! Every code that the sources can answer with is described, and nothing else is; so is
//! every reason that a result can have.

use std::collections::BTreeSet;
use std::path::Path;

const DESCRIBED: &str = include_str!("../../../docs/problems.md");
/// Where our reasons have their codes, each after an arrow.
const REASONS: &str = include_str!("../../../decide/src/reason.rs");

/// What makes a problem, or a refusal that becomes one; its code is the first text in
/// the call.
const MAKERS: [&str; 11] = [
    "Problem::malformed(",
    "Problem::invalid(",
    "Problem::not_found(",
    "Problem::conflict(",
    "Problem::unavailable(",
    "Problem::too_many(",
    "Problem::unauthorized(",
    "Problem::forbidden(",
    "Problem::new(",
    "Refusal::of_id(",
    "Refusal::of_field(",
];

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests stand at the end of a file.
            let own = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push(own.replace("Self::", "Problem::"));
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The codes that the sources have in calls that make problems.
fn made() -> BTreeSet<String> {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let mut codes = BTreeSet::new();
    for source in &all {
        for maker in MAKERS {
            for call in source.split(maker).skip(1) {
                let arguments = call.split(';').next().unwrap_or_default();
                // A status may stand before it, and no other call.
                let quoted = arguments.split_once('"').filter(|(before, _)| {
                    let before = before.trim().to_lowercase();
                    before.is_empty() || before.ends_with(',') && before.contains("status")
                });
                let code = quoted.and_then(|(_, rest)| rest.split('"').next());
                codes.extend(code.filter(|code| is_code(code)).map(str::to_owned));
            }
        }
    }
    codes
}

#[test]
fn every_code_is_described_and_nothing_else_is() {
    let described: Vec<&str> = DESCRIBED
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let set: BTreeSet<String> = described.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(set.len(), described.len(), "described twice");
    let mut made = made();
    assert!(made.len() > 40, "{made:?}");
    // Where the code is chosen among several, or comes from the reasons of results.
    made.extend(
        [
            "missing_field",
            "unknown_field",
            "duplicate_field",
            "unknown_value",
            "wrong_type",
            "number_out_of_range",
            "wrong_form",
            "field_empty",
            "field_too_long",
            "field_has_control_characters",
            "field_has_invisible_characters",
            "date_out_of_range",
            "invalid_email",
            "invalid_amount",
            "invalid_state",
            "invalid_area",
            "invalid_format",
            "fee_of_nothing",
            "outcome_does_not_fit",
            "cut_in_the_future",
            "id_without_time",
            "past_horizon",
            "id_from_the_future",
            "invalid_token",
            "expired_token",
        ]
        .map(str::to_owned),
    );
    let missing: Vec<_> = made.difference(&set).collect();
    let dead: Vec<_> = set.difference(&made).collect();
    assert!(
        missing.is_empty(),
        "docs/problems.md does not describe {missing:?}"
    );
    assert!(
        dead.is_empty(),
        "docs/problems.md describes {dead:?}, which nothing answers"
    );
}

/// The codes in the first column of a part of the section about results.
fn reasons_after(heading: &str) -> Vec<String> {
    let section = DESCRIBED.split_once("## Reasons of results").unwrap().1;
    let part = section.split_once(heading).unwrap().1;
    part.lines()
        .skip_while(|line| !line.starts_with("| `"))
        .map_while(|line| line.strip_prefix("| `"))
        .map(|row| {
            let (code, described) = row.split_once("` | ").unwrap();
            assert!(is_code(code) && described.len() > 5, "{row}");
            code.to_owned()
        })
        .collect()
}

fn compare(described: &[String], can_be: BTreeSet<String>) {
    let set: BTreeSet<String> = described.iter().cloned().collect();
    assert_eq!(set.len(), described.len(), "described twice: {described:?}");
    let missing: Vec<_> = can_be.difference(&set).collect();
    let dead: Vec<_> = set.difference(&can_be).collect();
    assert!(
        missing.is_empty() && dead.is_empty(),
        "docs/problems.md lacks the reasons {missing:?}, and has {dead:?}, which no result has"
    );
}

#[test]
fn every_reason_of_a_result_is_described_and_nothing_else_is() {
    let arrows = REASONS.split("=> \"").skip(1);
    let mut ours: BTreeSet<String> = arrows
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    assert!(ours.contains("insufficient_funds") && ours.len() > 40);
    // An operator's decisions, and what a bank or we have undone.
    let others = [
        "refused_by_operator",
        "came_back",
        "given_up",
        "reversed_by_bank",
        "undone",
    ];
    ours.extend(others.map(str::to_owned));
    compare(&reasons_after("Of our own:"), ours);
    let banks = mypay_bank::Reason::ALL.map(|reason| reason.as_str().to_owned());
    compare(&reasons_after("Of the banks"), banks.into());
}
