//! Active health checks: every server of a pool that wants it is asked, from one place, whether it
//! is well. Owns the making of checks and their rhythm; what follows from their results is decided
//! in `balancer::health`, and who may take requests in `balancer`.

mod command;
mod grpc;
mod http;
mod json_path;
mod probe;
mod pulse;
mod recent;
mod schedule;
mod target;
mod tcp;
mod tls;
mod udp;

#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use evenkeel_runtime as runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::pulse::Pulse;
use self::recent::ByServer;
pub(crate) use self::recent::{Came, Made, Reader};
use self::schedule::Rhythm;
pub(crate) use self::target::Target;

/// All checks of the process. They end when this is dropped.
pub(crate) struct Checks {
    targets: watch::Sender<Arc<[Target]>>,
    reader: Reader,
    _tasks: JoinSet<()>,
}

impl Checks {
    /// Checks nobody yet. Call it within the control plane's runtime.
    pub(crate) fn start(seed: u64) -> Self {
        let (targets, wanted) = watch::channel(Arc::from([]));
        let (readers, read) = watch::channel(Arc::new(ByServer::new()));
        let pulse = Pulse::new(runtime::now());
        let mut tasks = JoinSet::new();
        tasks.spawn(Rhythm::new(pulse.clone(), seed, readers).run(wanted));
        tasks.spawn(pulse.run());
        Self { targets, reader: Reader(read), _tasks: tasks }
    }

    /// From now on these are checked, and only these; what stays as it was notices nothing. A
    /// server that is not checked any more is not known to be up or down.
    pub(crate) fn set(&self, targets: Vec<Target>) {
        self.targets.send_replace(targets.into());
    }

    /// Reads what the last checks came to.
    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }
}
