//! Where PostgreSQL's data lies.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::User;

use crate::error::{AtPath, Result};
use crate::home::Home;
use crate::ports::fnv1a;

/// For data of homes that the server's user cannot reach.
const ELSEWHERE: &str = "/var/lib/mypay";

/// The data directory of this home (it need not exist yet).
///
/// Started by root, PostgreSQL runs as another user, who cannot reach a home
/// below a directory like `/root`. Then the data lies in `/var/lib/mypay`, and
/// the home has a link to it.
pub(crate) fn locate(home: &Home, name: &str, user: Option<&User>) -> Result<PathBuf> {
    let here = home.data(name);
    if let Ok(target) = std::fs::read_link(&here) {
        return Ok(target);
    }
    let parent = home.data("");
    match user {
        Some(user) if !reachable(&parent, user) => {
            let home_id = format!("{:016x}", fnv1a(home.path().as_os_str().as_encoded_bytes()));
            let dir = Path::new(ELSEWHERE).join(home_id);
            std::fs::create_dir_all(&dir).at(&dir)?;
            let target = dir.join(name);
            symlink(&target, &here).at(&here)?;
            Ok(target)
        }
        _ => Ok(here),
    }
}

/// Removes what [`locate`] put elsewhere.
pub(crate) fn remove(home: &Home, name: &str) -> Result<()> {
    if let Ok(target) = std::fs::read_link(home.data(name))
        && let Some(dir) = target.parent().filter(|dir| dir.starts_with(ELSEWHERE))
        && dir.exists()
    {
        std::fs::remove_dir_all(dir).at(dir)?;
    }
    Ok(())
}

/// Removes the lock of a postmaster that was killed. To be called only when no
/// process works in the directory, as every one of PostgreSQL's does: its own
/// check is by pid, and takes a zombie that nobody has reaped yet, or a pid
/// that is used again, for a running server.
pub(crate) fn remove_stale_lock(data: &Path) -> Result<()> {
    let lock = data.join("postmaster.pid");
    match std::fs::remove_file(&lock) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(lock),
        _ => Ok(()),
    }
}

/// May this user pass through every directory down to `dir`?
fn reachable(dir: &Path, user: &User) -> bool {
    dir.ancestors()
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .all(|ancestor| {
            std::fs::metadata(ancestor).is_ok_and(|directory| {
                let mode = directory.mode();
                let (own, group) = (
                    directory.uid() == user.uid.as_raw(),
                    directory.gid() == user.gid.as_raw(),
                );
                mode & 0o001 != 0 || (own && mode & 0o100 != 0) || (group && mode & 0o010 != 0)
            })
        })
}

/// PostgreSQL refuses a data directory that others may read.
pub(crate) fn private(dir: &Path) -> Result<()> {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).at(dir)
}
