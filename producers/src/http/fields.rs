//! What is wrong with a body that is JSON, and with which of its fields.

use std::error::Error;

use serde_path_to_error::{Path, Segment};

use super::problem::Problem;

type Fault = serde_path_to_error::Error<serde_json::Error>;
type QueryFault = serde_path_to_error::Error<serde::de::value::Error>;

/// The problem of a body that axum could not read as its type, and which says what
/// `detail` says.
pub(crate) fn problem_of(error: &(dyn Error + 'static), detail: String) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    match causes.find_map(|error| error.downcast_ref::<Fault>()) {
        Some(fault) => problem(fault),
        None => Problem::invalid("wrong_form", detail),
    }
}

/// Which parameter of a query is at fault, where axum could not read it as its type.
pub(crate) fn parameter_of(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let fault = causes.find_map(|error| error.downcast_ref::<QueryFault>())?;
    let named = fault.path().iter().find_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        _ => None,
    });
    // One that is missing, or is there twice, is told in words only.
    named.or_else(|| {
        let said = fault.inner().to_string();
        said.split('`').nth(1).map(str::to_owned)
    })
}

/// The problem of a body that is not of its type: a code for each kind of fault, and
/// a pointer (RFC 6901) to the field.
///
/// serde tells the kind in words only; a test holds it to them.
fn problem(error: &Fault) -> Problem {
    let said = without_place(&error.inner().to_string());
    let mut pointer = pointer(error.path());
    let (code, detail) = match said.split_once(' ') {
        Some(("missing", rest)) => {
            let field = quoted(rest);
            push(&mut pointer, field);
            ("missing_field", format!("{field}: is missing"))
        }
        Some(("duplicate", rest)) => {
            let field = quoted(rest);
            push_unless_there(&mut pointer, field);
            (
                "duplicate_field",
                format!("{field}: is there twice: which counts?"),
            )
        }
        Some(("unknown", rest)) if rest.starts_with("field") => {
            let field = quoted(rest);
            push_unless_there(&mut pointer, field);
            ("unknown_field", said.clone())
        }
        Some(("unknown", _)) => ("unknown_value", said.clone()),
        Some(("invalid", rest)) if rest.starts_with("type") => ("wrong_type", said.clone()),
        // A number that its type does not hold.
        Some(("invalid", rest)) if rest.starts_with("value: integer") => {
            ("number_out_of_range", said.clone())
        }
        _ => ("wrong_form", said.clone()),
    };
    Problem::invalid(code, detail).at_pointer(pointer)
}

/// `.. at line 1 column 20` says nothing to a client that made its JSON with a library.
fn without_place(said: &str) -> String {
    said.split_once(" at line ")
        .map_or(said, |(said, _)| said)
        .to_owned()
}

/// What stands in the first backticks.
fn quoted(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or(text)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// Whether the path ends with a key that was read already differs from fault to fault.
fn push_unless_there(pointer: &mut String, key: &str) {
    let mut last = String::new();
    push(&mut last, key);
    if !pointer.ends_with(&last) {
        push(pointer, key);
    }
}
