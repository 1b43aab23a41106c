//! Changes of a real directory reach the receiver, whichever way they are made. Waits are for events; the timeout
//! alone decides that one did not come.

use portolan_source::{
    Directory, Loaded,
    watch::{Mode, Notice, Options, Watch, start},
};
use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);

fn map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: {value}}}\n")
}

fn value(loaded: &Loaded) -> Option<String> {
    let map = loaded.objects.config_maps.values().next()?;
    map.data.as_ref()?.get("k").cloned()
}

/// Watches with patience for slow machines: a save of several steps must not be taken between two of them.
fn watch(root: &Path) -> Watch {
    start(Directory::new(root), Options { settle: Duration::from_millis(50), ..Options::default() })
}

/// Waits until what is loaded is as it should be.
async fn until(watch: &mut Watch, what: &str, wanted: impl Fn(&Loaded) -> bool) -> Arc<Loaded> {
    let found = tokio::time::timeout(PATIENCE, watch.loaded.wait_for(|loaded| wanted(loaded))).await;
    let Ok(Ok(loaded)) = found else { panic!("never came: {what}") };
    loaded.clone()
}

async fn until_value(watch: &mut Watch, wanted: &str) {
    until(watch, wanted, |loaded| value(loaded).as_deref() == Some(wanted)).await;
}

#[tokio::test]
async fn saves_are_seen_however_editors_make_them() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.yaml");
    fs::write(&file, map("one")).unwrap();
    let mut watch = watch(root.path());
    assert_eq!(value(&watch.loaded.borrow()).as_deref(), Some("one"));
    fs::write(&file, map("in-place")).unwrap();
    until_value(&mut watch, "in-place").await;
    fs::write(root.path().join(".a.yaml.swp"), "x").unwrap();
    fs::write(root.path().join("a.yaml.tmp"), map("renamed")).unwrap();
    fs::rename(root.path().join("a.yaml.tmp"), &file).unwrap();
    until_value(&mut watch, "renamed").await;
    fs::rename(&file, root.path().join("a.yaml~")).unwrap();
    fs::write(&file, map("written-anew")).unwrap();
    until_value(&mut watch, "written-anew").await;
    assert_eq!(*watch.mode.borrow(), Mode::Events);
}

#[tokio::test]
async fn a_bad_save_is_reported_and_serves_on() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.yaml");
    fs::write(&file, map("one")).unwrap();
    let mut watch = watch(root.path());
    fs::write(&file, "a: [").unwrap();
    let broken = until(&mut watch, "the problem", |loaded| !loaded.problems.is_empty()).await;
    assert_eq!(value(&broken).as_deref(), Some("one"));
    fs::write(&file, map("two")).unwrap();
    until_value(&mut watch, "two").await;
    assert_eq!(watch.loaded.borrow().problems, []);
    fs::remove_file(&file).unwrap();
    until(&mut watch, "the deletion", |loaded| value(loaded).is_none()).await;
}

#[tokio::test]
async fn new_directories_are_watched() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    let deep = root.path().join("x/y");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a.yaml"), map("one")).unwrap();
    until_value(&mut watch, "one").await;
    fs::write(deep.join("a.yaml"), map("two")).unwrap();
    until_value(&mut watch, "two").await;
    fs::remove_dir_all(root.path().join("x")).unwrap();
    until(&mut watch, "the deletion", |loaded| value(loaded).is_none()).await;
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a.yaml"), map("three")).unwrap();
    until_value(&mut watch, "three").await;
}

#[tokio::test]
async fn a_root_that_is_replaced_is_watched_anew() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.yaml"), map("one")).unwrap();
    let mut watch = watch(&root);
    fs::rename(&root, parent.path().join("old")).unwrap();
    let gone = until(&mut watch, "the loss", |loaded| !loaded.problems.is_empty()).await;
    assert_eq!(value(&gone).as_deref(), Some("one"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.yaml"), map("two")).unwrap();
    until_value(&mut watch, "two").await;
    fs::write(root.join("a.yaml"), map("three")).unwrap();
    until_value(&mut watch, "three").await;
}

#[tokio::test]
async fn mounted_config_maps_swap_a_symlink() {
    let root = tempfile::tempdir().unwrap();
    for version in ["one", "two"] {
        fs::create_dir(root.path().join(format!("..{version}"))).unwrap();
        fs::write(root.path().join(format!("..{version}/a.yaml")), map(version)).unwrap();
    }
    symlink("..one", root.path().join("..data")).unwrap();
    symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
    let mut watch = watch(root.path());
    assert_eq!(value(&watch.loaded.borrow()).as_deref(), Some("one"));
    for version in ["two", "one"].iter().cycle().take(6) {
        symlink(format!("..{version}"), root.path().join("..data_tmp")).unwrap();
        fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
        until_value(&mut watch, version).await;
    }
}

#[tokio::test]
async fn files_behind_symlinks_are_watched() {
    let [root, middle, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let real = other.path().join("real.yaml");
    fs::write(&real, map("one")).unwrap();
    symlink(&real, middle.path().join("link.yaml")).unwrap();
    symlink(middle.path().join("link.yaml"), root.path().join("a.yaml")).unwrap();
    let mut watch = watch(root.path());
    // More changes than there are reads at the start, so that events must have told of the last.
    for number in 0..8 {
        let value = format!("v{number}");
        fs::write(&real, map(&value)).unwrap();
        until_value(&mut watch, &value).await;
    }
    fs::write(middle.path().join("next.yaml"), map("three")).unwrap();
    fs::rename(middle.path().join("next.yaml"), middle.path().join("link.yaml")).unwrap();
    until_value(&mut watch, "three").await;
}

#[tokio::test]
async fn a_module_that_is_built_anew_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let filter = "apiVersion: portolan.dev/v1alpha1\nkind: WasmFilter\nmetadata: {name: f}\nspec: {module: {file: ../out/f.wasm}}\n";
    let manifests = root.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("f.yaml"), filter).unwrap();
    let mut watch = watch(&manifests);
    let state = |loaded: &Loaded| loaded.modules.values().next().copied().flatten();
    assert_eq!(state(&watch.loaded.borrow()), None);
    let before = watch.loaded.borrow().objects.clone();
    fs::create_dir(root.path().join("out")).unwrap();
    fs::write(root.path().join("out/f.wasm"), "1").unwrap();
    let first = until(&mut watch, "the module", |loaded| state(loaded).is_some_and(|state| state.bytes == 1)).await;
    assert!(Arc::ptr_eq(&first.objects, &before));
    for bytes in 2..8 {
        fs::write(root.path().join("out/f.wasm"), "1".repeat(bytes)).unwrap();
        let wanted = |loaded: &Loaded| state(loaded).is_some_and(|state| state.bytes == bytes as u64);
        until(&mut watch, "the new module", wanted).await;
    }
}

#[tokio::test]
async fn polling_sees_changes_too_and_says_why() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), map("one")).unwrap();
    let options = Options { notice: Notice::Polling, poll_interval: Duration::from_millis(5), ..Options::default() };
    let mut watch = start(Directory::new(root.path()), options);
    assert!(watch.mode.borrow().to_string().starts_with("looking for changes every 5ms: as asked"));
    fs::write(root.path().join("a.yaml"), map("two")).unwrap();
    until_value(&mut watch, "two").await;
}
