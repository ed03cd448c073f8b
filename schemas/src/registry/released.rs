//! The schemas of the releases, kept in the tree: `released/<version>/*.avsc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::compatibility;
use super::error::RegistryError;

/// The newest release.
pub(super) struct Release {
    /// Its version, as in `0.1.0`.
    pub(super) version: String,
    /// Its schemas by the name of the record.
    pub(super) schemas: BTreeMap<String, String>,
}

/// Where the tree that this was built from keeps its releases.
///
/// A check of the tree needs the tree; an installed binary that is run elsewhere
/// finds nothing here and is told a directory instead.
pub fn default_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released")
}

/// Reads the release with the highest version.
pub(super) fn newest(directory: &Path) -> Result<Release, RegistryError> {
    let fail = |reason: String| RegistryError::Released {
        directory: directory.to_owned(),
        reason,
    };
    let names = entries(directory).map_err(fail)?;
    let versions = names.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((parts(&name)?, name, path))
    });
    let (_, version, path) = versions
        .max()
        .ok_or_else(|| fail("there is no release such as 0.1.0 in it".to_owned()))?;
    let mut schemas = BTreeMap::new();
    for file in entries(&path).map_err(fail)? {
        if file
            .extension()
            .is_some_and(|extension| extension == "avsc")
        {
            let named = |reason: String| fail(format!("{}: {reason}", file.display()));
            let text = fs::read_to_string(&file).map_err(|error| named(error.to_string()))?;
            let schema = compatibility::parse(&text).map_err(named)?;
            let name = schema
                .name()
                .ok_or_else(|| named("it has no name".to_owned()))?;
            schemas.insert(name.name().to_owned(), text);
        }
    }
    if schemas.is_empty() {
        return Err(fail(format!("release {version} has no .avsc")));
    }
    Ok(Release { version, schemas })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| {
        format!("{error}; name the directory of the released schemas with --released")
    })?;
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(|error| error.to_string())
        })
        .collect()
}

/// `0.10.0` comes after `0.9.0`, so versions compare as numbers.
fn parts(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}
