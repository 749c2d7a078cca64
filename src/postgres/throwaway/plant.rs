//! What of a throwaway server stays as it is while the server comes and goes: its programs and its data.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::account::Account;
use super::binaries::Binaries;
use super::builder::Builder;
use super::error::{Result, ThrowawayError};
use super::keeper::{Keeper, words};

/// Between two looks at a server that is starting or stopping.
const POLL: Duration = Duration::from_millis(5);

/// How a server is stopped, in Postgres's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends the sessions, sends replication what is left, writes a checkpoint.
    Fast,
    /// Stops at once; the next start recovers from the WAL.
    Immediate,
    /// As after `kill -9`.
    Kill,
}

/// What of a server stays as it is while it comes and goes.
#[derive(Debug)]
pub(super) struct Plant {
    pub binaries: Binaries,
    pub folder: PathBuf,
    pub account: Option<Account>,
    pub patience: Duration,
}

impl Plant {
    pub fn initdb(&self, keeper: &mut Keeper, builder: &Builder) -> Result<()> {
        let data = self.folder.join("data");
        let options = "--username=postgres --encoding=UTF8 --locale=C --no-sync --no-instructions --auth-local=trust";
        let mut command = words(&self.binaries.program("initdb"), [OsStr::new("--pgdata"), data.as_os_str()]);
        command.extend(options.split(' ').map(Into::into));
        command.push(format!("--auth-host={}", builder.authentication.method()).into());
        if let Some(password) = builder.authentication.password() {
            let file = self.write("password", password)?;
            command.extend(["--pwfile".into(), file.into_os_string()]);
        }
        keeper.start(command)?;
        match self.wait(keeper, "initialised", Ok)? {
            0 => fs::remove_file(self.folder.join("password"))
                .or_else(absent_is_fine)
                .map_err(|source| ThrowawayError::Io { act: "remove", path: self.folder.join("password"), source })?,
            status => return Err(ThrowawayError::Initdb { status, output: self.log() }),
        }
        let conf = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&conf).map_err(|source| ThrowawayError::Io {
            act: "read",
            path: conf.clone(),
            source,
        })?;
        text.push_str("include 'pelton.conf'\n");
        self.write("data/postgresql.conf", &text)?;
        Ok(())
    }

    /// Writes who may enter, and the certificates.
    pub fn configure(&self, builder: &Builder) -> Result<()> {
        self.write("data/pg_hba.conf", &builder.hba_conf())?;
        if let Some(tls) = &builder.tls {
            self.write("data/server.crt", &tls.certificate)?;
            self.write("data/server.key", &tls.key)?;
            if let Some(authority) = &tls.client_authority {
                self.write("data/root.crt", authority)?;
            }
        }
        Ok(())
    }

    /// Starts the postmaster and waits until it takes connections.
    pub fn start(&self, keeper: &mut Keeper) -> Result<u32> {
        let data = self.folder.join("data");
        let log_before = self.log().len();
        let pid = keeper.start(words(&self.binaries.program("postgres"), [OsStr::new("-D"), data.as_os_str()]))?;
        self.wait_for(keeper, "ready", |ended| match ended {
            Some(status) => {
                let log = self.log().get(log_before..).unwrap_or_default().to_owned();
                Err(ThrowawayError::Died { status, log })
            }
            None => {
                Ok(is_ready(&fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default(), pid).then_some(pid))
            }
        })
    }

    /// Starts again after a stop. After a kill, the orphaned backends need a moment to notice, and until then the new
    /// postmaster refuses their shared memory.
    pub fn start_again(&self, keeper: &mut Keeper) -> Result<u32> {
        let begun = Instant::now();
        loop {
            match self.start(keeper) {
                Err(ThrowawayError::Died { log, .. })
                    if log.contains("shared memory block") && begun.elapsed() < self.patience =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                done => return done,
            }
        }
    }

    pub fn stop(&self, keeper: &mut Keeper, how: Shutdown) -> Result<()> {
        keeper.signal(match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
            Shutdown::Kill => "KILL",
        })?;
        self.wait(keeper, "stopped", |_| Ok(())).map(drop)
    }

    /// Waits for the end of the process.
    fn wait<T>(&self, keeper: &mut Keeper, state: &'static str, ended: impl Fn(i32) -> Result<T>) -> Result<T> {
        self.wait_for(keeper, state, |status| status.map(&ended).transpose())
    }

    /// Waits until `look`, which is told the status of a process that has ended, finds what it wants.
    fn wait_for<T>(
        &self,
        keeper: &mut Keeper,
        state: &'static str,
        look: impl Fn(Option<i32>) -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(keeper.ended()?)? {
                return Ok(found);
            }
            if begun.elapsed() > self.patience {
                let log = self.log();
                let end = log.lines().rev().take(20).collect::<Vec<_>>();
                let log = end.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(ThrowawayError::TooSlow { state, seconds: self.patience.as_secs(), log });
            }
            std::thread::sleep(POLL);
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Writes a file that the server's account owns and nobody else may read.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let mut options = fs::OpenOptions::new();
        let written = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| ThrowawayError::Io {
            act: "write",
            path: path.clone(),
            source,
        })?;
        if let Some(account) = &self.account {
            account.own(&path)?;
        }
        Ok(path)
    }
}

/// Reads a server's state from `postmaster.pid`, as pg_ctl does: the first line is its pid, the eighth its state. A server
/// that was killed leaves the file behind.
fn is_ready(postmaster_pid: &str, pid: u32) -> bool {
    let mut lines = postmaster_pid.lines();
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
