//! Finding the installed PostgreSQL programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{error::EmbeddedError, privileges::Account, process::clean_environment};

/// The oldest PostgreSQL whose features the ledger relies on.
pub const OLDEST_MAJOR: u32 = 14;

/// A directory of PostgreSQL programs that run here.
#[derive(Clone, Debug)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

/// Finds the programs: those the operator names, else the first installed ones that run and are
/// recent enough. With existing data (`data_major`) only the version that wrote it will do.
pub fn find(
    explicit: Option<&Path>,
    data_major: Option<(u32, &Path)>,
    account: &Account,
) -> Result<Binaries, EmbeddedError> {
    if let Some(dir) = explicit {
        let binaries = probe(dir, account).map_err(|reason| EmbeddedError::UnusableBinaries {
            dir: dir.to_owned(),
            reason,
        })?;
        return check(binaries, data_major);
    }
    let mut refused = None;
    let mut tried = Vec::new();
    for places in [on_path, from_pg_config, in_known_places] {
        for dir in places() {
            if tried.contains(&dir) {
                continue;
            }
            match probe(&dir, account).map(|binaries| check(binaries, data_major)) {
                Ok(Ok(binaries)) => return Ok(binaries),
                Ok(Err(error)) => refused = refused.or(Some(error)),
                Err(reason) => tracing::debug!(dir = %dir.display(), reason, "not used"),
            }
            tried.push(dir);
        }
    }
    Err(refused.unwrap_or_else(|| EmbeddedError::NoBinaries {
        searched: "PATH, `pg_config --bindir`, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, \
                   Homebrew and Postgres.app"
            .to_owned(),
    }))
}

fn check(binaries: Binaries, data_major: Option<(u32, &Path)>) -> Result<Binaries, EmbeddedError> {
    match data_major {
        Some((data, dir)) if data != binaries.major => Err(EmbeddedError::OtherVersion {
            dir: dir.to_owned(),
            data,
            installed: binaries.major,
        }),
        _ if binaries.major < OLDEST_MAJOR => Err(EmbeddedError::TooOld {
            dir: binaries.dir,
            major: binaries.major,
        }),
        _ => Ok(binaries),
    }
}

/// Runs `postgres --version` as the user who will run the server: that it exists is not enough.
fn probe(dir: &Path, account: &Account) -> Result<Binaries, String> {
    // `PATH` often holds links to the programs, which look for their libraries beside themselves.
    let postgres = fs::canonicalize(dir.join("postgres"))
        .map_err(|error| format!("`postgres` cannot be found in it ({error})"))?;
    let dir = postgres
        .parent()
        .ok_or("`postgres` has no directory")?
        .to_owned();
    if !dir.join("initdb").exists() {
        return Err("it holds no `initdb`".to_owned());
    }
    let mut command = Command::new(&postgres);
    clean_environment(&mut command);
    account.apply(&mut command);
    let output = command
        .arg("--version")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`postgres` does not run ({error})"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let major = major_version(&said).ok_or_else(|| {
        format!(
            "`postgres --version` answers \"{}{}\"",
            said.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })?;
    Ok(Binaries { dir, major })
}

/// Reads `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`, also of a beta (`18beta1`).
fn major_version(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn on_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn from_pg_config() -> Vec<PathBuf> {
    Command::new("pg_config")
        .arg("--bindir")
        .stderr(Stdio::null())
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|dir| PathBuf::from(dir.trim()))
        .filter(|dir| dir.is_absolute())
        .into_iter()
        .collect()
}

fn in_known_places() -> Vec<PathBuf> {
    [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
        // Alpine
        ("/usr/libexec", "postgresql"),
    ]
    .into_iter()
    .flat_map(|(parent, prefix)| versions_in(Path::new(parent), prefix))
    .flat_map(|dir| [dir.join("bin"), dir])
    .collect()
}

/// The directories called `<prefix><version>`, the newest version first.
fn versions_in(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let major = version.split('.').next()?.parse().ok()?;
            Some((major, entry.path()))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, dir)| dir).collect()
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn a_major_version_is_read_from_what_postgres_says_of_itself() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres (EnterpriseDB) 13"), None);
    }
}
