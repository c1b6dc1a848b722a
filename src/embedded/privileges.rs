//! The user PostgreSQL runs as: ourselves, or an unprivileged one if we are root, which PostgreSQL
//! refuses to be.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use super::error::{EmbeddedError, io_error};

/// The users root may hand PostgreSQL to, the preferred one first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that owns a cluster and runs its processes.
#[derive(Clone, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
    /// Whether we are root and have to become this user.
    switch: bool,
}

impl Account {
    /// The user for a cluster yet to be made.
    pub fn for_new_cluster() -> Result<Self, EmbeddedError> {
        if is_root() {
            unprivileged()
                .next()
                .ok_or(EmbeddedError::NoUnprivilegedUser)
        } else {
            Ok(Self::ourselves())
        }
    }

    /// The user of an existing cluster: its owner, as PostgreSQL insists.
    pub fn owning(cluster: &Path) -> Result<Self, EmbeddedError> {
        let owner = fs::metadata(cluster)
            .map_err(io_error("reading", cluster))?
            .uid();
        let account = if is_root() {
            // The preferred user may have appeared since the cluster was made.
            unprivileged().find(|account| account.uid == owner)
        } else {
            Some(Self::ourselves()).filter(|account| account.uid == owner)
        };
        account.ok_or_else(|| EmbeddedError::OtherOwner {
            path: cluster.to_owned(),
            owner,
            user: rustix::process::geteuid().as_raw(),
        })
    }

    /// Has the command run as this user. The standard library drops root's supplementary groups
    /// along with it.
    pub fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Hands a file or directory that we created to this user.
    pub fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        if self.switch {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
                .map_err(io_error("changing the owner of", path))?;
        }
        Ok(())
    }

    /// Whether the directory is this user's and nobody else may enter it.
    pub fn owns_privately(&self, dir: &Path) -> bool {
        fs::symlink_metadata(dir).is_ok_and(|found| {
            found.is_dir() && found.uid() == self.uid && found.mode() & 0o777 == 0o700
        })
    }

    /// Whether this user may pass through the (canonical) directory and all above it.
    pub fn can_enter(&self, dir: &Path) -> io::Result<bool> {
        for step in dir.ancestors() {
            let step = fs::metadata(step)?;
            let search = if step.uid() == self.uid {
                0o100
            } else if step.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if self.switch && step.mode() & search == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ourselves() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            switch: false,
        }
    }
}

/// Whether PostgreSQL has to run as somebody else.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged() -> impl Iterator<Item = Account> {
    UNPRIVILEGED.into_iter().filter_map(|name| {
        Some(Account {
            uid: id("-u", name)?,
            gid: id("-g", name)?,
            switch: true,
        })
    })
}

/// Asks `id`, which knows about directory services that `/etc/passwd` does not list.
fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).output().ok()?;
    let id = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    (output.status.success() && id != 0).then_some(id)
}
