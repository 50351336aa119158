//! Where scenarios happen: how large they are, where files go, and the runtime of the clients.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel_tools::load::{Load, Outcome, Running};
use evenkeel_tools::websocket::{Lived, Sessions};
use tokio::runtime::Runtime;

use crate::backend::Backend;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::row::Row;
use crate::scenarios::Scenario;
use crate::{Arguments, Fault};

/// A place for scenarios, one after the other.
pub(crate) struct Stage {
    /// Whether a few seconds have to do.
    pub(crate) short: bool,
    /// Where binaries are.
    pub(crate) binaries: PathBuf,
    pace: f64,
    directory: PathBuf,
    keep: bool,
    runtime: Runtime,
}

impl Stage {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Fault> {
        let own = std::env::current_exe()?;
        let beside = own.parent().unwrap_or(Path::new(".")).to_owned();
        let directory = std::env::temp_dir().join(format!("evenkeel-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        if arguments.keep {
            eprintln!("configurations and logs are in {}", directory.display());
        }
        Ok(Self {
            short: arguments.short,
            binaries: arguments.binaries.clone().unwrap_or(beside),
            pace: arguments.pace,
            directory,
            keep: arguments.keep,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?,
        })
    }

    /// One scenario; what breaks it is a miss.
    pub(crate) fn perform(&self, scenario: &Scenario, kind: Kind) -> Row {
        let begun = Instant::now();
        let _ = std::fs::remove_dir_all(self.directory());
        let performed = std::fs::create_dir_all(self.directory())
            .map_err(Fault::from)
            .and_then(|()| (scenario.run)(self, kind));
        let mut row = performed.unwrap_or_else(|fault| {
            let mut row = Row::default();
            row.must(false, || fault.to_string());
            row
        });
        row.begun(scenario.name, kind, begun.elapsed());
        row
    }

    /// Files of the scenario under way.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.join("now")
    }

    /// One of two, by the form.
    pub(crate) fn either<T>(&self, short: T, full: T) -> T {
        if self.short { short } else { full }
    }

    /// A time that a goal allows: three times as long in the short form, which machines do beside
    /// other work.
    pub(crate) fn allowed(&self, time: Duration) -> Duration {
        if self.short { time * 3 } else { time }
    }

    /// A latency that a goal allows. The short form runs on machines that do other work: there half
    /// a second is, which still shows a client that had to wait for a timeout.
    pub(crate) fn latency(&self, limit: Duration) -> Duration {
        if self.short { limit.max(Duration::from_millis(500)) } else { limit }
    }

    /// Requests a second.
    pub(crate) fn rate(&self, short: f64, full: f64) -> f64 {
        self.either(short, full) * self.pace
    }

    /// Starts servers named `s1`, `s2`, …
    pub(crate) fn backends(&self, count: usize) -> Result<Vec<Backend>, Fault> {
        (1..=count).map(|n| Backend::start(self, &format!("s{n}"), &[])).collect()
    }

    /// Starts a balancer in front of them with defaults.
    pub(crate) fn balancer(&self, kind: Kind, backends: &[Backend]) -> Result<Balancer, Fault> {
        Balancer::start(self, kind, Wanted::of(backends))
    }

    /// Begins a load.
    pub(crate) fn load(&self, load: Load) -> Running {
        let _inside = self.runtime.enter();
        Running::start(load)
    }

    /// Runs a load for this long.
    pub(crate) fn load_for(&self, time: Duration, load: Load) -> Outcome {
        self.finish(self.load(Load { duration: time, ..load }))
    }

    /// Stops a load; all that came of it.
    pub(crate) fn finish(&self, running: Running) -> Outcome {
        self.runtime.block_on(running.finish())
    }

    /// Stops a load, and waits for what is under way.
    pub(crate) fn stop(&self, running: Running) -> Outcome {
        running.stop();
        self.finish(running)
    }

    /// Opens WebSockets.
    pub(crate) fn sessions(&self, balancer: &Balancer, count: u64) -> Sessions {
        self.runtime.block_on(Sessions::open(balancer.address(), "/socket", count))
    }

    /// A last frame on each WebSocket.
    pub(crate) fn close(&self, sessions: Sessions) -> Lived {
        self.runtime.block_on(sessions.finish())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Waits until `is_so`; whether it became so in time.
pub(crate) fn within(limit: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        if is_so() {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sleeps.
pub(crate) fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
