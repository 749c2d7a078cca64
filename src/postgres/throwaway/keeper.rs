//! A process that can't outlive us, however we end.
//!
//! The process is the child of a small shell, the keeper, which runs in a process group of its own, so that Ctrl-C
//! reaches only us and we end things in order. The keeper reads orders from a pipe. Its other end is open in our process
//! alone (the standard library opens pipes close-on-exec), so the kernel closes it however we die, and the end of the
//! orders is the last order: end the process and remove its folder. As the parent, the keeper knows the process from
//! its first instant and until it has collected its status, so a signal never meets a stranger with a recycled pid.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::account::Account;
use super::error::{Result, ThrowawayError};

const SCRIPT: &str = include_str!("keeper.sh");

/// Keeps one process, and the folder it lives in.
#[derive(Debug)]
pub struct Keeper {
    shell: Child,
    /// `None` once the keeper was let go.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
    folder: Option<PathBuf>,
}

impl Keeper {
    /// Starts a keeper, without a process yet.
    ///
    /// `log` takes what the process prints. At the end the process gets `last_signal`, and `folder` is removed. `set` may
    /// change the environment of the process; it runs in the folder of `log`, as `account` where one is given.
    pub fn new(
        folder: Option<&Path>,
        log: &Path,
        last_signal: &str,
        account: Option<&Account>,
        set: impl FnOnce(&mut Command),
    ) -> Result<Keeper> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("keeper");
        command.arg(folder.map_or(OsStr::new(""), Path::as_os_str)).arg(log).arg(last_signal);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        if let Some(parent) = log.parent() {
            command.current_dir(parent);
        }
        if let Some(account) = account {
            account.run(&mut command);
        }
        set(&mut command);
        let io = |source| ThrowawayError::Io { act: "run", path: PathBuf::from("/bin/sh"), source };
        let mut shell = command.spawn().map_err(io)?;
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("stdout is a pipe"));
        Ok(Keeper { shell, orders, answers, log: log.to_owned(), folder: folder.map(Path::to_owned) })
    }

    /// Starts the process and returns its pid.
    pub fn start<S: AsRef<OsStr>>(&mut self, command: impl IntoIterator<Item = S>) -> Result<u32> {
        let mut order = b"start".to_vec();
        for word in command {
            order.push(b' ');
            order.extend(quoted(word.as_ref()).map_err(|source| ThrowawayError::Io {
                act: "run",
                path: PathBuf::from(word.as_ref()),
                source,
            })?);
        }
        let answer = self.ask(&order)?;
        answer.strip_prefix("started ").and_then(|pid| pid.parse().ok()).ok_or_else(|| self.is_gone())
    }

    /// Sends a signal, such as `INT`; says whether there was a process to take it.
    pub fn signal(&mut self, name: &str) -> Result<bool> {
        Ok(self.ask(format!("signal {name}").as_bytes())? == "sent")
    }

    /// Returns the status that the process ended with, `None` while it runs. 128 and more is a signal's number plus 128.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        match self.ask(b"check")?.strip_prefix("ended ") {
            Some(status) => Ok(Some(status.parse().map_err(|_| self.is_gone())?)),
            None => Ok(None),
        }
    }

    /// Ends the process and removes the folder, both done when it returns.
    pub fn finish(&mut self) {
        drop(self.orders.take());
        // Only a shell that was already waited for can't be waited for.
        self.shell.wait().ok();
        // The account may own the folder and still not be allowed to take it out of the folder above: we may.
        if let Some(folder) = &self.folder {
            std::fs::remove_dir_all(folder).ok();
        }
    }

    /// Leaves the process to itself: it goes on after us, and nothing is removed.
    pub fn leave(&mut self) -> Result<()> {
        self.ask(b"leave")?;
        self.orders = None;
        Ok(())
    }

    /// Ties the process to another one, `pid`, instead of us.
    pub fn follow(&mut self, pid: u32) -> Result<()> {
        self.ask(format!("follow {pid}").as_bytes())?;
        // From here on the keeper neither reads nor writes, so nobody has to wait for it.
        self.orders = None;
        Ok(())
    }

    fn ask(&mut self, order: &[u8]) -> Result<String> {
        let mut answer = String::new();
        let asked = self.orders.as_mut().map(|orders| {
            orders.write_all(order)?;
            orders.write_all(b"\n")?;
            self.answers.read_line(&mut answer)
        });
        match asked {
            Some(Ok(length)) if length > 0 => Ok(answer.trim_end().to_owned()),
            _ => Err(self.is_gone()),
        }
    }

    fn is_gone(&self) -> ThrowawayError {
        ThrowawayError::KeeperGone { folder: self.log.parent().unwrap_or(&self.log).to_owned() }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.orders.is_some() {
            self.finish();
        }
    }
}

