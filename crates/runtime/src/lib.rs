pub mod clock;
pub mod mailbox;
mod pipe;
pub mod task;
mod tcp;
mod tcp_info;
pub mod timer;
pub use clock::{now, wall_clock};
pub use pipe::Pipe;
pub use task::{available_cores, descriptor_limit, raise_descriptor_limit, run, spawn, yield_now};
pub use tcp::{ConnectOptions, Detached, TcpListener, TcpStream};
pub use timer::{Timer, sleep, sleep_until};
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
