//! HTTP: from a client's bytes to a server and back.

pub(crate) mod affinity;
pub(crate) mod alt_svc;
pub(crate) mod body;
pub(crate) mod brake;
pub(crate) mod cache;
mod challenge;
mod client_watch;
pub(crate) mod downstream;
pub(crate) mod exchange;
#[cfg(feature = "fault-injection")]
mod fault;
pub(crate) mod forwarded;
pub(crate) mod grpc;
pub(crate) mod heads;
mod hedge;
pub(crate) mod hops;
pub(crate) mod interim;
pub(crate) mod local_reply;
pub(crate) mod multiplex;
pub(crate) mod own;
pub(crate) mod patience;
mod phrase;
pub(crate) mod queue;
pub(crate) mod relay;
pub(crate) mod sign_in;
pub(crate) mod splice;
pub(crate) mod subrequest;
pub(crate) mod transform;
mod tries;
pub(crate) mod tunnel;
pub(crate) mod upstream;
