//! Places in the bytes of a head.

/// A half-open range of the buffer a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Span {
    /// A range; positions beyond 4 GiB cannot be (heads are bounded far below).
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end) }
    }

    /// The bytes it stands for; none if `bytes` is not the buffer it was made for.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// How many bytes it stands for.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Nothing in it.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}
