//! What is not HTTP: bytes and datagrams, to servers as they are.

pub(crate) mod udp;
