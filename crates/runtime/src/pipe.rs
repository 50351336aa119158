//! Pipes through which long bodies move from socket to socket: the kernel's, or in a simulation a
//! queue that behaves like one.

use std::cell::RefCell;
use std::io;

use crate::os;
#[cfg(feature = "sim")]
use crate::sim;

/// Empty pipes a worker keeps for later.
const KEPT_MAX: usize = 64;

thread_local! {
    static EMPTY: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// A pipe; empty ones are used again.
pub struct Pipe(Option<Ends>);

enum Ends {
    Os(os::pipe::Pipe),
    #[cfg(feature = "sim")]
    Sim(sim::Pipe),
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn take() -> io::Result<Self> {
        if let Some(ends) = EMPTY.with_borrow_mut(Vec::pop) {
            return Ok(Self(Some(ends)));
        }
        #[cfg(feature = "sim")]
        if sim::is_running() {
            return Ok(Self(Some(Ends::Sim(sim::Pipe::new()))));
        }
        Ok(Self(Some(Ends::Os(os::pipe::Pipe::new()?))))
    }

    pub(crate) fn os(&self) -> io::Result<&os::pipe::Pipe> {
        match &self.0 {
            Some(Ends::Os(pipe)) => Ok(pipe),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn sim(&self) -> io::Result<&sim::Pipe> {
        match &self.0 {
            Some(Ends::Sim(pipe)) => Ok(pipe),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.0.take() else { return };
        let held = match &ends {
            Ends::Os(pipe) => pipe.held(),
            #[cfg(feature = "sim")]
            Ends::Sim(pipe) => pipe.held(),
        };
        // One that still holds bytes must never meet another body.
        if held == 0 {
            EMPTY.with_borrow_mut(|kept| {
                if kept.len() < KEPT_MAX {
                    kept.push(ends);
                }
            });
        }
    }
}
