//! Watches a directory of manifests and publishes what it holds, each time that it changes. Notices changes by the
//! operating system's events, or by reading again and again where those fail; and says which.

use crate::directory::{Directory, Draft, Loaded};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind};
use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task, time,
};

/// How changes are noticed.
#[derive(Clone, Debug)]
pub struct Options {
    /// A change is taken once two reads, so far apart, agree: a save is often several steps, and an empty file one of
    /// them.
    pub settle: Duration,
    /// After so long a change is taken although changes go on.
    pub settle_max: Duration,
    /// Time between two reads where events are not to be had.
    pub poll_interval: Duration,
    /// What to notice changes by.
    pub notice: Notice,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(15),
            settle_max: Duration::from_millis(500),
            poll_interval: Duration::from_secs(1),
            notice: Notice::Events,
        }
    }
}

/// What to notice changes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The operating system's events, while there are any.
    Events,
    /// Reading again and again (for network file systems, which send no events).
    Polling,
}

/// What changes are noticed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The operating system's events.
    Events,
    /// Reading again and again.
    Polling {
        /// Why.
        reason: String,
        /// How often.
        interval: Duration,
    },
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Events => f.write_str("watching for changes"),
            Mode::Polling { reason, interval } => write!(f, "looking for changes every {interval:?}: {reason}"),
        }
    }
}

/// A watched directory. The watch ends when every receiver of `loaded` is dropped.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What the directory holds; changes when that does.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// How changes are noticed.
    pub mode: watch::Receiver<Mode>,
}

/// Reads the directory (which blocks), and goes on to watch it from the tokio runtime within which it is called.
pub fn start(directory: Directory, options: Options) -> Watch {
    let (wake, woken) = mpsc::channel(1);
    let mode = match options.notice {
        Notice::Events => Mode::Events,
        Notice::Polling => polling("as asked", &options),
    };
    let mut eyes =
        Eyes { directory, wake, options, watcher: None, mode: mode.clone(), accepted: [0; 32], last: Arc::default() };
    let draft = eyes.directory.draft();
    eyes.take(draft);
    let (loaded, loaded_receiver) = watch::channel(eyes.last.clone());
    let (mode, mode_receiver) = watch::channel(mode);
    task::spawn(run(eyes, woken, loaded, mode));
    Watch { loaded: loaded_receiver, mode: mode_receiver }
}

fn polling(reason: impl Into<String>, options: &Options) -> Mode {
    Mode::Polling { reason: reason.into(), interval: options.poll_interval }
}

async fn run(
    mut eyes: Eyes,
    mut woken: mpsc::Receiver<()>,
    loaded: watch::Sender<Arc<Loaded>>,
    mode: watch::Sender<Mode>,
) {
    let options = eyes.options.clone();
    loop {
        // Only a panic ends a blocking task; the receivers see that the watch has ended.
        let Ok((mut seeing, draft)) = settled(eyes).await else { return };
        let accept = move || {
            let followed = seeing.accept(draft);
            (seeing, followed)
        };
        let Ok((back, followed)) = task::spawn_blocking(accept).await else { return };
        eyes = back;
        loaded.send_if_modified(|current| {
            let changed = !Arc::ptr_eq(current, &eyes.last);
            current.clone_from(&eyes.last);
            changed
        });
        mode.send_if_modified(|current| {
            let changed = *current != eyes.mode;
            current.clone_from(&eyes.mode);
            changed
        });
        // What changed between the read and the moment when events began to come would be missed.
        if followed == Followed::More {
            continue;
        }
        tokio::select! {
            () = loaded.closed() => return,
            () = change(&mut woken, &eyes.mode, &options) => {}
        }
    }
}

/// Waits for a reason to look, and a little in any case: a storm of events must not become one of reads.
async fn change(woken: &mut mpsc::Receiver<()>, mode: &Mode, options: &Options) {
    time::sleep(options.settle).await;
    match mode {
        // The sender lives in `Eyes`, so there always is one.
        Mode::Events => drop(woken.recv().await),
        Mode::Polling { interval, .. } => time::sleep(*interval).await,
    }
}

