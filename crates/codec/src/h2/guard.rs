//! Counts the frames that a client sends (RFC 9113 §4.1), from the bytes as they come, before they
//! are decoded, and those that are sent to it. Owns what each frame costs and which work pays for it;
//! the amounts are `budget.rs`'s. Whether the frames are right is not looked at: who decodes them says so.

use std::time::Instant;

use super::budget::{Budget, Spent};
use super::scan::{
    ACK, CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM,
    SETTINGS, Scan, WINDOW_UPDATE,
};

/// RFC 9113 §3.4: what a client sends before its first frame. What it says is not looked at.
const PREFACE: u32 = 24;
/// Bytes sent that pay for one PING: about what a small message of gRPC takes, after which clients
/// measure the way.
const SENT_FOR_PING: u32 = 32;
/// Bytes sent that pay for one WINDOW_UPDATE: clients of gRPC give each message's bytes back at once.
const SENT_FOR_WINDOW_UPDATE: u32 = 16;
/// A stream that is begun pays for so many PRIORITY or extension frames and WINDOW_UPDATEs.
const FOR_STREAM: u32 = 8;
/// A hundred settings (6 bytes each) cost what one frame costs.
const SETTINGS_BYTES: u32 = 600;

/// Watches one connection. Takes constant time for each frame and no memory beyond itself.
///
/// [`Self::received`] sees all bytes that the client sends, in order, however they are split, and
/// [`Self::sent`] all that it is sent; each says which budget they exceed. The connection is then to
/// be ended with ENHANCE_YOUR_CALM (RFC 9113 §7) and what was received is not to be decoded.
#[derive(Debug)]
pub struct FrameGuard {
    spent: Spent,
    incoming: Scan,
    outgoing: Scan,
    /// The highest stream that was begun.
    newest: u32,
    /// What one header block may have, and what is left of it.
    block_max: u32,
    block: u32,
    continuations: u32,
    /// Bytes of answers sent that have not paid for anything yet.
    unpaid: u32,
    /// The client has acknowledged a SETTINGS of ours.
    acknowledged: bool,
}

impl FrameGuard {
    /// A connection whose client has not yet sent its preface. A header block may have `header_block`
    /// bytes: not less than the header list that the client was told of, which takes no more than
    /// that when nothing in it is compressed.
    #[must_use]
    pub fn new(header_block: u32, now: Instant) -> Self {
        Self {
            spent: Spent::new(now),
            incoming: Scan::after(PREFACE),
            outgoing: Scan::after(0),
            newest: 0,
            block_max: header_block,
            block: header_block,
            continuations: Budget::Continuations.amount(),
            unpaid: 0,
            acknowledged: false,
        }
    }

    /// Whether the client has acknowledged a SETTINGS of ours (RFC 9113 §6.5.3).
    pub fn has_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// The next bytes from the client.
    ///
    /// # Errors
    /// The first budget that they exceed. From then on the answer means nothing: end the connection.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Budget> {
        self.spent.forget(now);
        while let Some(frame) = self.incoming.next(&mut bytes) {
            self.pay_for(frame)?;
        }
        Ok(())
    }

    /// The next bytes to the client.
    ///
    /// # Errors
    /// As [`Self::received`]: it has made this side reset too many streams.
    pub fn sent(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Budget> {
        self.spent.forget(now);
        while let Some(frame) = self.outgoing.next(&mut bytes) {
            match frame.kind {
                DATA | HEADERS | CONTINUATION => {
                    self.unpaid = self.unpaid.saturating_add(frame.length).saturating_add(9)
                }
                RST_STREAM if is_blame(frame.code) => self.one_more_reset()?,
                _ => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn pay_for(&mut self, frame: Frame) -> Result<(), Budget> {
        match frame.kind {
            DATA if frame.is_empty_data() => self.spent.spend(Budget::EmptyData, 1),
            DATA => Ok(()),
            HEADERS => self.headers(frame),
            PRIORITY => self.spent.spend(Budget::Priorities, 1),
            RST_STREAM => self.one_more_reset(),
            SETTINGS if frame.flags & ACK != 0 => {
                self.acknowledged = true;
                self.spent.spend(Budget::Settings, 1)
            }
            SETTINGS => self.spent.spend(Budget::Settings, 1 + frame.length / SETTINGS_BYTES),
            // An error that ends the connection.
            PUSH_PROMISE => Ok(()),
            PING => {
                self.pay();
                self.spent.spend(Budget::Pings, 1)
            }
            GOAWAY => self.spent.spend(Budget::GoAways, 1),
            WINDOW_UPDATE => {
                self.pay();
                self.spent.spend(Budget::WindowUpdates, 1)
            }
            CONTINUATION => {
                self.continuations =
                    self.continuations.checked_sub(1).ok_or(Budget::Continuations)?;
                self.header_block(frame)
            }
            _ => self.spent.spend(Budget::UnknownFrames, 1),
        }
    }

    /// Costs two, because the stream's beginning gave back one.
    fn one_more_reset(&mut self) -> Result<(), Budget> {
        self.spent.spend(Budget::Resets, 2)?;
        self.spent.spend(Budget::ResetsForLife, 2)
    }

    #[inline]
    fn headers(&mut self, frame: Frame) -> Result<(), Budget> {
        if frame.stream > self.newest {
            self.newest = frame.stream;
            self.spent.give_back(Budget::Resets, 1);
            self.spent.give_back(Budget::ResetsForLife, 1);
            self.spent.give_back(Budget::Priorities, FOR_STREAM);
            self.spent.give_back(Budget::UnknownFrames, FOR_STREAM);
            self.spent.give_back(Budget::WindowUpdates, FOR_STREAM);
        }
        self.block = self.block_max;
        self.continuations = Budget::Continuations.amount();
        self.header_block(frame)
    }

    #[inline]
    fn header_block(&mut self, frame: Frame) -> Result<(), Budget> {
        self.block = self.block.checked_sub(frame.length).ok_or(Budget::HeaderBlock)?;
        Ok(())
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

/// Whether a code (RFC 9113 §7) says that the client did what it may not. Not those of an answer that
/// came before the request had ended, of a server that failed, and of an exchange that was given up.
fn is_blame(code: u32) -> bool {
    const NO_ERROR: u32 = 0;
    const INTERNAL_ERROR: u32 = 2;
    const CANCEL: u32 = 8;
    const CONNECT_ERROR: u32 = 10;
    !matches!(code, NO_ERROR | INTERNAL_ERROR | CANCEL | CONNECT_ERROR)
}

#[cfg(test)]
mod tests;
