//! Finds the YAML files below a directory, in an order that never varies: symlinks are followed, each real file and
//! directory once, hidden entries passed over. Reads no contents.

use crate::{places::Position, problem::Problem};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Most files that are read.
pub const FILES_MAX: usize = 10_000;
/// Most directories that are entered.
pub const DIRECTORIES_MAX: usize = 10_000;
/// Most levels of directories.
pub const DIRECTORY_DEPTH_MAX: usize = 32;

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The YAML files, below the root as it was given.
    pub(crate) files: Vec<PathBuf>,
    /// The real directories in which a change may change the outcome.
    pub(crate) directories: BTreeSet<PathBuf>,
    pub(crate) problems: Vec<Problem>,
    /// Files and directories of which it cannot be told what they hold.
    pub(crate) unreadable: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

/// Walks a directory, or takes a single file.
pub(crate) fn walk(root: &Path) -> Walk {
    let mut walk = Walk::default();
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_file() => walk.file(root),
        Ok(_) => walk.tree(root),
        Err(error) => {
            walk.fail(root, format!("cannot be read: {error}"));
            walk.directories.extend(existing_parent(root));
        }
    }
    if let Some(parent) = root.parent() {
        walk.watch_links(root, if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    }
    walk
}

impl Walk {
    fn fail(&mut self, path: &Path, message: String) {
        self.problems.push(Problem::of_file(path, Position::START, message));
        self.unreadable.insert(path.to_owned());
    }

    fn tree(&mut self, root: &Path) {
        let mut pending = vec![(root.to_owned(), 0)];
        while let Some((directory, depth)) = pending.pop() {
            match self.directory(&directory, depth) {
                // Reversed, since the last that is pushed is the first that is popped.
                Ok(below) => pending.extend(below.into_iter().rev().map(|path| (path, depth + 1))),
                Err(message) => self.fail(&directory, message),
            }
        }
    }

    /// Takes the files of one directory and returns the directories in it.
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<Vec<PathBuf>, String> {
        if depth > DIRECTORY_DEPTH_MAX {
            return Err(format!("more than {DIRECTORY_DEPTH_MAX} directories deep: not entered"));
        }
        if self.directories.len() >= DIRECTORIES_MAX {
            return Err(format!("more than {DIRECTORIES_MAX} directories: not entered"));
        }
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let real = fs::canonicalize(directory).map_err(unreadable)?;
        if !self.seen.insert(real.clone()) {
            return Ok(Vec::new());
        }
        self.directories.insert(real);
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
        let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
        names.sort();
        let mut below = Vec::new();
        for path in names.iter().map(|name| directory.join(name)) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    self.watch_links(&path, directory);
                    below.push(path);
                }
                Ok(metadata) if metadata.is_file() && is_yaml(&path) => self.file(&path),
                Ok(_) => {}
                Err(error) if is_yaml(&path) => {
                    self.watch_links(&path, directory);
                    self.fail(&path, format!("cannot be read: {error}"));
                }
                Err(_) => {}
            }
        }
        Ok(below)
    }

    fn file(&mut self, path: &Path) {
        if self.files.len() >= FILES_MAX {
            return self.fail(path, format!("more than {FILES_MAX} files: not read"));
        }
        match fs::canonicalize(path) {
            Ok(real) => {
                self.directories.extend(real.parent().map(Path::to_owned));
                if let Some(parent) = path.parent() {
                    self.watch_links(path, parent);
                }
                if self.seen.insert(real) {
                    self.files.push(path.to_owned());
                }
            }
            Err(error) => self.fail(path, format!("cannot be read: {error}")),
        }
    }

    /// Where a symlink leads can change in the directory that holds it, and in the one that it names.
    fn watch_links(&mut self, path: &Path, parent: &Path) {
        let Ok(target) = fs::read_link(path) else { return };
        for directory in [Some(parent), parent.join(target).parent()].into_iter().flatten() {
            self.directories.extend(fs::canonicalize(directory));
        }
    }
}

/// The directory in which a file will appear or change: the nearest that exists.
pub(crate) fn existing_parent(file: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(file).ok()?;
    absolute.ancestors().skip(1).find_map(|directory| fs::canonicalize(directory).ok())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(root: &Path) -> Vec<String> {
        let walk = walk(root);
        assert_eq!(walk.problems, []);
        walk.files.iter().map(|file| file.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn yaml_files_are_found_in_order_and_hidden_ones_are_not() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "b.yaml",
            "a/z.yml",
            "a.yaml",
            ".hidden.yaml",
            ".git/x.yaml",
            "c.txt",
            "b.yaml~",
            ".b.yaml.swp",
            "c/d/e.yaml",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(names(root.path()), ["a.yaml", "b.yaml", "a/z.yml", "c/d/e.yaml"]);
        assert_eq!(names(&root.path().join("b.yaml")), [""]);
    }

    #[test]
    fn symlinks_are_followed_once_and_loops_end() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("o.yaml"), "").unwrap();
        fs::write(root.path().join("r.yaml"), "").unwrap();
        symlink(root.path(), root.path().join("loop")).unwrap();
        symlink(other.path(), root.path().join("one")).unwrap();
        symlink(other.path(), root.path().join("two")).unwrap();
        symlink(root.path().join("r.yaml"), root.path().join("s.yaml")).unwrap();
        assert_eq!(names(root.path()), ["r.yaml", "one/o.yaml"]);
        assert!(walk(root.path()).directories.contains(&other.path().canonicalize().unwrap()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        symlink("nowhere", root.path().join("gone.yaml")).unwrap();
        let found = walk(root.path());
        assert_eq!((found.files.len(), found.problems.len()), (0, 1));
        assert!(found.unreadable.contains(&root.path().join("gone.yaml")));
        assert_eq!(walk(&root.path().join("missing")).problems.len(), 1);
    }

    #[test]
    fn files_and_directories_beyond_their_number_are_named() {
        let root = tempfile::tempdir().unwrap();
        for at in 0..=FILES_MAX {
            fs::write(root.path().join(format!("{at:05}.yaml")), "").unwrap();
        }
        let found = walk(root.path());
        assert_eq!((found.files.len(), found.problems.len()), (FILES_MAX, 1));
        assert!(found.problems[0].message.contains("more than 10000 files"), "{:?}", found.problems[0]);
        assert!(found.problems[0].file.ends_with("10000.yaml"));
        let root = tempfile::tempdir().unwrap();
        // With the root itself there is one too many.
        for at in 0..DIRECTORIES_MAX {
            fs::create_dir(root.path().join(format!("{at:05}"))).unwrap();
        }
        let found = walk(root.path());
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].message.contains("more than 10000 directories"), "{:?}", found.problems[0]);
        assert!(found.unreadable.contains(&root.path().join("09999")));
    }

    #[test]
    fn depth_ends_at_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let deep = (0..DIRECTORY_DEPTH_MAX + 2).fold(root.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(deep).unwrap();
        let found = walk(root.path());
        assert!(
            found.problems.iter().any(|problem| problem.message.contains("directories deep")),
            "{:?}",
            found.problems
        );
    }
}
