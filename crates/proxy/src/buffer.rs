//! The bytes between a read and a write: one contiguous, already initialised block with a window
//! on what has been received and not yet passed on. Owned by a worker, lent to a connection only
//! while bytes are in flight.

use std::cell::RefCell;

/// Bytes of a fresh buffer: one read of a body, and more than almost any head.
pub(crate) const BLOCK: usize = 16 * 1024;

/// What a head is moved to while its exchange waits for a server, if it fits.
const SMALL: usize = 1024;
/// Else what it is moved to if it fits there: a browser's, with its cookies. A hundred of them may wait
/// on one connection of HTTP/2.
const MEDIUM: usize = 4 * 1024;

/// Buffers a worker keeps for later; beyond that they go back to the allocator. 256 × 16 KiB, and
/// as many of the others as make a mebibyte.
const KEPT_MAX: usize = 256;
const SMALL_KEPT_MAX: usize = 1024;
const MEDIUM_KEPT_MAX: usize = 256;

/// `floor ≤ start ≤ end ≤ len`. What lies below `floor` (a head) stays where it is.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    floor: usize,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What has been received and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// As [`Self::filled`], for decoding in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Everything from the beginning, the kept head included: what a head's spans refer to.
    pub(crate) fn all(&self) -> &[u8] {
        self.bytes.get(..self.end.max(self.floor)).unwrap_or_default()
    }

    /// Room for the next read.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// A range of the block, as noted earlier by [`Self::start`].
    pub(crate) fn range(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Where the filled window begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// `read` bytes were received into [`Self::spare`].
    pub(crate) fn extend(&mut self, read: usize) {
        self.end = self.end.saturating_add(read).min(self.bytes.len());
    }

    /// Puts these bytes behind the window; the block grows if it must, so the caller has bounded them.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let end = self.end.saturating_add(bytes.len());
        if end > self.bytes.len() {
            self.grow(end.next_multiple_of(BLOCK));
        }
        if let Some(room) = self.bytes.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Takes `used` bytes off the front of the window.
    pub(crate) fn consume(&mut self, used: usize) {
        self.start = self.start.saturating_add(used).min(self.end);
    }

    /// Reuses the room of consumed bytes, if nothing is left in the window.
    pub(crate) fn rewind_if_empty(&mut self) {
        if self.start == self.end {
            self.start = self.floor;
            self.end = self.floor;
        }
    }

    /// Keeps the first `length` bytes of the window (a head) in place until [`Self::release`].
    pub(crate) fn keep(&mut self, length: usize) {
        self.consume(length);
        self.floor = self.start;
    }

    /// Lets go of the kept head: what is left moves to the front.
    pub(crate) fn release(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.floor = 0;
    }

    /// Makes the block at least `size` bytes long.
    pub(crate) fn grow(&mut self, size: usize) {
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
    }

    /// Goes on in another block, as long as what it holds; returns the old one.
    fn move_to(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let (Some(to), Some(from)) = (bytes.get_mut(..self.end), self.bytes.get(..self.end)) {
            to.copy_from_slice(from);
        }
        std::mem::replace(&mut self.bytes, bytes)
    }

    /// Length of the block.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// There is no block at all.
    pub(crate) fn is_absent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing received is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// No room for another byte.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }
}

/// A worker's stock of buffers and of scratch space for heads.
#[derive(Default)]
pub(crate) struct Stock {
    blocks: RefCell<Vec<Vec<u8>>>,
    small: RefCell<Vec<Vec<u8>>>,
    medium: RefCell<Vec<Vec<u8>>>,
    scratch: RefCell<Vec<Vec<u8>>>,
}

impl Stock {
    /// An empty buffer of [`BLOCK`] bytes.
    pub(crate) fn take(&self) -> Buffer {
        let bytes = self.blocks.borrow_mut().pop().unwrap_or_else(|| vec![0; BLOCK]);
        Buffer { bytes, floor: 0, start: 0, end: 0 }
    }

    /// An empty buffer of few bytes, for who is not to hold much: a usual response head, and a little
    /// content at a time. It grows if a head needs it.
    pub(crate) fn take_little(&self) -> Buffer {
        Buffer { bytes: vec![0; 2 * SMALL], floor: 0, start: 0, end: 0 }
    }

