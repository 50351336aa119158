//! Decompressors. What comes out is bounded at each step, so that a bomb is only a long body; the
//! window that a sender may ask for is bounded too: 32 KiB with gzip, 8 MiB with zstd (RFC 9659), and
//! 16 MiB with Brotli, which has no larger one.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use evenkeel_codec::content_coding::Coding;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::Place;
use crate::http::transform::{Broken, OUT_MAX, Progress, Transform, When};

const GZIP_WINDOW: u8 = 15;
/// RFC 9659 §3.
const ZSTD_WINDOW_MAX: u32 = 23;

/// A decompressor whose content may become `max` bytes long; `None` if none can be made.
pub(crate) fn decoder(
    coding: Coding,
    max: Option<u64>,
    place: Place,
) -> Option<Box<dyn Transform>> {
    let state = match coding {
        Coding::Gzip => State::Gzip(Decompress::new_gzip(GZIP_WINDOW)),
        Coding::Brotli => {
            let alloc = StandardAlloc::default;
            State::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())))
        }
        Coding::Zstd => {
            let mut state = Decoder::new().ok()?;
            state.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_MAX)).ok()?;
            State::Zstd(state)
        }
    };
    let left = max.unwrap_or(u64::MAX);
    Some(Box::new(Decode { state, at: At::Nothing, left, _place: place }))
}

/// Where the coded content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing of it has come: content without a byte is taken for empty.
    Nothing,
    Within,
    /// After what may be all of it.
    End,
}

enum State {
    Gzip(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(Decoder<'static>),
}

struct Decode {
    state: State,
    at: At,
    /// Bytes that may still come out.
    left: u64,
    _place: Place,
}

/// What one step came to.
struct Step {
    taken: usize,
    ended: bool,
}

impl Transform for Decode {
    fn pass(&mut self, input: &[u8], when: When, out: &mut Vec<u8>) -> Result<Progress, Broken> {
        let (mut taken, begin) = (0_usize, out.len());
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            if out.len() >= OUT_MAX {
                self.bound(out.len() - begin)?;
                return Ok(Progress { taken, more: true, done: false });
            }
            if self.at == At::End && !rest.is_empty() && !self.begin_next() {
                return Err(Broken); // something follows that is no content
            }
            if rest.is_empty() && self.at != At::Within {
                break;
            }
            let before = out.len();
            let step = self.step(rest, out)?;
            taken = taken.saturating_add(step.taken);
            self.at = if step.ended { At::End } else { At::Within };
            if step.taken == 0 && out.len() == before && !step.ended {
                break;
            }
        }
        self.bound(out.len() - begin)?;
        if when.last && self.at == At::Within {
            return Err(Broken); // cut short
        }
        Ok(Progress { taken, more: false, done: when.last })
    }
}

impl Decode {
    fn bound(&mut self, made: usize) -> Result<(), Broken> {
        self.left = self.left.checked_sub(made as u64).ok_or(Broken)?;
        Ok(())
    }

    /// Content in another piece may follow the first (RFC 1952 §2.2, RFC 8878 §3).
    fn begin_next(&mut self) -> bool {
        match &mut self.state {
            State::Gzip(state) => *state = Decompress::new_gzip(GZIP_WINDOW),
            State::Zstd(_) => {} // begins by itself
            State::Brotli(_) => return false,
        }
        true
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Broken> {
        let begin = out.len();
        let room = OUT_MAX.saturating_sub(begin);
        match &mut self.state {
            State::Gzip(state) => {
                out.reserve_exact(room);
                let before = state.total_in();
                let status = state.decompress_vec(input, out, FlushDecompress::None);
                let taken = usize::try_from(state.total_in() - before).unwrap_or(usize::MAX);
                Ok(Step { taken, ended: status.map_err(|_| Broken)? == Status::StreamEnd })
            }
            State::Zstd(state) => {
                out.reserve_exact(room);
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around_pos(out, begin);
                let hint = state.run(&mut from, &mut to).map_err(|_| Broken)?;
                Ok(Step { taken: from.pos(), ended: hint == 0 })
            }
            State::Brotli(state) => {
                out.resize(OUT_MAX.max(begin), 0);
                let (mut left, mut taken) = (input.len(), 0);
                let (mut space, mut made, mut total) = (room, 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut taken,
                    input,
                    &mut space,
                    &mut made,
                    out.get_mut(begin..).unwrap_or_default(),
                    &mut total,
                    state,
                );
                out.truncate(begin.saturating_add(made));
                match result {
                    BrotliResult::ResultFailure => Err(Broken),
                    result => {
                        Ok(Step { taken, ended: matches!(result, BrotliResult::ResultSuccess) })
                    }
                }
            }
        }
    }
}
