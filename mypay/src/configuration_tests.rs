//! Every variable that is read anywhere is in `docs/configuration.md`, and no other.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/configuration.md");
const PREFIX: &str = "MYPAY_";
/// What is no source of ours, or tells of variables without reading them.
const NOT_READ: [&str; 4] = ["docs", "target", "node_modules", "released"];

fn is_source(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "yml" | "yaml" | "py" | "toml"))
        || matches!(name, Some("Makefile" | "Dockerfile"))
        || extension.is_none()
            && path
                .parent()
                .is_some_and(|parent| parent.ends_with("scripts"))
}

/// The variables that a text names; those that it leaves open (`MYPAY_JWT_*`) are none.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !matches!(character, 'A'..='Z' | '0'..='9' | '_'));
    words.filter(|word| {
        word.strip_prefix(PREFIX)
            .is_some_and(|rest| !rest.is_empty() && !rest.ends_with('_'))
    })
}

fn read_below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !NOT_READ.contains(&&*name) {
                read_below(&path, found);
            }
        } else if is_source(&path) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(named(&text).map(str::to_owned));
        }
    }
}

#[test]
fn every_variable_has_its_row_in_the_page_and_no_other_has() {
    let mut read = BTreeSet::new();
    read_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut read);
    assert!(
        read.len() > 40 && read.contains("MYPAY_KAFKA_HEAP_OPTS"),
        "{read:?}"
    );
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let page: BTreeSet<String> = rows.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(page.len(), rows.len(), "a variable has two rows");
    let missing: Vec<_> = read.difference(&page).collect();
    let dead: Vec<_> = page.difference(&read).collect();
    assert!(
        missing.is_empty() && dead.is_empty(),
        "docs/configuration.md lacks {missing:?}, and has {dead:?}, which nothing reads"
    );
}
