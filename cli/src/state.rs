//! Where `dev` keeps what it remembers, and how other commands find a `dev` that runs.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A `dev` that runs, as other commands find it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its admin address.
    pub admin: SocketAddr,
    /// The directory that it serves.
    pub directory: PathBuf,
}

/// The file that tells of a running `dev`.
const RUNNING: &str = "running.json";

/// Where state is kept unless `--state-dir` says otherwise.
pub fn home() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_STATE_HOME").or_else(|| Some(from("HOME")?.join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("portolan")
}

/// The state directory of a directory of manifests: its own, so that several `dev`s run at once.
pub fn directory_of(home: &Path, manifests: &Path) -> PathBuf {
    let canonical = manifests.canonicalize().unwrap_or_else(|_| manifests.to_owned());
    let digest = Sha256::digest(canonical.as_os_str().as_encoded_bytes());
    let name = canonical.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned());
    let suffix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    home.join(format!("{name}-{suffix}"))
}

impl Running {
    /// Tells other commands.
    pub fn write(&self, state_dir: &Path) -> Result<()> {
        let path = state_dir.join(RUNNING);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Tells other commands that it has ended.
    pub fn remove(state_dir: &Path) {
        let _ = std::fs::remove_file(state_dir.join(RUNNING));
    }

    /// The `dev` that uses a state directory, or one of those below the home.
    pub fn find(state_dir: Option<&Path>) -> Option<Self> {
        let candidates: Vec<PathBuf> = match state_dir {
            Some(directory) => vec![directory.to_owned()],
            None => std::fs::read_dir(home()).ok()?.flatten().map(|entry| entry.path()).collect(),
        };
        let mut running: Vec<(std::time::SystemTime, Self)> = candidates.iter().filter_map(|path| read(path)).collect();
        // The one for the current directory first, then the one started last.
        let here = std::env::current_dir().ok();
        running.sort_by_key(|(started, one)| {
            (here.as_ref().is_some_and(|here| one.directory.starts_with(here)), *started)
        });
        running.pop().map(|(_, one)| one)
    }
}

fn read(state_dir: &Path) -> Option<(std::time::SystemTime, Running)> {
    let path = state_dir.join(RUNNING);
    let running: Running = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    // A process that was killed leaves its file behind; whoever answers at the address is asked in any case.
    let answers = std::net::TcpStream::connect_timeout(&running.admin, std::time::Duration::from_millis(300)).is_ok();
    answers.then_some((path.metadata().ok()?.modified().ok()?, running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_has_its_own_state() {
        let (home, tmp) = (Path::new("/home/state"), tempfile::tempdir().unwrap());
        let (a, b) = (tmp.path().join("a"), tmp.path().join("b"));
        assert_ne!(directory_of(home, &a), directory_of(home, &b));
        assert!(directory_of(home, &a).file_name().unwrap().to_string_lossy().starts_with("a-"));
    }
}
