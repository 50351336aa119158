//! The kernel's sockets, on tokio's reactor, and what else only the kernel can do.

pub(crate) mod datagrams;
pub mod descriptors;
pub(crate) mod pipe;
pub(crate) mod process;
pub(crate) mod steering;
pub(crate) mod tcp;
mod tcp_info;
