//! A world in one thread: a virtual clock, tasks that a seeded scheduler chooses among, and a
//! network that delays, splits, stalls and resets as its plan says. The same seed and plan give the
//! same trace, event by event. What runs in it uses the crate's ordinary sockets, timers and tasks.
//!
//! Owns cause and effect in the world; who is in it, and what must hold there, is its user's.

mod executor;
mod listener;
mod plan;
mod stream;
mod wire;
mod world;

use std::time::{Instant, SystemTime};

pub use executor::{Report, run, spawn};
pub(crate) use listener::{Bound, TcpListener};
pub use plan::{Chance, Plan, splitmix};
pub(crate) use stream::{Detached, Pipe, TcpStream};
pub use world::{is_running, note};

/// The world's time, if one runs on this thread.
pub(crate) fn now() -> Option<Instant> {
    world::with(|world| world.now())
}

/// Bytes from the world's seed; whether there is a world.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    let filled = world::with(|world| {
        for chunk in bytes.chunks_mut(8) {
            chunk
                .copy_from_slice(world.draw().to_le_bytes().get(..chunk.len()).unwrap_or_default());
        }
    });
    filled.is_some()
}

/// The world's idea of the date.
pub(crate) fn wall_clock() -> Option<SystemTime> {
    world::with(|world| world.wall_clock())
}
