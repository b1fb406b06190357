//! Where a new process asks.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::Failed;

/// The place where a new process asks.
pub struct Place {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what another one has put there since is not taken away.
    is: (u64, u64),
}

impl Place {
    /// Takes the path, also from one that is dead or has given it up. Nobody but this user may connect.
    pub fn take(path: &Path) -> Result<Place, Failed> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(new);
        // One that is there was left by a process that had this number.
        remove(&new)?;
        let listener = UnixListener::bind(&new)?;
        // It has its mode before it has its name.
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        let about = fs::symlink_metadata(&new)?;
        fs::rename(&new, path)?;
        listener.set_nonblocking(true)?;
        Ok(Place {
            listener,
            path: path.to_owned(),
            is: (about.dev(), about.ino()),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let about = fs::symlink_metadata(&self.path);
        if about.is_ok_and(|about| (about.dev(), about.ino()) == self.is) {
            // If it cannot be removed, it is a socket at which nobody lives.
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
