//! HTTP/1.1 bytes ↔ messages (RFC 9110, RFC 9112), what frames of HTTP/2 cost (RFC 9113), and which
//! of HTTP/3 may come (RFC 9114); what begins a connection: a header of the PROXY protocol, a ClientHello. No sockets, no clock; the caller owns the buffers, and a head is an
//! index into them.
#![forbid(unsafe_code)]

pub mod accept;
pub mod caching;
pub mod chunked;
pub mod claims;
pub mod client_hello;
pub mod content_coding;
pub mod cookie;
pub mod cors;
pub mod fields;
mod framing;
pub mod h2;
pub mod h3;
pub mod host;
pub mod known;
mod lines;
pub mod message;
pub mod path;
pub mod plant;
pub mod proxy_protocol;
pub mod query;
pub mod request;
pub mod response;
pub mod set_cookie;
pub mod span;
pub mod syntax;

pub use chunked::{ChunkError, ChunkedDecoder, Decoded, TrailerLimits, chunk_head};
pub use fields::Field;
pub use known::Known;
pub use message::{BodyLength, HeadLimits, Method, Parse, Version};
pub use request::{RequestError, RequestHead, Target};
pub use response::{RequestContext, ResponseError, ResponseHead};
pub use span::Span;
