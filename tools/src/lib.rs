//! Programs that load, break and judge a proxy. They share no code with it, so that they cannot
//! share its mistakes: `strictload` counts what a client loses, `faultd` is a backend that
//! misbehaves on request and remembers every byte, `names` a name server that does, `tcpchaos` is a network that does, and `oracle`
//! judges one exchange after the other.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // not the data path
#![forbid(unsafe_code)]

pub mod chaos;
pub mod faultd;
pub mod frames;
pub mod install;
pub mod load;
pub mod message;
pub mod names;
pub mod oracle;
pub mod peer;
pub mod percentiles;
pub mod row;
pub mod websocket;
