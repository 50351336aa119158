//! The kernel's pipes.

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// What a pipe can hold: fewer round trips than the kernel's 64 KiB.
const CAPACITY: usize = 256 * 1024;
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: Cell<usize>,
}

impl Pipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Over the user's quota the kernel keeps its default: smaller, not wrong.
        let _ = fcntl_setpipe_size(&write, CAPACITY);
        Ok(Self { read, write, held: Cell::new(0) })
    }

    /// Bytes in it.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    pub(crate) fn fill(&self, from: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        let moved = splice(from, None, &self.write, None, max, FLAGS)?;
        self.held.set(self.held.get() + moved);
        Ok(moved)
    }

    pub(crate) fn drain(&self, to: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
        let moved = splice(&self.read, None, to, None, length, FLAGS)?;
        self.held.set(self.held.get().saturating_sub(moved));
        Ok(moved)
    }
}
