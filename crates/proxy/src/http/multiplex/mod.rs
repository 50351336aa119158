//! What HTTP/2 and HTTP/3 have in common: messages as fields instead of text, and many of them at
//! once on one connection. Everything behind it reads and writes HTTP/1 messages (`docs/decisions`);
//! this is where the two meet.

pub(crate) mod client;
pub(crate) mod fields;
pub(crate) mod framing;
#[cfg(feature = "http3")]
pub(crate) mod h3;
mod server_stream;
pub(crate) mod transport;
pub(crate) mod trunk;
pub(crate) mod websocket;

pub(crate) use self::server_stream::{Asked, ServerStream, Tunnel};