/// Reads until what is read is what was read before, or stays the same for a while.
async fn settled(mut eyes: Eyes) -> Result<(Eyes, Draft), task::JoinError> {
    let options = eyes.options.clone();
    let deadline = time::Instant::now() + options.settle_max;
    let mut before = eyes.accepted;
    loop {
        let read = move || {
            let draft = eyes.directory.draft();
            (eyes, draft)
        };
        let (back, draft) = task::spawn_blocking(read).await?;
        eyes = back;
        if [before, eyes.accepted].contains(&draft.fingerprint) || time::Instant::now() >= deadline {
            return Ok((eyes, draft));
        }
        before = draft.fingerprint;
        time::sleep(options.settle).await;
    }
}

/// Whether directories are watched now that were not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Same,
    More,
}

/// The directory and what watches it; moves to a blocking thread for each look.
struct Eyes {
    directory: Directory,
    wake: mpsc::Sender<()>,
    options: Options,
    watcher: Option<Watching>,
    mode: Mode,
    /// Fingerprint of what is in service.
    accepted: [u8; 32],
    last: Arc<Loaded>,
}

struct Watching {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    shared: Arc<Mutex<Shared>>,
}

/// What the watcher's thread and we both know.
#[derive(Default)]
struct Shared {
    directories: BTreeSet<PathBuf>,
    /// A watched directory itself is gone or was replaced, or events were lost: all must be watched anew.
    stale: bool,
}

impl Eyes {
    /// Puts a draft into service.
    fn take(&mut self, draft: Draft) {
        self.accepted = draft.fingerprint;
        let (now, last) = (self.directory.accept(draft), &self.last);
        let same_rest = now.problems == last.problems && now.notes == last.notes && now.modules == last.modules;
        // Objects are the same allocation unless one changed, so they need no comparison.
        if !(same_rest && Arc::ptr_eq(&now.objects, &last.objects) && now.origins == last.origins) {
            self.last = Arc::new(now);
        }
    }

    /// Puts a draft into service and watches what matters then.
    fn accept(&mut self, draft: Draft) -> Followed {
        self.take(draft);
        self.follow().unwrap_or_else(|error| {
            self.watcher = None;
            self.mode = polling(explain(&error), &self.options);
            Followed::Same
        })
    }

    /// Watches the directories that matter now.
    fn follow(&mut self) -> notify::Result<Followed> {
        if self.mode != Mode::Events {
            return Ok(Followed::Same);
        }
        if self.watcher.as_ref().is_some_and(|watching| lock(&watching.shared).stale) {
            self.watcher = None;
        }
        if self.watcher.is_none() {
            self.watcher = Some(Watching::open(self.wake.clone())?);
        }
        let Some(watching) = &mut self.watcher else { return Ok(Followed::Same) };
        watching.follow(self.directory.watched())
    }
}

impl Watching {
    fn open(wake: mpsc::Sender<()>) -> notify::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let seen = shared.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if note(&event, &seen) {
                // A full channel holds a wake-up already.
                let _ = wake.try_send(());
            }
        })?;
        Ok(Self { watcher, directories: BTreeSet::new(), shared })
    }

    fn follow(&mut self, wanted: &BTreeSet<PathBuf>) -> notify::Result<Followed> {
        for gone in self.directories.difference(wanted) {
            // Fails if the directory is gone already, which is as good.
            let _ = self.watcher.unwatch(gone);
        }
        let mut followed = Followed::Same;
        for new in wanted.difference(&self.directories) {
            match self.watcher.watch(new, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // It went since it was read; the next read will know.
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
            followed = Followed::More;
        }
        self.directories.clone_from(wanted);
        lock(&self.shared).directories.clone_from(wanted);
        Ok(followed)
    }
}

