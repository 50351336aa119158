//! A process under measurement, with its children: started, signalled, and what the kernel says it
//! uses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process and its children; ends with this value.
pub struct Peer {
    /// For messages.
    pub name: &'static str,
    /// Where it listens.
    pub port: u16,
    child: Child,
}

impl Peer {
    /// Starts a command on `core` and waits until `port` answers.
    ///
    /// # Errors
    /// When it does not start, or does not listen in time.
    pub fn start(name: &'static str, core: usize, port: u16, command: &[&str]) -> io::Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &core.to_string()]).args(command);
        pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(name, port, &mut pinned)
    }

    /// Starts `command` as it is and waits until `port` answers.
    ///
    /// # Errors
    /// When it does not start, or does not listen in time.
    pub fn spawn(name: &'static str, port: u16, command: &mut Command) -> io::Result<Self> {
        let mut peer = Self { name, port, child: command.spawn()? };
        peer.wait_until_it_listens(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))?;
        Ok(peer)
    }

    /// Starts `command` as it is, and waits for nothing.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch(name: &'static str, port: u16, command: &mut Command) -> io::Result<Self> {
        Ok(Self { name, port, child: command.spawn()? })
    }

    /// Waits until `address` answers.
    ///
    /// # Errors
    /// When it does not in time, or the process has ended.
    pub fn wait_until_it_listens(&mut self, address: SocketAddr) -> io::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            if begun.elapsed() > PATIENCE || self.ended().is_some() {
                let message = format!("{} does not listen on {address}", self.name);
                return Err(io::Error::other(message));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The process that was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once, if that is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends a signal, like `HUP`, to the process that was started.
    pub fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended; `None` if it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.ended() {
                None if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(2)),
                ended => return ended,
            }
        }
    }

    /// Itself and its children.
    pub fn processes(&self) -> Vec<u32> {
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
    pub fn cpu(&self) -> u64 {
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
    pub fn memory(&self) -> u64 {
        self.processes().into_iter().map(|process| rollup(process, "Pss_Anon:")).sum()
    }
}

/// Bytes of memory that one process uses, files included: `Rss:` and the like.
pub fn rollup(process: u32, which: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(which));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Open descriptors of one process.
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        for process in self.processes().into_iter().rev() {
            let _ = Command::new("kill").arg(process.to_string()).status();
        }
        if self.wait(PATIENCE).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
