//! Reading and reading again: what stays, what goes, and what is said of it.

use super::*;
use crate::{problem::Effect, reading::FILE_BYTES_MAX};
use proptest::prelude::*;
use tempfile::TempDir;

struct Files {
    root: TempDir,
    directory: Directory,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        let this = Self { root, directory };
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&mut self) -> Loaded {
        self.directory.load()
    }

    /// Problems with the directory's own name left out.
    fn problems(&self, loaded: &Loaded) -> Vec<String> {
        let root = format!("{}/", self.root.path().display());
        loaded.problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect()
    }
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: {value}}}\n---\n")
}

/// `name=value@generation` of each ConfigMap.
fn maps(loaded: &Loaded) -> Vec<String> {
    let show = |(name, map): (&portolan_translate::ObjectName, &Arc<k8s_openapi::api::core::v1::ConfigMap>)| {
        let data = map.data.as_ref().map_or("", |data| &data["k"]);
        format!("{}={data}@{}", name.name, map.metadata.generation.unwrap())
    };
    loaded.objects.config_maps.iter().map(show).collect()
}

fn pointers(loaded: &Loaded) -> Vec<*const k8s_openapi::api::core::v1::ConfigMap> {
    loaded.objects.config_maps.values().map(Arc::as_ptr).collect()
}

#[test]
fn every_file_is_read_and_objects_know_their_origin() {
    let mut files =
        Files::new(&[("a.yaml", &format!("# first\n{}", map("a", "x"))), ("d/b.yml", &map("b", "x")), ("c.txt", "{{")]);
    let loaded = files.load();
    assert_eq!(loaded.problems, []);
    assert_eq!(maps(&loaded), ["a=x@1", "b=x@1"]);
    let origins: Vec<String> = loaded
        .origins
        .iter()
        .map(|(id, origin)| format!("{id} {origin}").replace(&files.root.path().display().to_string(), ""))
        .collect();
    assert_eq!(origins, ["ConfigMap default/a /a.yaml:2", "ConfigMap default/b /d/b.yml:1"]);
}

#[test]
fn unchanged_objects_keep_their_allocation_and_changes_are_counted() {
    let mut files = Files::new(&[("a.yaml", &(map("a", "x") + &map("b", "x")))]);
    let first = files.load();
    let same = files.load();
    assert!(Arc::ptr_eq(&first.objects, &same.objects));
    files.write("a.yaml", &format!("# moved down\n{}{}", map("a", "w"), map("b", "x")));
    let second = files.load();
    assert_eq!(maps(&second), ["a=w@2", "b=x@1"]);
    assert_ne!(pointers(&first)[0], pointers(&second)[0]);
    assert_eq!(pointers(&first)[1], pointers(&second)[1]);
    files.write("a.yaml", &format!("{}{}", map("a", "\"w\""), map("b", "x")));
    let respelled = files.load();
    assert!(Arc::ptr_eq(&second.objects, &respelled.objects), "another spelling is no change");
    files.write("a.yaml", &map("a", "w").replace("{name: a}", "{name: a, labels: {l: m}}"));
    assert_eq!(maps(&files.load()), ["a=w@2"], "metadata is no change of the spec, and what is deleted goes");
    files.write("a.yaml", &map("a", "z"));
    assert_eq!(maps(&files.load()), ["a=z@3"]);
}

#[test]
fn the_first_of_duplicates_counts_and_both_places_are_named() {
    let mut files = Files::new(&[("a.yaml", &map("a", "x")), ("b.yaml", &format!("\n{}", map("a", "w")))]);
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1"]);
    let problems = files.problems(&loaded);
    assert_eq!(problems, ["b.yaml:2:1: ConfigMap default/a: is written at a.yaml:1 before, which counts"]);
}

#[test]
fn a_bad_object_leaves_the_others_alone() {
    let bad = map("b", "x").replace("\ndata", "\ndate");
    let mut files = Files::new(&[("a.yaml", &(map("a", "x") + &bad + &map("c", "x")))]);
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1", "c=x@1"]);
    assert_eq!(files.problems(&loaded), ["a.yaml:9:1: ConfigMap default/b: date: unknown field"]);
    assert_eq!(loaded.problems[0].effect, Effect::LeftOut);
}

#[test]
fn a_bad_save_never_takes_down_what_was_serving() {
    let mut files = Files::new(&[("a.yaml", &(map("a", "x") + &map("b", "x")))]);
    let first = files.load();
    files.write("a.yaml", &(map("a", "w") + &map("b", "\"open")));
    let broken = files.load();
    assert_eq!(maps(&broken), ["a=w@2", "b=x@1"], "the readable part is taken, the rest stays");
    assert_eq!(pointers(&first)[1], pointers(&broken)[1]);
    assert_eq!(broken.problems.len(), 1);
    assert!(files.problems(&broken)[0].ends_with("(the last good version stays in service)"), "{:?}", broken.problems);
    files.write("a.yaml", &(map("a", "w") + &map("b", "z")));
    let repaired = files.load();
    assert_eq!((maps(&repaired), repaired.problems), (vec!["a=w@2".to_owned(), "b=z@2".to_owned()], Vec::new()));
}

