//! What is started as the new process: which program, with which arguments and environment. Owns
//! the command line of an upgrade, not the conversation with what it starts.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::message::PROTOCOL;

/// Makes a process a successor; its value is the version of the words its predecessor speaks.
pub(super) const VARIABLE: &str = "EVENKEEL_UPGRADE";

/// What systemd says to one process by its id, and what a successor gets in another way.
const NOT_INHERITED: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// How this process was started, so that its successor can be started alike.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Launch {
    /// Of this process. To be asked at its start: later its file may be gone and its directory
    /// another.
    pub(crate) fn of_this_process() -> Self {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_file = |path: &Path| path.is_file();
        let program = program(&name, &here, &path, is_file)
            .or_else(|| std::env::current_exe().ok())
            .unwrap_or_else(|| PathBuf::from(name));
        Self { program, arguments: arguments.collect() }
    }

    /// The same with another program.
    pub(super) fn with_program(mut self, program: Option<PathBuf>) -> Self {
        self.program = program.unwrap_or(self.program);
        self
    }

    /// Its file.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it in a process group of its own, with `line` as its standard input.
    pub(super) fn start(&self, line: OwnedFd) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(VARIABLE, PROTOCOL.to_string());
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.stdin(Stdio::from(line)).process_group(0).spawn()
    }
}

/// The file a process was started from, by the name it was started with: links are left as they
/// are, so that one that leads to another version by now leads there.
fn program(
    name: &OsStr,
    here: &Path,
    path: &OsStr,
    is_file: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let named = Path::new(name);
    if name.is_empty() {
        return None;
    }
    if named.components().count() > 1 {
        return Some(here.join(named)).filter(|path| is_file(path));
    }
    std::env::split_paths(path).map(|place| here.join(place).join(named)).find(|path| is_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, files: &[&str]) -> Option<String> {
        let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
        let found = program(name.as_ref(), Path::new("/srv"), "bin:/usr/bin".as_ref(), is_file);
        found.map(|path| path.display().to_string())
    }

    #[test]
    fn the_program_is_the_file_of_the_name_it_was_started_with() {
        let files = ["/opt/lb/evenkeel", "/srv/bin/evenkeel", "/usr/bin/evenkeel", "/srv/evenkeel"];
        assert_eq!(found("/opt/lb/evenkeel", &files).as_deref(), Some("/opt/lb/evenkeel"));
        assert_eq!(found("./evenkeel", &files).as_deref(), Some("/srv/./evenkeel"));
        assert_eq!(found("evenkeel", &files).as_deref(), Some("/srv/bin/evenkeel"));
        assert_eq!(found("evenkeel", &files[2..3]).as_deref(), Some("/usr/bin/evenkeel"));
    }

    #[test]
    fn a_name_that_leads_nowhere_is_not_used() {
        assert_eq!(found("/opt/lb/evenkeel", &[]), None);
        assert_eq!(found("proxy", &["/srv/proxy"]), None, "the directory itself is not searched");
        assert_eq!(found("", &["/usr/bin/"]), None);
    }
}
