//! What the process and systemd tell each other: readiness, status and life signs
//! (`sd_notify(3)`), and listening sockets that systemd has bound (`sd_listen_fds(3)`). Without
//! systemd all of it does nothing.

use std::os::fd::OwnedFd;
use std::time::Duration;

use evenkeel_runtime as runtime;
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Sockets systemd passes, at most: far above what a unit file has.
const SOCKETS_MAX: usize = 4096;

/// Workers give signs of life a few times a second; asked more often they would seem to stand still.
const SIGNS: Duration = Duration::from_secs(1);

/// The sockets systemd has bound for this process, with the names of `FileDescriptorName=`.
///
/// To be called before any thread reads the environment: variables are taken out of it.
pub(crate) fn sockets() -> Vec<(String, OwnedFd)> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let (pid, count) = (std::env::var("LISTEN_PID"), std::env::var("LISTEN_FDS"));
    // Without its id the sockets may be meant for whoever started this process.
    let (Ok(pid), Ok(count)) = (pid, count) else { return Vec::new() };
    if pid != std::process::id().to_string()
        || !count.parse::<usize>().is_ok_and(|count| count <= SOCKETS_MAX)
    {
        return Vec::new();
    }
    let mut names = names.split(':').map(str::to_owned);
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(passed.len());
    for at in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        match passed.take_tcp_listener(at) {
            Ok(Some(socket)) => sockets.push((name, socket.into())),
            Ok(None) => {}
            Err(error) => tracing::warn!(%name, %error, "a socket of systemd's is not used"),
        }
    }
    sockets
}

/// The process serves (again).
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The process takes over a changed configuration; [`ready`] ends that.
pub(crate) fn reloading() {
    // systemd wants to know since when; without that it would not believe the rest.
    if let Ok(since) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, since]);
    }
}

/// The process drains.
pub(crate) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// From now on that process is the service; told before this one ends.
pub(crate) fn hand_over(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// From now on this process is the service; told by itself, when it is in charge.
pub(crate) fn take_charge(status: &str) {
    let this = NotifyState::MainPid(std::process::id());
    tell(&[this, NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells systemd regularly that the process lives, if it wants to know (`WatchdogSec=`), and only
/// while every one of `signs` (numbers that go up) has moved since the last time.
pub(crate) fn keep_alive(signs: impl Fn() -> Vec<u64> + Send + 'static) {
    let Some(interval) = watchdog() else { return };
    let watch = move || {
        let mut before = signs();
        loop {
            let until = runtime::now() + interval;
            while runtime::now() < until {
                std::thread::park_timeout(until.saturating_duration_since(runtime::now()));
            }
            let now = signs();
            match before.iter().zip(&now).all(|(before, now)| before != now) {
                true => tell(&[NotifyState::Watchdog]),
                false => tracing::error!("a worker has stood still for {interval:?}"),
            }
            before = now;
        }
    };
    if let Err(error) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
        tracing::error!(%error, "cannot tell systemd that this process lives");
    }
}

/// How often systemd wants to be told that the process lives: half of what it waits; `None` if it
/// does not care.
fn watchdog() -> Option<Duration> {
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let is_other = |pid: String| pid != std::process::id().to_string();
    if std::env::var("WATCHDOG_PID").is_ok_and(is_other) {
        return None;
    }
    Some(Duration::from_micros(micros / 2).max(SIGNS))
}

fn tell(states: &[NotifyState<'_>]) {
    // systemd that does not listen is no reason not to serve.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}
