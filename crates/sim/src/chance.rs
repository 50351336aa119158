//! Choices of the people in a world, made from its seed.

use std::ops::Range;
use std::time::Duration;

use evenkeel_runtime::sim::splitmix;

/// Random numbers; equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Another source that does not disturb this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.draw() ^ 0xa5a5_5a5a_1234_8765)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        splitmix(&mut self.0)
    }

    /// One of `range`; its start if it is empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.draw() % range.end.saturating_sub(range.start).max(1)
    }

    /// True `n` times in a hundred.
    pub(crate) fn percent(&mut self, n: u64) -> bool {
        self.draw() % 100 < n
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn one_of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        let at = self.draw() % choices.len().max(1) as u64;
        &choices[at as usize]
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range.start * 1000..range.end * 1000))
    }
}

/// The bytes that belong to one id and to no other.
pub(crate) fn content(id: u64, length: u64) -> Vec<u8> {
    let mut source = Chance::from_seed(id.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995);
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        // Letters, so that a trace can be read and no content looks like framing.
        bytes.extend(source.draw().to_le_bytes().map(|byte| b'a' + byte % 26));
    }
    bytes.truncate(length as usize);
    bytes
}
