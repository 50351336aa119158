//! A server: a `faultd` process that can be told how to behave, killed, stopped and started again on
//! the same port. Its journal outlives it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

use evenkeel_tools::peer::Peer;

use crate::Fault;
use crate::journal::Journal;
use crate::network::Link;
use crate::stage::Stage;

/// A server of a pool.
pub(crate) struct Backend {
    /// `s1` and the like.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    binary: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    link: Option<Link>,
    running: Option<(Peer, ChildStdin)>,
}

impl Backend {
    /// Starts one with further arguments.
    pub(crate) fn start(stage: &Stage, name: &str, arguments: &[&str]) -> Result<Self, Fault> {
        Self::start_with(stage, name, free_address()?, arguments)
    }

    /// Starts one at this address.
    pub(crate) fn start_at(stage: &Stage, name: &str, address: SocketAddr) -> Result<Self, Fault> {
        Self::start_with(stage, name, address, &[])
    }

    fn start_with(
        stage: &Stage,
        name: &str,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self, Fault> {
        let mut backend = Self {
            name: name.to_owned(),
            address,
            binary: stage.binaries.join("faultd"),
            log: stage.directory().join(format!("{name}.log")),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            link: None,
            running: None,
        };
        backend.start_again()?;
        Ok(backend)
    }

    /// Starts one in a network of its own, behind a link.
    pub(crate) fn start_behind(stage: &Stage, number: u8) -> Result<Self, Fault> {
        let link = Link::new(number);
        let name = format!("s{number}");
        let mut backend = Self {
            address: SocketAddr::new(link.far().into(), 9_000),
            binary: stage.binaries.join("faultd"),
            log: stage.directory().join(format!("{name}.log")),
            name,
            arguments: Vec::new(),
            link: Some(link),
            running: None,
        };
        backend.start_again()?;
        Ok(backend)
    }

    /// The link it is behind.
    pub(crate) fn link(&self) -> Result<&Link, Fault> {
        self.link.as_ref().ok_or_else(|| "not behind a link".into())
    }

    /// As before, on the same port.
    pub(crate) fn start_again(&mut self) -> Result<(), Fault> {
        let mut command = match &self.link {
            None => Command::new(&self.binary),
            Some(_) => {
                let mut apart = Command::new("unshare");
                apart.arg("--net").arg(&self.binary);
                apart
            }
        };
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.address.port());
        let listen = if self.link.is_some() { any } else { self.address };
        command.args(["--control", "--name", &self.name, "--listen", &listen.to_string()]);
        command.arg("--log").arg(&self.log).args(&self.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut peer = Peer::launch("faultd", self.address.port(), &mut command)?;
        if let Some(link) = &mut self.link {
            link.plug(peer.id())?;
        }
        peer.wait_until_it_listens(self.address)?;
        let control = peer.take_stdin().ok_or("faultd takes no orders")?;
        self.running = Some((peer, control));
        Ok(())
    }

    /// Ends at once; connections are refused from now on.
    pub(crate) fn kill(&mut self) {
        if let Some((mut peer, _)) = self.running.take() {
            peer.signal("KILL");
            peer.wait(std::time::Duration::from_secs(5));
        }
    }

    /// `STOP` and `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        if let Some((peer, _)) = &self.running {
            peer.signal(signal);
        }
    }

    /// Steps in front of every path from now on; none if empty.
    pub(crate) fn behave(&mut self, steps: &str) {
        if let Some((_, control)) = &mut self.running {
            let _ = writeln!(control, "{steps}");
        }
    }

    /// Length of its journal: it grows with each request.
    pub(crate) fn journal_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |data| data.len())
    }

    /// Every request it has read, of all its lives.
    pub(crate) fn journal(&self) -> Journal {
        Journal::read(&self.log)
    }
}

/// A port of this machine that nobody has.
pub(crate) fn free_address() -> Result<SocketAddr, Fault> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
