//! The `pelton` program, run as its users run it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::PATIENCE;

/// A `pelton` command, in a folder of its own that goes when it is dropped; the process is killed with it.
pub struct Pelton {
    folder: TempDir,
    command: Command,
    child: Option<Child>,
}

impl Pelton {
    /// Prepares `pelton ARGUMENTS…`, in an empty folder, without the settings that whoever runs the tests may have.
    pub fn new<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Pelton {
        let folder = tempfile::Builder::new().prefix("pelton-test-").tempdir().expect("a folder can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(arguments).current_dir(folder.path()).kill_on_drop(true).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| name.starts_with("PELTON_") && name != "PELTON_PG_BIN");
            if foreign {
                command.env_remove(name);
            }
        }
        Pelton { folder, command, child: None }
    }

    /// Puts a file into the folder, `pelton.yaml` for instance.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Pelton {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("the folder")).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Pelton {
        self.command.env(name, value);
        self
    }

    /// Sets an environment variable for the next start, or takes it out.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.command.env(name, value),
            None => self.command.env_remove(name),
        };
    }

    /// Returns the folder that it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it; again, after it ended or was killed. What it prints is appended to what it printed before.
    pub fn start(&mut self) {
        let log = |name: &str| {
            let path = self.folder.path().join(name);
            fs::File::options().create(true).append(true).open(path).expect("a log can be written")
        };
        self.command.stdout(log("stdout")).stderr(log("stderr"));
        self.child = Some(self.command.spawn().expect("pelton starts"));
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&mut self) -> impl Future<Output = ExitStatus> {
        self.start();
        self.ended()
    }

    /// Waits for its end; fails with its log after [`PATIENCE`].
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = ExitStatus> {
        let caller = std::panic::Location::caller();
        async move {
            let child = self.child.as_mut().expect("it was started");
            match tokio::time::timeout(PATIENCE, child.wait()).await {
                Ok(status) => status.expect("a child can be waited for"),
                Err(_) => panic!("at {caller}: pelton did not end within {PATIENCE:?}\n{}", self.stderr()),
            }
        }
    }

    /// Returns true once it has ended.
    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("it was started");
        child.try_wait().expect("a child can be looked at").is_some()
    }

    /// Waits until it has printed `text` to stderr; fails with its log if it ends before, or after [`PATIENCE`].
    #[track_caller]
    pub fn says<'a>(&'a mut self, text: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            loop {
                // First look whether it has ended, so that its last words are not missed.
                let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child can be looked at"));
                if self.stderr().contains(text) {
                    return;
                }
                if let Some(status) = ended {
                    panic!("at {caller}: pelton ended ({status}) and did not say `{text}`\n{}", self.stderr());
                }
                assert!(begun.elapsed() < PATIENCE, "at {caller}: pelton did not say `{text}`\n{}", self.stderr());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub async fn kill(&mut self) {
        let child = self.child.as_mut().expect("it was started");
        child.kill().await.expect("a child can be killed");
    }

    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `INT`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().and_then(Child::id).expect("it runs");
        let sent = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {pid}")]).status();
        assert!(sent.expect("a shell starts").success(), "SIG{name} could not be sent");
    }

    /// Returns its pid while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Returns what it printed to stdout so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Returns what it printed to stderr so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Pelton {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what pelton said ---\n{}{}---", self.stdout(), self.stderr());
        }
    }
}
