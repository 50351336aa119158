//! A balancer under measurement: started on a core of its own, and what the kernel says it used.

use std::io;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process and its children.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    child: Child,
}

impl Peer {
    /// Starts a command on `core` and waits until `port` answers.
    pub(crate) fn start(
        name: &'static str,
        core: usize,
        port: u16,
        command: &[&str],
    ) -> io::Result<Self> {
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut peer = Self { name, port, child };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > Duration::from_secs(10) || peer.child.try_wait()?.is_some() {
                return Err(io::Error::other(format!("{name} does not listen on {port}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let listed = Command::new("pgrep").args(["-P", &own.to_string()]).output();
        let text = listed.map(|output| output.stdout).unwrap_or_default();
        let children = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|l| l.parse().ok())
            .collect::<Vec<_>>();
        std::iter::once(own).chain(children).collect()
    }

    /// Nanoseconds of CPU used so far, by all its threads.
    pub(crate) fn cpu(&self) -> u64 {
        let mut sum = 0;
        for process in self.processes() {
            let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for task in tasks.flatten() {
                let text =
                    std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                sum += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        sum
    }

    /// Bytes of memory that are not a file's; what processes share is counted in parts.
    pub(crate) fn memory(&self) -> u64 {
        let own = |process: u32| {
            let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
            let text = text.unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with("Pss_Anon:"));
            line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        self.processes().into_iter().map(own).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for process in self.processes().into_iter().rev() {
            let _ = Command::new("kill").arg(process.to_string()).status();
        }
        let _ = self.child.wait();
    }
}
