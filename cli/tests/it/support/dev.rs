//! A `portolan dev` on manifests of its own: started, asked, saved to, and ended with the test.

use super::{
    ask::Ask,
    names::Names,
    process::{Finished, Process, portolan},
};
use portolan_client::{Client, NoDirectory, Options, Request};
use serde_json::Value;
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Time that anything is given that is sure to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it has come.
const LOOK: Duration = Duration::from_millis(10);
/// The user that is nobody on Debian and its like.
const NOBODY: u32 = 65534;

/// Where this variable is set, every `dev` runs as nobody.
const UNPRIVILEGED: &str = "PORTOLAN_TEST_UNPRIVILEGED";

/// A running `dev`.
pub struct Dev {
    process: Process,
    home: Home,
    /// Its admin address.
    pub admin: SocketAddr,
    /// The address of its first Gateway.
    pub gateway: IpAddr,
}

/// How a `dev` is started.
#[derive(Default)]
pub struct DevBuilder {
    files: Vec<(String, Vec<u8>)>,
    args: Vec<String>,
    user: User,
}

#[derive(Clone)]
struct Home {
    _dir: Arc<TempDir>,
    manifests: PathBuf,
    state: PathBuf,
    user: User,
}

/// Who runs it.
#[derive(Clone, Copy, Default)]
enum User {
    /// Whoever runs the tests.
    #[default]
    Own,
    /// A user without privileges; where the tests have none, their own.
    Nobody,
}

/// Waits until `look` gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}

// === impl DevBuilder ===

impl DevBuilder {
    /// A file of the manifests.
    pub fn file(self, name: &str, text: impl Into<String>) -> Self {
        self.bytes(name, text.into().as_bytes())
    }

    /// A file beside the manifests.
    pub fn bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        self.files.push((name.to_owned(), bytes.to_vec()));
        self
    }

    /// Manifests, in one file.
    pub fn manifests<S: AsRef<str>>(self, documents: impl IntoIterator<Item = S>) -> Self {
        let text: Vec<_> = documents.into_iter().map(|document| document.as_ref().to_owned()).collect();
        self.file("all.yaml", text.join("\n---\n"))
    }

    /// Further arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// As a user without privileges.
    pub fn unprivileged(mut self) -> Self {
        self.user = User::Nobody;
        self
    }

    /// Starts it and waits until it serves.
    pub async fn start(self) -> Dev {
        let everywhere = std::env::var_os(UNPRIVILEGED).is_some();
        let home = Home::new(if everywhere { User::Nobody } else { self.user });
        let gateway = self.files.iter().find_map(|(_, text)| first_address(&String::from_utf8_lossy(text)));
        for (name, bytes) in &self.files {
            home.write(name, bytes);
        }
        let mut command = home.command();
        command.args(&self.args);
        Dev::run(command, home, gateway.unwrap_or(IpAddr::from([127, 0, 0, 1]))).await
    }
}

/// Whether this process may do anything.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// The first address that a manifest asks for.
fn first_address(text: &str) -> Option<IpAddr> {
    let at = text.find("type: IPAddress, value: ")?;
    text[at..].split("value: ").nth(1)?.split('}').next()?.trim().parse().ok()
}

// === impl Home ===

impl Home {
    fn new(user: User) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (manifests, state) = (dir.path().join("manifests"), dir.path().join("state"));
        std::fs::create_dir(&manifests).unwrap();
        std::fs::create_dir(&state).unwrap();
        let user = if is_root() { user } else { User::Own };
        if let User::Nobody = user {
            for path in [dir.path(), &manifests, &state] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        Self { _dir: Arc::new(dir), manifests, state, user }
    }

