//! Files of the state directory: private, replaced atomically, and never half written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// A file or directory that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }
}

/// Creates a directory that its owner alone may enter; one that exists is left as it is.
pub(crate) fn private_directory(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(path)
        .map_err(|error| FileError::new("create the directory", path, error))
}

/// The file's text, or `None` where there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", path, error)),
    }
}

/// Replaces the file in one step, so that a reader or a crash sees the old text or the new. The caller holds the lock
/// that keeps other writers of the same file away.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write(&temporary, text).map_err(|error| FileError::new("write", &temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| FileError::new("replace", path, error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)?;
    file.write_all(text.as_bytes())?;
    // Without this a power loss after the rename can leave an empty file.
    file.sync_all()
}

/// The open lock file; whoever holds `File::lock` on it may write.
pub(crate) fn lock_file(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(path)
        .map_err(|error| FileError::new("open the lock", path, error))
}

/// Waits until no other process holds the lock.
pub(crate) fn lock(path: &Path) -> Result<File, FileError> {
    let file = lock_file(path)?;
    file.lock().map_err(|error| FileError::new("lock", path, error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_and_directories_are_private_and_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        private_directory(&directory).unwrap();
        private_directory(&directory).unwrap();
        let file = directory.join("f");
        assert!(read(&file).unwrap().is_none());
        replace(&file, "one").unwrap();
        replace(&file, "two").unwrap();
        assert_eq!(read(&file).unwrap().as_deref(), Some("two"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = read(root.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /"), "{error}");
    }
}