    /// Moves what a buffer holds to a block with little more than `room` bytes behind it, where that
    /// is much less than it has.
    pub(crate) fn fit(&self, buffer: &mut Buffer, room: usize) {
        let size = buffer.end.saturating_add(room);
        if size > BLOCK / 2 || buffer.bytes.len() < BLOCK {
            return;
        }
        let block = match size {
            ..=SMALL => self.small.borrow_mut().pop().unwrap_or_else(|| vec![0; SMALL]),
            _ => vec![0; size.next_multiple_of(SMALL)],
        };
        self.give_block(buffer.move_to(block));
    }

    /// Gives a buffer back. One that had to grow is not kept.
    pub(crate) fn give(&self, buffer: Buffer) {
        self.give_block(buffer.bytes);
    }

    fn give_block(&self, bytes: Vec<u8>) {
        let (stock, most) = match bytes.len() {
            BLOCK => (&self.blocks, KEPT_MAX),
            SMALL => (&self.small, SMALL_KEPT_MAX),
            MEDIUM => (&self.medium, MEDIUM_KEPT_MAX),
            _ => return,
        };
        let mut stock = stock.borrow_mut();
        if stock.len() < most {
            stock.push(bytes);
        }
    }

    /// Moves a buffer that holds nothing but a short kept head to a shorter block: most exchanges
    /// wait for a server with no more than that, and the few large blocks that are left stay warm.
    pub(crate) fn shrink(&self, buffer: &mut Buffer) {
        const ROOM: usize = 256; // to notice what the client does meanwhile
        if buffer.bytes.len() != BLOCK || !buffer.is_empty() || buffer.end > MEDIUM - ROOM {
            return;
        }
        let (stock, size) = match buffer.end {
            end if end <= SMALL - ROOM => (&self.small, SMALL),
            _ => (&self.medium, MEDIUM),
        };
        let short = stock.borrow_mut().pop().unwrap_or_else(|| vec![0; size]);
        self.give_block(buffer.move_to(short));
    }

    /// Moves what is in a shorter block to a full one.
    pub(crate) fn widen(&self, buffer: &mut Buffer) {
        if matches!(buffer.bytes.len(), SMALL | MEDIUM) {
            let full = self.take().bytes;
            self.give_block(buffer.move_to(full));
        }
    }

    /// An empty vector to write a head into.
    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        self.scratch.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// Gives it back.
    pub(crate) fn give_scratch(&self, mut bytes: Vec<u8>) {
        let mut scratch = self.scratch.borrow_mut();
        if bytes.capacity() > 0 && bytes.capacity() <= BLOCK && scratch.len() < KEPT_MAX {
            bytes.clear();
            scratch.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_head_stays_while_a_body_passes_behind_it() {
        let stock = Stock::default();
        let mut buffer = stock.take();
        buffer.spare()[..9].copy_from_slice(b"HEADbody1");
        buffer.extend(9);
        buffer.keep(4);
        assert_eq!(buffer.filled(), b"body1");
        buffer.consume(5);
        buffer.rewind_if_empty();
        buffer.spare()[..5].copy_from_slice(b"body2");
        buffer.extend(5);
        assert_eq!(buffer.all(), b"HEADbody2");
        buffer.consume(4);
        buffer.release();
        assert_eq!(buffer.filled(), b"2");
    }

    #[test]
    fn a_short_head_moves_to_a_small_block_and_nothing_else_does() {
        let stock = Stock::default();
        let mut buffer = stock.take();
        buffer.spare()[..5].copy_from_slice(b"HEADx");
        buffer.extend(5);
        buffer.keep(4);
        stock.shrink(&mut buffer);
        assert_eq!(buffer.size(), BLOCK, "something is in the window");
        buffer.consume(1);
        stock.shrink(&mut buffer);
        assert_eq!((buffer.size(), buffer.all()), (SMALL, b"HEADx".as_slice()));
        buffer.spare()[..4].copy_from_slice(b"next");
        buffer.extend(4);
        buffer.release();
        stock.widen(&mut buffer);
        assert_eq!((buffer.size(), buffer.filled()), (BLOCK, b"next".as_slice()));
    }

    #[test]
    fn windows_never_leave_the_block() {
        let mut buffer = Stock::default().take();
        buffer.extend(usize::MAX);
        assert!(buffer.is_full());
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
    }
}
