//! The worker's thread and its tasks, which never leave it.

use std::future::Future;
use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Polls between two looks at the sockets when there is always something to do.
const EVENT_INTERVAL: u32 = 61;

/// Runs `task` on this worker. It never moves to another thread, so it need not be `Send`.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    #[cfg(feature = "sim")]
    if crate::sim::is_running() {
        return crate::sim::spawn(Box::pin(task));
    }
    drop(tokio::task::spawn_local(crate::clock::Stepping { task }));
}

/// Lets the other tasks of this worker run first.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}

/// Makes the calling thread a worker, pinned to `core` if one is given, and runs `main` to its end;
/// tasks that are left are dropped. A core that does not exist is no reason not to serve.
///
/// # Errors
/// When the thread's event loop cannot be made.
pub fn run(core: Option<usize>, main: impl Future<Output = ()>) -> io::Result<()> {
    if let Some(core) = core.filter(|core| *core < CpuSet::MAX_CPU) {
        let mut set = CpuSet::new();
        set.set(core);
        let _ = sched_setaffinity(None, &set);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(EVENT_INTERVAL)
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        spawn(crate::timer::drive());
        main.await;
    });
    Ok(())
}

/// The cores this process may use.
pub fn available_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// How many files, sockets among them, this process may have open.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Takes as many as the system lets this process have; returns how many.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // refused, the old limit stays
    descriptor_limit()
}