    /// Writes a file as a whole, so that nobody reads half of it.
    fn write(&self, name: &str, bytes: &[u8]) {
        let (path, beside) = (self.manifests.join(name), self.state.with_extension("new"));
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    /// The program; beside the manifests for a user who may not be allowed to look into our own directories.
    fn binary(&self) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_portolan"));
        if let User::Own = self.user {
            return built;
        }
        let copy = self.state.with_file_name("portolan");
        if !copy.exists() {
            std::fs::copy(built, &copy).unwrap();
        }
        copy
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.binary());
        command.arg("dev").arg(&self.manifests).arg("--state-dir").arg(&self.state);
        command.args(["--admin", "127.0.0.1:0"]).env("HOME", &self.state).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        if let User::Nobody = self.user {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

// === impl Dev ===

impl Dev {
    /// Starts one on these manifests.
    pub async fn start<S: AsRef<str>>(documents: impl IntoIterator<Item = S>) -> Self {
        DevBuilder::default().manifests(documents).start().await
    }

    async fn run(command: Command, home: Home, gateway: IpAddr) -> Self {
        let mut process = Process::start(command);
        let begun = Instant::now();
        let admin = loop {
            if let Some(admin) = admin_of(&home.state, process.id()) {
                break admin;
            }
            assert!(process.is_alive() && begun.elapsed() < PATIENCE, "it does not start:\n{}", process.output());
            tokio::time::sleep(LOOK).await;
        };
        let dev = Self { process, home, admin, gateway };
        // It says so last of all.
        let told = || async { dev.output().contains("admin: http://").then_some(()) };
        eventually("serving", told).await;
        assert_eq!(dev.admin_status("/readyz").await, 200);
        dev
    }

    // --- the process

    /// What it wrote so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }

    /// Ends it at once, as by power loss, and starts it again on the same state.
    pub async fn killed_and_started_again(self) -> Self {
        let Self { process, home, gateway, .. } = self;
        drop(process);
        Self::run(home.command(), home, gateway).await
    }

    /// Starts a process that takes over the sockets of this one.
    pub async fn taken_over(&self) -> Self {
        let mut command = self.home.command();
        command.arg("--take-over");
        Self::run(command, self.home.clone(), self.gateway).await
    }

    /// Fails if the process has gone.
    pub fn assert_alive(&mut self) {
        assert!(self.process.is_alive(), "the process has ended");
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// The directory of the manifests.
    pub fn manifests(&self) -> &Path {
        &self.home.manifests
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.home.state
    }

    /// `portolan` with the words given, then the address of the admin port.
    pub fn portolan(&self, words: &[&str]) -> Finished {
        let admin = self.admin.to_string();
        portolan(words.iter().copied().chain(["--admin", &admin]))
    }

    /// Another process on the same manifests, with a state directory of its own or this one's.
    pub fn another(&self, state: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.arg("dev").arg(&self.home.manifests).arg("--state-dir").arg(state).args(["--admin", "127.0.0.1:0"]);
        command
    }

    // --- files

    /// Saves a file and waits until it was read.
    pub async fn save<S: AsRef<str>>(&self, documents: impl IntoIterator<Item = S>) {
        let text: Vec<_> = documents.into_iter().map(|document| document.as_ref().to_owned()).collect();
        self.save_file("all.yaml", &text.join("\n---\n")).await;
    }

    /// Saves a file of this name and waits until it was read.
    pub async fn save_file(&self, name: &str, text: &str) {
        let before = self.reloads();
        self.home.write(name, text.as_bytes());
        let reloaded = || async { (self.reloads() > before).then_some(()) };
        eventually("reloaded", reloaded).await;
    }

    fn reloads(&self) -> usize {
        self.output().lines().filter(|line| line.starts_with("reloaded:")).count()
    }

    // --- the admin port

    /// What the admin port says at a path.
    pub async fn admin_text(&self, path: &str) -> String {
        let (status, text) = self.ask_admin(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// The JSON that the admin port says at a path.
    pub async fn admin_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.admin_text(path).await).unwrap()
    }

    async fn admin_status(&self, path: &str) -> u16 {
        self.ask_admin(path).await.map_or(0, |(status, _)| status)
    }

    async fn ask_admin(&self, path: &str) -> Result<(u16, String), portolan_client::Failure> {
        let client = Client::new(Arc::new(NoDirectory), Options::default()).unwrap();
        let answer = client.send(&Request::new(format!("http://{}{path}", self.admin).parse().unwrap())).await?;
        let status = super::ask::http_status(&answer);
        Ok((status, String::from_utf8(answer.messages.concat()).unwrap()))
    }

    /// A counter of `/metrics`: the sum of all its series whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.admin_text("/metrics").await;
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// How often a limit was reached.
    pub async fn limit(&self, limit: &str) -> u64 {
        self.metric("portolan_limit_reached_total", &format!("limit=\"{limit}\"")).await
    }

    /// Waits until a limit was reached more often than `before`.
    pub async fn limit_above(&self, limit: &str, before: u64) {
        let reached = || async { (self.limit(limit).await > before).then_some(()) };
        eventually(&format!("limit {limit} above {before}"), reached).await;
    }

    /// Names and addresses.
    pub async fn names(&self) -> Names {
        let mut names: Names = serde_json::from_str(&self.admin_text("/names").await).unwrap();
        names.gateway = Some(self.gateway);
        names
    }

    /// Where a port of the first Gateway is bound.
    pub async fn address(&self, port: u16) -> SocketAddr {
        self.names().await.bound(SocketAddr::new(self.gateway, port))
    }

    /// The statuses of one object.
    pub async fn status_of(&self, kind: &str, name: &str) -> Value {
        let all = self.admin_json("/statuses").await;
        let of = |one: &&Value| {
            let text = one.to_string();
            text.contains(&format!("\"{kind}\"")) && text.contains(&format!("\"{name}\""))
        };
        all.as_array().unwrap().iter().find(of).unwrap_or_else(|| panic!("no {kind} {name} in {all}")).clone()
    }

    // --- requests

    /// A client that knows the names of this `dev`.
    pub async fn client(&self, options: Options) -> Client {
        Client::new(Arc::new(self.names().await), options).unwrap()
    }

    /// A request, to be completed and sent.
    pub fn ask(&self, method_and_url: &str) -> Ask<'_> {
        Ask::new(self, method_and_url)
    }
}

fn admin_of(state: &Path, pid: u32) -> Option<SocketAddr> {
    let running: Value = serde_json::from_slice(&std::fs::read(state.join("running.json")).ok()?).ok()?;
    (running["pid"] == pid).then(|| running["admin"].as_str()?.parse().ok())?
}
