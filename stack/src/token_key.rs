//! The key of a home's tokens: random, and for nobody else's eyes.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use crate::error::{AtPath, Result};
use crate::home::Home;

/// 256 bits.
const LENGTH: usize = 32;

/// Makes the key where there is none; tells whether it did. One that is there
/// stays: tokens that were made with it go on being good.
pub(crate) fn make(home: &Home) -> Result<bool> {
    let path = home.token_key();
    if path.exists() {
        return Ok(false);
    }
    let mut random = [0; LENGTH];
    getrandom::fill(&mut random)
        .map_err(std::io::Error::from)
        .at(&path)?;
    let mut written = String::with_capacity(2 * LENGTH + 1);
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(written, "{byte:02x}");
    }
    written.push('\n');
    // Whole or not at all: half a key would be one that can be guessed.
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .at(&new)?;
    file.write_all(written.as_bytes()).at(&new)?;
    std::fs::rename(&new, &path).at(&path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = std::env::temp_dir().join(format!("mypay-key-{}", std::process::id()));
        let home = Home::at(directory.clone());
        home.create().expect("made");
        assert!(make(&home).expect("made"));
        let key = std::fs::read(home.token_key()).expect("read");
        assert!(!make(&home).expect("there already"));
        assert_eq!(std::fs::read(home.token_key()).expect("read"), key);
        let mode = std::fs::metadata(home.token_key()).expect("there");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(directory).expect("removed");
        assert_eq!(key.len(), 2 * LENGTH + 1);
    }
}
