//! Counts the frames that a client sends (RFC 9113 §4.1), from the bytes as they come, before they
//! are decoded. Owns what each frame costs and which work pays for it; the amounts are `budget.rs`'s.
//! Whether the frames are right is not looked at: who decodes them says so.

use std::time::Instant;

use super::budget::{Budget, Spent};

/// RFC 9113 §3.4: what a client sends before its first frame. What it says is not looked at.
const PREFACE: u32 = 24;
const HEAD: usize = 9;
/// Bytes sent that pay for one PING: about what a small message of gRPC takes, after which clients
/// measure the way.
const SENT_FOR_PING: u32 = 32;
/// Bytes sent that pay for one WINDOW_UPDATE: clients of gRPC give each message's bytes back at once.
const SENT_FOR_WINDOW_UPDATE: u32 = 16;
/// A stream that is begun pays for so many PRIORITY or extension frames and WINDOW_UPDATEs.
const FOR_STREAM: u32 = 8;
/// Settings (6 bytes each) that cost what one frame costs.
const SETTINGS_BYTES: u32 = 60;
/// What this side answers to a PING and to SETTINGS: bytes sent that are no useful work.
const PONG: u32 = 17;
const SETTINGS_ACK: u32 = 9;

/// Watches one connection. Takes constant time for each frame and no memory beyond itself.
///
/// [`Self::received`] sees all bytes that the client sends, in order, however they are split, and
/// says which budget they exceed; the connection is then to be ended with ENHANCE_YOUR_CALM (RFC
/// 9113 §7) and the bytes are not to be decoded. [`Self::sent`] learns how much was sent to it,
/// [`Self::reset`] of each stream that this side reset because of what the client did.
#[derive(Debug)]
pub struct FrameGuard {
    spent: Spent,
    /// Of the preface or a frame's content: bytes to come that nobody looks at.
    skip: u32,
    head: [u8; HEAD],
    /// How much of `head` has come.
    filled: u8,
    /// A DATA frame's padding length is the next byte, and its content no longer than that.
    padded: Option<u32>,
    /// The highest stream that was begun.
    newest: u32,
    /// What one header block may have, and what is left of it.
    block_max: u32,
    block: u32,
    continuations: u32,
    /// Bytes that answers to PING and SETTINGS will take.
    answers: u32,
    /// Bytes sent that have not paid for anything yet.
    unpaid: u32,
}

#[derive(Clone, Copy)]
struct Head {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const PADDED: u8 = 0x8;

impl FrameGuard {
    /// A connection whose client has not yet sent its preface. A header block may have `header_block`
    /// bytes: not less than the header list that the client was told of, which takes no more than
    /// that when nothing in it is compressed.
    #[must_use]
    pub fn new(header_block: u32, now: Instant) -> Self {
        Self {
            block_max: header_block,
            block: header_block,
            continuations: Budget::Continuations.amount(),
            spent: Spent::new(now),
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
            padded: None,
            newest: 0,
            answers: 0,
            unpaid: 0,
        }
    }

    /// The next bytes from the client.
    ///
    /// # Errors
    /// The first budget that they exceed. From then on the answer means nothing: end the connection.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Budget> {
        self.spent.forget(now);
        loop {
            let skipped = bytes.len().min(self.skip as usize);
            bytes = bytes.get(skipped..).unwrap_or_default();
            self.skip = self.skip.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            if let Some(content) = self.padded.take() {
                bytes = rest;
                self.padded_data(content, *first)?;
                continue;
            }
            if let (0, Some((head, rest))) = (self.filled, bytes.split_first_chunk::<HEAD>()) {
                bytes = rest;
                self.frame(Head::parse(head))?;
                continue;
            }
            bytes = rest;
            if let Some(place) = self.head.get_mut(usize::from(self.filled)) {
                *place = *first;
            }
            self.filled = self.filled.saturating_add(1);
            if usize::from(self.filled) == HEAD {
                self.filled = 0;
                let head = self.head;
                self.frame(Head::parse(&head))?;
            }
        }
    }

