//! Writing logs without ever making a worker wait: a thread for each place lines go to.

pub(crate) mod process;
pub(crate) mod writer;
