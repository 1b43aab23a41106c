//! Golden tests: each folder of `golden/` holds one behaviour, as objects (`input.yaml`), what is served (`snapshot.txt`)
//! and what the objects are told (`status.yaml`). `UPDATE_GOLDEN=1` writes the results anew; read the difference.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use portolan_translate::{Translation, translate};
use std::{fs, path::Path};
use support::{dump, input, status};

/// At least so many behaviours there are; a folder that is not found would pass in silence.
const FOLDERS_MIN: usize = 40;

#[test]
fn each_folder_gives_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() >= FOLDERS_MIN, "only {} folders in {}", folders.len(), root.display());
    let wrong: Vec<String> = folders.iter().flat_map(|folder| differences(folder)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(folder.join("input.yaml")).unwrap();
    let Ok(input) = std::panic::catch_unwind(|| input::read(&text)) else {
        return vec![format!("{name}: input.yaml is not in order, see above")];
    };
    let first = translate(&input.objects, &input.edges, None);
    let mut wrong = Vec::new();
    let (snapshot, statuses) = texts(&first);
    for (file, now) in [("snapshot.txt", &snapshot), ("status.yaml", &statuses)] {
        let path = folder.join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, now).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != *now {
            wrong.push(format!("{name}/{file} differs; it is now:\n{now}"));
        }
    }
    // The same input gives the same output, with and without a translation before.
    let again = translate(&input.objects, &input.edges, Some(&first));
    let other = support::input::read("");
    let after_another = translate(&input.objects, &input.edges, Some(&translate(&other.objects, &other.edges, None)));
    for (what, translation) in [("itself", &again), ("nothing", &after_another)] {
        if texts(translation) != (snapshot.clone(), statuses.clone()) {
            wrong.push(format!("{name}: differs when it is translated after {what}"));
        }
    }
    wrong
}

fn texts(translation: &Translation) -> (String, String) {
    (dump::snapshot(&translation.snapshot), status::statuses(&translation.statuses))
}
