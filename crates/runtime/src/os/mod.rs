//! The kernel's sockets, on tokio's reactor.

pub(crate) mod pipe;
pub(crate) mod tcp;
mod tcp_info;
