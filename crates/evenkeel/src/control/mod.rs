//! The control plane: what is wanted (files, changes at runtime, what discovery found) and what is
//! (sockets, workers, drains). Owns every change of the running process; no request waits for it.

pub(crate) mod access_logs;
mod bind;
pub(crate) mod readings;
pub(crate) mod sockets;
