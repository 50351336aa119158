//! The interface by which libraries of protocols read and write a stream of bytes. What implements it
//! here is a worker's, like all of its sockets.

pub use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