/// Quotes a word for the shell. Orders are lines, so a word can't hold a line's end.
fn quoted(word: &OsStr) -> io::Result<Vec<u8>> {
    let word = word.as_bytes();
    if word.contains(&b'\n') || word.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name holds a line's end"));
    }
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    Ok(quoted)
}

/// Builds a command as the words of `program` and its arguments.
pub(super) fn words<const N: usize>(program: &Path, arguments: [&OsStr; N]) -> Vec<OsString> {
    [program.as_os_str()].into_iter().chain(arguments).map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    fn keeper(folder: &Path) -> Keeper {
        Keeper::new(Some(folder), &folder.join("log"), "TERM", None, |_| ()).unwrap()
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            sleep(Duration::from_millis(2));
        }
    }

    fn lives(pid: u32) -> bool {
        Command::new("/bin/sh")
            .args(["-c", &format!("kill -0 {pid}")])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    #[test]
    fn hands_words_over_as_they_are() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = keeper(&folder);
        keeper.start(["printf", "%s|", "it's", "a b", "$HOME", "\\n", "", "*"]).unwrap();
        until("it ends", || keeper.ended().unwrap().is_some());
        assert_eq!(fs::read_to_string(folder.join("log")).unwrap(), "it's|a b|$HOME|\\n||*|");
        assert!(matches!(keeper.start(["a\nb"]), Err(ThrowawayError::Io { .. })));
    }

    #[test]
    fn tells_the_status_as_often_as_asked() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = keeper(&folder);
        keeper.start(["sh", "-c", "exit 7"]).unwrap();
        until("it ends", || keeper.ended().unwrap() == Some(7));
        assert_eq!(keeper.ended().unwrap(), Some(7));
        keeper.start(["sleep", "1000"]).unwrap();
        assert_eq!(keeper.ended().unwrap(), None);
        assert!(keeper.signal("KILL").unwrap());
        until("it is killed", || keeper.ended().unwrap() == Some(128 + 9));
        assert!(!keeper.signal("KILL").unwrap());
    }

    #[test]
    fn ends_the_process_and_removes_the_folder_when_dropped() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = keeper(&folder);
        let pid = keeper.start(["sleep", "1000"]).unwrap();
        assert!(lives(pid));
        drop(keeper);
        assert!(!lives(pid));
        assert!(!folder.exists());
    }

    #[test]
    fn kills_a_process_that_ignores_its_last_signal() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = keeper(&folder);
        let pid = keeper.start(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]).unwrap();
        drop(keeper);
        assert!(!lives(pid));
    }

    #[test]
    fn leaves_a_process_to_itself_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = keeper(folder.path());
        let pid = keeper.start(["sleep", "1000"]).unwrap();
        keeper.leave().unwrap();
        assert!(lives(pid));
        assert!(folder.path().exists());
        Command::new("/bin/sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap();
    }

    #[test]
    fn follows_another_process() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = keeper(&folder);
        let pid = keeper.start(["sleep", "1000"]).unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        keeper.follow(other.id()).unwrap();
        assert!(lives(pid));
        other.kill().unwrap();
        other.wait().unwrap();
        until("it is ended with the other", || !lives(pid) && !folder.exists());
    }
}
