//! What a body goes through on its way from a server to a client. Owns the contract, and the working
//! room of one that is under way; what is done is the business of who implements it.

/// Changes a body, piece by piece. It holds a bounded amount of memory, whatever goes through it.
pub(crate) trait Transform {
    /// Takes some of `input`, and appends what there is to be passed on to `out`, at most about
    /// [`OUT_MAX`] bytes of it. It is asked again with what it
    /// did not take, and, after the last input, until it is done.
    ///
    /// With `flush`, whatever it was given must be in `out` once it has taken all of `input`: nothing
    /// more is at hand, and a server that sends a piece of a stream wants it to arrive. It comes with
    /// no input, and only if there was some since the last.
    fn pass(&mut self, input: &[u8], when: When, out: &mut Vec<u8>) -> Result<Progress, Broken>;
}

/// What follows an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// Nothing for now.
    pub(crate) flush: bool,
    /// Nothing at all.
    pub(crate) last: bool,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the input that were taken.
    pub(crate) taken: usize,
    /// There is more to be passed on without another input.
    pub(crate) more: bool,
    /// It has passed on all there is; never before the last input.
    pub(crate) done: bool,
}

/// The body cannot be changed in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Most bytes that are passed on at a time, about.
#[cfg_attr(not(feature = "compression"), expect(dead_code, reason = "codings alone change bodies"))]
pub(crate) const OUT_MAX: usize = 32 * 1024;

/// Sees a body that is passed on as it is.
pub(crate) trait Observe {
    /// The next piece of it, without framing.
    fn see(&mut self, piece: &[u8]);
    /// All of it has been seen; never called for one that broke off.
    fn end(&mut self);
}

/// What the body of one answer goes through.
#[derive(Default)]
pub(crate) struct Stations {
    pub(crate) observer: Option<Box<dyn Observe>>,
    pub(crate) through: Option<Box<Through>>,
    /// It has just worked; see `Pump`.
    pub(crate) tired: bool,
}

/// A body on its way through something.
pub(crate) struct Through {
    what: Box<dyn Transform>,
    /// Input not taken yet, as a range of the buffer.
    left: (usize, usize),
    when: When,
    /// It has said that there is more, or is to be asked whether there is.
    more: bool,
    /// It may hold something back.
    holds: bool,
    done: bool,
    pub(crate) out: Vec<u8>,
}

impl Through {
    pub(crate) fn new(what: Box<dyn Transform>) -> Self {
        let (left, when) = ((0, 0), When::default());
        Self { what, left, when, more: false, holds: false, done: false, out: Vec::new() }
    }

    /// Takes the next input.
    pub(crate) fn give(&mut self, range: (usize, usize), when: When) {
        (self.left, self.when) = (range, when);
    }

    /// Nothing more is at hand: whatever is held back is to be passed on. Whether there is anything.
    pub(crate) fn flush(&mut self) -> bool {
        if self.holds && !self.has_more() && !self.done {
            self.when.flush = true;
            self.more = true;
        }
        self.more
    }

    /// Whether there is more to be passed on without another input.
    pub(crate) fn has_more(&self) -> bool {
        !self.done && (self.left.0 < self.left.1 || self.when.last || self.more)
    }

    /// All of it has been made.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Makes the next piece.
    pub(crate) fn step(&mut self, buffer: &crate::buffer::Buffer) -> Result<(), Broken> {
        self.out.clear();
        while self.out.is_empty() && self.has_more() {
            let input = buffer.range(self.left.0, self.left.1);
            let progress = self.what.pass(input, self.when, &mut self.out)?;
            self.left.0 = self.left.0.saturating_add(progress.taken).min(self.left.1);
            self.done = progress.done;
            self.more = progress.more;
            self.holds = !self.when.flush && (self.holds || progress.taken > 0);
            if progress.taken == 0 && self.out.is_empty() && self.has_more() {
                return Err(Broken); // it would go on for ever
            }
        }
        Ok(())
    }
}
