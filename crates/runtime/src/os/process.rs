//! Other processes: whether one has ended, and ending one with all it started. Starting one is the standard library's.

use std::io;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Kills every process of the group whose leader is `leader` (started with `process_group(0)`).
/// Whoever started the leader still has to wait for it.
///
/// # Errors
/// When there is no such group any more, or it belongs to somebody else.
pub fn kill_group(leader: u32) -> io::Result<()> {
    Ok(kill_process_group(pid(leader)?, Signal::KILL)?)
}

/// Whether this child of ours has ended. It is not collected by this: its id stays its own.
///
/// # Errors
/// When it is no child of ours, or collected already.
pub fn has_ended(child: u32) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid(child)?), options)?.is_some())
}

fn pid(id: u32) -> io::Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_group_ends_with_what_its_leader_started() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; wait"]).stdout(Stdio::piped()).process_group(0);
        let mut child = shell.spawn().unwrap();
        let mut started = String::new();
        let out = child.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(out), &mut started).unwrap();
        kill_group(child.id()).unwrap();
        assert!(!child.wait().unwrap().success());
        let stat = format!("/proc/{}/stat", started.trim());
        let begun = crate::now();
        loop {
            // Gone, or dead and not yet collected by whoever collects orphans here.
            let state = std::fs::read_to_string(&stat);
            if state.is_err() || state.is_ok_and(|state| state.contains(") Z ")) {
                break;
            }
            assert!(begun.elapsed().as_secs() < 10, "still there");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_that_has_ended_is_seen_before_it_is_collected() {
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", "read x; exit 3"]).stdin(Stdio::piped()).spawn().unwrap();
        assert!(!has_ended(child.id()).unwrap());
        drop(child.stdin.take());
        while !has_ended(child.id()).unwrap() {
            std::thread::yield_now();
        }
        assert!(has_ended(child.id()).unwrap());
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert!(has_ended(child.id()).is_err());
    }

    #[test]
    fn no_group_is_told() {
        assert!(kill_group(0).is_err());
        assert!(kill_group(u32::MAX).is_err());
    }
}
