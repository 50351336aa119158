//! One thread: its clock, its tasks, its timers, its sockets. The only crate that reads the clock
//! or calls the kernel, and the only one that may use `unsafe`. Decides nothing: it has no policy of
//! any kind.
#![deny(unsafe_op_in_unsafe_fn)]

mod chance;
mod clock;
mod datagrams;
pub mod io;
mod isolate;
pub mod mailbox;
mod os;
mod pipe;
mod signal;
#[cfg(feature = "sim")]
pub mod sim;
mod task;
mod tcp;
mod timer;
mod udp;

pub use chance::fill_from_seed;
pub use clock::{now, wall_clock};
pub use datagrams::{Arrived, Flow, Inbox, Outbox, Readiness, UdpSocket};
pub use isolate::{Panic, isolate};
pub use os::descriptors;
pub use os::process::{has_ended, kill_group};
pub use pipe::Pipe;
pub use signal::{Signal, Watch};
pub use task::{available_cores, descriptor_limit, raise_descriptor_limit, run, spawn, yield_now};
pub use tcp::{Bound, ConnectOptions, Detached, TcpListener, TcpStream, is_out_of_descriptors};
pub use timer::{Timer, sleep, sleep_until};
pub use udp::{SteerBy, Steering, UdpBound};