/// Whether an event may change what is read. (Our own reading causes events too.)
fn note(event: &notify::Result<Event>, shared: &Mutex<Shared>) -> bool {
    let Ok(event) = event else {
        lock(shared).stale = true;
        return true;
    };
    let moved = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    let mut shared = lock(shared);
    if event.need_rescan() || (moved && event.paths.iter().any(|path| shared.directories.contains(path))) {
        shared.stale = true;
    }
    !matches!(event.kind, EventKind::Access(_)) || event.need_rescan()
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    // What a panicking holder left is two plain fields, valid in any combination.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_absence(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn explain(error: &notify::Error) -> String {
    let limit = matches!(error.kind, notify::ErrorKind::MaxFilesWatch)
        || matches!(&error.kind, notify::ErrorKind::Io(error) if error.raw_os_error() == Some(24));
    let hint = if limit { " (raise fs.inotify.max_user_watches or max_user_instances)" } else { "" };
    format!("the file system's events are not to be had: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, AccessMode, CreateKind, RemoveKind};

    fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    #[test]
    fn our_own_reading_wakes_nobody() {
        let shared = Mutex::new(Shared::default());
        assert!(!note(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/d/a.yaml"), &shared));
        assert!(!note(&event(EventKind::Access(AccessKind::Close(AccessMode::Read)), "/d/a.yaml"), &shared));
        assert!(note(&event(EventKind::Create(CreateKind::File), "/d/a.yaml"), &shared));
    }

    #[test]
    fn a_directory_that_goes_makes_the_watch_stale() {
        let shared = Mutex::new(Shared { directories: [PathBuf::from("/d")].into(), stale: false });
        assert!(note(&event(EventKind::Remove(RemoveKind::File), "/d/a.yaml"), &shared));
        assert!(!lock(&shared).stale);
        assert!(note(&event(EventKind::Remove(RemoveKind::Folder), "/d"), &shared));
        assert!(lock(&shared).stale);
    }

    #[test]
    fn a_mode_says_why() {
        let error = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        let mode = polling(explain(&error), &Options::default());
        assert!(mode.to_string().starts_with("looking for changes every 1s: "), "{mode}");
        assert!(mode.to_string().contains("max_user_watches"), "{mode}");
        assert!(is_absence(&notify::Error::new(notify::ErrorKind::PathNotFound)));
    }

    fn eyes(root: &std::path::Path, settle_max: Duration) -> Eyes {
        let options = Options { settle: Duration::from_secs(100), settle_max, ..Options::default() };
        let (wake, _) = mpsc::channel(1);
        let directory = Directory::new(root);
        let mut eyes = Eyes {
            directory,
            wake,
            options,
            watcher: None,
            mode: Mode::Events,
            accepted: [0; 32],
            last: Arc::default(),
        };
        let draft = eyes.directory.draft();
        eyes.take(draft);
        eyes
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: one}\n";

    #[tokio::test(start_paused = true)]
    async fn a_save_in_steps_is_taken_when_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.yaml");
        std::fs::write(&file, MAP).unwrap();
        let eyes = eyes(root.path(), Duration::from_secs(10_000));
        std::fs::write(&file, "").unwrap();
        let settling = task::spawn(settled(eyes));
        // Time moves on only when all else waits: here after the first read, and after the second.
        time::sleep(Duration::from_secs(50)).await;
        std::fs::write(&file, "apiVersion: v1\nkind: [").unwrap();
        time::sleep(Duration::from_secs(100)).await;
        std::fs::write(&file, MAP.replace("one", "two")).unwrap();
        let (mut eyes, draft) = settling.await.unwrap().unwrap();
        eyes.take(draft);
        let map = eyes.last.objects.config_maps.values().next().unwrap();
        assert_eq!((map.data.as_ref().unwrap()["k"].as_str(), map.metadata.generation), ("two", Some(2)));
        assert_eq!(eyes.last.problems, []);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_never_end_are_taken_after_a_while() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.yaml");
        let eyes = eyes(root.path(), Duration::from_secs(1000));
        std::fs::write(&file, MAP).unwrap();
        let settling = task::spawn(settled(eyes));
        // Half a step apart from the reads, so that each read finds a new state.
        time::sleep(Duration::from_secs(50)).await;
        for number in 0.. {
            if settling.is_finished() {
                assert!(number >= 9, "{number}");
                break;
            }
            std::fs::write(&file, MAP.replace("one", &format!("v{number}"))).unwrap();
            time::sleep(Duration::from_secs(100)).await;
        }
        let (mut eyes, draft) = settling.await.unwrap().unwrap();
        eyes.take(draft);
        assert_eq!(eyes.last.objects.config_maps.len(), 1);
    }
}
