//! Every code that the sources can answer with is described, and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

const DESCRIBED: &str = include_str!("../../../docs/problems.md");

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