    /// So many bytes were sent to the client.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let answers = bytes.min(self.answers);
        self.answers = self.answers.saturating_sub(answers);
        self.unpaid = self.unpaid.saturating_add(bytes.saturating_sub(answers));
    }

    /// This side reset a stream because of what the client sent, or did not read.
    ///
    /// # Errors
    /// As [`Self::received`].
    pub fn reset(&mut self, now: Instant) -> Result<(), Budget> {
        self.spent.forget(now);
        self.one_more_reset()
    }

    /// Costs two, because the stream's beginning gave back one.
    fn one_more_reset(&mut self) -> Result<(), Budget> {
        self.spent.spend(Budget::Resets, 2)?;
        self.spent.spend(Budget::ResetsForLife, 2)
    }

    #[inline]
    fn frame(&mut self, head: Head) -> Result<(), Budget> {
        self.skip = head.length;
        match head.kind {
            0 => self.data(head),
            1 => self.headers(head),
            2 => self.spent.spend(Budget::Priorities, 1),
            3 => self.one_more_reset(),
            4 => self.settings(head),
            6 => self.ping(head),
            7 => self.spent.spend(Budget::GoAways, 1),
            8 => self.window_update(),
            9 => self.continuation(head),
            // PUSH_PROMISE is an error that ends the connection.
            5 => Ok(()),
            _ => self.spent.spend(Budget::UnknownFrames, 1),
        }
    }

    #[inline]
    fn data(&mut self, head: Head) -> Result<(), Budget> {
        if head.flags & END_STREAM != 0 {
            return Ok(());
        }
        if head.flags & PADDED == 0 || head.length == 0 {
            return if head.length == 0 { self.spent.spend(Budget::EmptyData, 1) } else { Ok(()) };
        }
        let content = head.length.saturating_sub(1);
        self.skip = 0;
        self.padded = Some(content);
        Ok(())
    }

    /// The length of the padding of a DATA frame, whose other bytes are still to come.
    fn padded_data(&mut self, content: u32, padding: u8) -> Result<(), Budget> {
        self.skip = content;
        if content <= u32::from(padding) { self.spent.spend(Budget::EmptyData, 1) } else { Ok(()) }
    }

    #[inline]
    fn headers(&mut self, head: Head) -> Result<(), Budget> {
        if head.stream > self.newest {
            self.newest = head.stream;
            self.spent.give_back(Budget::Resets, 1);
            self.spent.give_back(Budget::ResetsForLife, 1);
            self.spent.give_back(Budget::Priorities, FOR_STREAM);
            self.spent.give_back(Budget::UnknownFrames, FOR_STREAM);
            self.spent.give_back(Budget::WindowUpdates, FOR_STREAM);
        }
        self.block = self.block_max;
        self.continuations = Budget::Continuations.amount();
        self.header_block(head)
    }

    #[inline]
    fn header_block(&mut self, head: Head) -> Result<(), Budget> {
        self.block = self.block.checked_sub(head.length).ok_or(Budget::HeaderBlock)?;
        Ok(())
    }

    fn continuation(&mut self, head: Head) -> Result<(), Budget> {
        self.continuations = self.continuations.checked_sub(1).ok_or(Budget::Continuations)?;
        self.header_block(head)
    }

    fn settings(&mut self, head: Head) -> Result<(), Budget> {
        if head.flags & ACK == 0 {
            self.answers = self.answers.saturating_add(SETTINGS_ACK);
        }
        self.spent.spend(Budget::Settings, 1 + head.length / SETTINGS_BYTES)
    }

    #[inline]
    fn ping(&mut self, head: Head) -> Result<(), Budget> {
        self.pay();
        if head.flags & ACK == 0 {
            self.answers = self.answers.saturating_add(PONG);
        }
        self.spent.spend(Budget::Pings, 1)
    }

    #[inline]
    fn window_update(&mut self) -> Result<(), Budget> {
        self.pay();
        self.spent.spend(Budget::WindowUpdates, 1)
    }

    /// Lets what was sent pay for what was spent.
    #[inline]
    fn pay(&mut self) {
        if self.unpaid >= SENT_FOR_PING {
            self.spent.give_back(Budget::Pings, self.unpaid / SENT_FOR_PING);
            self.spent.give_back(Budget::WindowUpdates, self.unpaid / SENT_FOR_WINDOW_UPDATE);
            self.unpaid %= SENT_FOR_PING;
        }
    }
}

impl Head {
    #[inline]
    fn parse(bytes: &[u8; HEAD]) -> Self {
        let &[a, b, c, kind, flags, s1, s2, s3, s4] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]),
        }
    }
}

#[cfg(test)]
mod tests;
