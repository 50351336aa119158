//! Networks of our own: everything happens in a network namespace, so that ports, counters, losses
//! and partitions are nobody else's. Servers can stand behind a link of their own, which can fail.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::Fault;
use crate::stage::within;

/// Tells the process inside that it is.
const INSIDE: &str = "EVENKEEL_CHAOS_INSIDE";

/// Runs this program again in a network of its own, where that is possible: `None` if this is it, or
/// if it is not possible.
pub(crate) fn run_apart() -> Option<ExitCode> {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        if !up.is_ok_and(|status| status.success()) {
            eprintln!("chaos: no loopback in the network of our own: ip (iproute2) is missing");
            return Some(ExitCode::from(2));
        }
        return None;
    }
    let may = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("chaos: no network namespaces here: figures of ejection are left out");
        return None;
    }
    let own = std::env::current_exe().ok()?;
    let mut command = Command::new("unshare");
    command.args(["--net"]).arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    eprintln!("chaos: {}", command.exec());
    Some(ExitCode::from(2))
}

/// Whether we are in a network of our own.
pub(crate) fn is_apart() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Connection attempts of this network that were refused or timed out so far.
fn failed_attempts() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let names = lines.next().unwrap_or_default().split(' ');
    let values = lines.next().unwrap_or_default().split(' ');
    let mut pairs = names.zip(values);
    pairs.find(|(name, _)| *name == "AttemptFails").and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
}

/// Watches for `limit` how long connections to a server that is gone are attempted: until none is for
/// `quiet`. `None` without a network of our own.
pub(crate) fn attempts_end(limit: Duration, quiet: Duration) -> Option<Duration> {
    if !is_apart() {
        std::thread::sleep(limit);
        return None;
    }
    let begun = Instant::now();
    let (mut count, mut last) = (failed_attempts(), Duration::ZERO);
    let mut ended = None;
    while begun.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(1));
        let now = failed_attempts();
        if now != count {
            count = now;
            last = begun.elapsed();
        } else if ended.is_none() && begun.elapsed() > last + quiet {
            ended = Some(last);
        }
    }
    ended
}

/// A wire (veth) from our network to that of one server, and what can happen to it.
pub(crate) struct Link {
    number: u8,
    process: u32,
}

impl Link {
    /// One of up to 200.
    pub(crate) fn new(number: u8) -> Self {
        Self { number, process: 0 }
    }

    /// The server's address.
    pub(crate) fn far(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 97, self.number, 2)
    }

    fn near_name(&self) -> String {
        format!("chaos{}", self.number)
    }

    /// Connects to the network of `process`, which has just been started in one of its own.
    pub(crate) fn plug(&mut self, process: u32) -> Result<(), Fault> {
        self.process = process;
        let network = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let own = network("self");
        let apart = || network(&process.to_string()).is_some_and(|other| Some(other) != own);
        within(Duration::from_secs(5), apart).ok_or("no network of its own")?;
        let near = self.near_name();
        let (here, there) = (format!("10.97.{}.1/24", self.number), format!("{}/24", self.far()));
        let netns = process.to_string();
        // What is left of the last network that had this number.
        let _ = ip(&["link", "del", &near]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &netns])?;
        ip(&["addr", "add", &here, "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        self.inside(&["ip", "addr", "add", &there, "dev", "eth0"])?;
        self.inside(&["ip", "link", "set", "eth0", "up"])
    }

    fn inside(&self, command: &[&str]) -> Result<(), Fault> {
        let process = self.process.to_string();
        run(Command::new("nsenter").args(["--net", "--target", &process]).args(command))
    }

    /// From now on packets to the server vanish, or arrive again.
    pub(crate) fn set_blackhole(&self, on: bool) -> Result<(), Fault> {
        let (far, near) = (self.far().to_string(), self.near_name());
        if on {
            // Sent to a station that is not there.
            let nobody = "02:00:00:00:00:ff";
            ip(&["neigh", "replace", &far, "lladdr", nobody, "dev", &near, "nud", "permanent"])
        } else {
            ip(&["neigh", "del", &far, "dev", &near])
        }
    }

    /// Cuts the wire, or mends it.
    pub(crate) fn set_cut(&self, cut: bool) -> Result<(), Fault> {
        self.inside(&["ip", "link", "set", "eth0", if cut { "down" } else { "up" }])
    }
}

/// From now on so many of a hundred packets on all wires are lost, each way.
pub(crate) fn set_loss(percent: u8) -> Result<(), Fault> {
    let rule = |hook: &str, way: &str| {
        format!(
            "add chain inet chaos {hook} {{ type filter hook {hook} priority 0; }}\nadd rule inet chaos {hook} {way}name \"chaos*\" numgen random mod 100 < {percent} drop\n"
        )
    };
    let rules = format!("add table inet chaos\n{}{}", rule("input", "iif"), rule("output", "oif"));
    run(Command::new("/usr/sbin/nft").arg(rules))
}

/// Whether packets can be made to be lost.
pub(crate) fn may_lose() -> bool {
    std::path::Path::new("/usr/sbin/nft").exists()
}

fn ip(arguments: &[&str]) -> Result<(), Fault> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<(), Fault> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
