//! Frames of HTTP/2 (RFC 9113 §4), as far as they are counted: what a client may send for nothing
//! before it is told to calm down. Reading and writing frames is the `h2` crate's business; what it
//! does not bound is bounded here.

mod budget;
mod guard;
mod scan;

pub use budget::Budget;
pub use guard::FrameGuard;
pub use scan::{Frame, HEADERS, Scan};
