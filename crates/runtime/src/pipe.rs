//! Pipes through which the kernel moves long bodies from socket to socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// What a pipe can hold: fewer round trips than the kernel's 64 KiB.
const CAPACITY: usize = 256 * 1024;
/// Empty pipes a worker keeps for later.
const KEPT_MAX: usize = 64;

thread_local! {
    static EMPTY: RefCell<Vec<(OwnedFd, OwnedFd)>> = const { RefCell::new(Vec::new()) };
}

/// A pipe; empty ones are used again.
pub struct Pipe {
    ends: Option<(OwnedFd, OwnedFd)>,
    held: Cell<usize>,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn take() -> io::Result<Self> {
        let kept = EMPTY.with_borrow_mut(Vec::pop);
        let ends = match kept {
            Some(ends) => ends,
            None => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                // Over the user's quota the kernel keeps its default: smaller, not wrong.
                let _ = fcntl_setpipe_size(&write, CAPACITY);
                (read, write)
            }
        };
        Ok(Self { ends: Some(ends), held: Cell::new(0) })
    }

    pub(crate) fn fill(&self, from: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        let Some((_, write)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = splice(from, None, write, None, max, flags)?;
        self.held.set(self.held.get() + moved);
        Ok(moved)
    }

    pub(crate) fn drain(&self, to: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
        let Some((read, _)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = splice(read, None, to, None, length, flags)?;
        self.held.set(self.held.get().saturating_sub(moved));
        Ok(moved)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // One that still holds bytes must never meet another body.
        if let Some(ends) = self.ends.take()
            && self.held.get() == 0
        {
            EMPTY.with_borrow_mut(|kept| {
                if kept.len() < KEPT_MAX {
                    kept.push(ends);
                }
            });
        }
    }
}