#[test]
fn a_refused_change_keeps_the_object_as_it_was() {
    let mut files = Files::new(&[("a.yaml", &map("a", "x"))]);
    files.load();
    files.write("a.yaml", &map("a", "[1]"));
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1"]);
    assert_eq!(loaded.problems[0].effect, Effect::LastGoodServes);
    files.write("a.yaml", "");
    assert_eq!(maps(&files.load()), Vec::<String>::new(), "what is deleted goes, broken or not");
}

#[test]
fn an_object_that_moves_from_a_broken_file_is_taken_from_its_new_place() {
    let mut files = Files::new(&[("a.yaml", &map("a", "x"))]);
    files.load();
    files.write("a.yaml", "{");
    files.write("b.yaml", &map("a", "w"));
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=w@2"]);
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(loaded.problems[0].effect, Effect::LeftOut);
}

#[test]
fn files_that_cannot_be_read_keep_what_they_held() {
    let mut files = Files::new(&[("a.yaml", &map("a", "x"))]);
    files.load();
    fs::write(files.root.path().join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1"]);
    assert_eq!(files.problems(&loaded), ["a.yaml:2:1: is no UTF-8 text (the last good version stays in service)"]);
    files.write("a.yaml", &"# \n".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() / 3 + 1));
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1"]);
    assert!(files.problems(&loaded)[0].contains("larger than 16777216 bytes"));
}

#[test]
fn a_directory_that_is_gone_keeps_what_it_held() {
    let mut files = Files::new(&[("d/a.yaml", &map("a", "x"))]);
    files.directory = Directory::new(files.root.path().join("d"));
    files.load();
    fs::rename(files.root.path().join("d"), files.root.path().join("e")).unwrap();
    let loaded = files.load();
    assert_eq!(maps(&loaded), ["a=x@1"]);
    assert_eq!((loaded.problems.len(), loaded.problems[0].effect), (1, Effect::LastGoodServes));
    assert!(files.directory.watched().contains(&files.root.path().canonicalize().unwrap()));
}

#[test]
fn modules_are_reported_with_their_state() {
    let filter = "apiVersion: portolan.dev/v1alpha1\nkind: WasmFilter\nmetadata: {name: f}\nspec: {module: {file: ../m/f.wasm}}\n";
    let mut files = Files::new(&[("d/f.yaml", filter), ("m/other", "")]);
    files.directory = Directory::new(files.root.path().join("d"));
    let loaded = files.load();
    assert_eq!(loaded.problems, []);
    let (path, stamp) = loaded.modules.first_key_value().unwrap();
    assert_eq!((path.clone(), *stamp), (files.root.path().join("d/../m/f.wasm"), None));
    assert!(files.directory.watched().contains(&files.root.path().join("m").canonicalize().unwrap()));
    files.write("m/f.wasm", "12345");
    let loaded = files.load();
    assert_eq!(loaded.modules.values().next().unwrap().unwrap().bytes, 5);
}

#[test]
fn a_text_is_read_as_the_only_file_and_its_last_good_version_stays() {
    let mut directory = Directory::new("/nowhere");
    let file = Path::new("pasted.yaml");
    let first = directory.load_str(file, &map("a", "x"));
    assert_eq!((maps(&first), first.problems.len()), (vec!["a=x@1".to_owned()], 0));
    let again = directory.load_str(file, &map("a", "x"));
    assert!(Arc::ptr_eq(&first.objects, &again.objects));
    let broken = directory.load_str(file, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n");
    assert_eq!((maps(&broken), broken.problems.len()), (vec!["a=x@1".to_owned()], 1));
    assert_eq!(maps(&directory.load_str(file, &map("b", "z"))), ["b=z@1"]);
}

/// One change of one file: a text of a few objects, some of them broken or of no kind that is read.
fn save() -> impl Strategy<Value = (usize, String)> {
    let object = prop_oneof![
        6 => ("[a-e]", "[xyz]").prop_map(|(name, value)| map(&name, &value)),
        1 => Just("# moves the lines below it\n".to_owned()),
        1 => "[a-e]".prop_map(|name| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\nextra: 1\n---\n")),
        1 => Just("apiVersion: example.com/v1\nkind: Foreign\nmetadata: {name: f}\n---\n".to_owned()),
        1 => Just("kind: [\n---\n".to_owned()),
    ];
    (0..3_usize, proptest::collection::vec(object, 0..4).prop_map(|objects| objects.concat()))
}

proptest! {
    /// Looking at changed files alone comes to what looking at all of them comes to.
    #[test]
    fn amending_is_merging(saves in proptest::collection::vec(save(), 1..12)) {
        let mut texts = ["", "", ""].map(str::to_owned);
        let mut amending = Files::new(&[("0.yaml", ""), ("1.yaml", ""), ("2.yaml", "")]);
        let mut merging = Directory::new(amending.root.path());
        for (file, text) in saves {
            amending.write(&format!("{file}.yaml"), &text);
            texts[file] = text;
            merging.ledger.forget_clean();
            prop_assert_eq!(amending.load(), merging.load(), "after {:?}", texts);
        }
    }
}
