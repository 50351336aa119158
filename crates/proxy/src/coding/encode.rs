//! Compressors. Their windows are limited so that one takes at most about 2 MiB, whatever its level
//! (docs/compression.md has the measured numbers).

use std::io::Write as _;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use evenkeel_codec::content_coding::Coding;
use flate2::{Compress, Compression, FlushCompress};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::Place;
use crate::http::transform::{Broken, Progress, Transform, When};

/// Window of gzip, as a power of two: the largest there is (32 KiB).
const GZIP_WINDOW: u8 = 15;
/// Window of zstd: its tables are never larger than a multiple of it.
const ZSTD_WINDOW: u32 = 17;
/// Window of Brotli. Above this level, its tables would be tens of MiB with a larger one.
const BROTLI_WINDOW: i32 = 18;
const BROTLI_SMALL_TABLES: u32 = 4;
const BROTLI_WINDOW_SMALL: i32 = 16;
/// Bytes that Brotli works on at a time, as a power of two.
const BROTLI_BLOCK: i32 = 16;
/// Bytes made room for at a time.
const ROOM: usize = 4 * 1024;

/// How hard each coding tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) zstd: u32,
    pub(crate) br: u32,
    pub(crate) gzip: u32,
}

/// A compressor for a body, of this length if it is known; `None` if none can be made.
pub(crate) fn encoder(
    coding: Coding,
    levels: &Levels,
    length: Option<u64>,
    place: Place,
) -> Option<Box<dyn Transform>> {
    Some(match coding {
        Coding::Gzip => {
            let level = Compression::new(levels.gzip.clamp(1, 9));
            Box::new(Gzip { state: Compress::new_gzip(level, GZIP_WINDOW), _place: place })
        }
        Coding::Brotli => {
            let small = levels.br > BROTLI_SMALL_TABLES;
            let params = BrotliEncoderParams {
                quality: levels.br.min(9) as i32,
                lgwin: if small { BROTLI_WINDOW_SMALL } else { BROTLI_WINDOW },
                lgblock: BROTLI_BLOCK,
                ..BrotliEncoderParams::default()
            };
            let writer = CompressorWriter::with_params(Vec::new(), ROOM, &params);
            Box::new(Brotli { writer: Some(writer), _place: place })
        }
        Coding::Zstd => {
            let mut state = Encoder::new(levels.zstd.clamp(1, 12) as i32).ok()?;
            state.set_parameter(CParameter::WindowLog(ZSTD_WINDOW)).ok()?;
            if let Some(length) = length {
                state.set_pledged_src_size(Some(length)).ok()?;
            }
            Box::new(Zstd { state, _place: place })
        }
    })
}

struct Gzip {
    state: Compress,
    _place: Place,
}

impl Transform for Gzip {
    fn pass(&mut self, input: &[u8], when: When, out: &mut Vec<u8>) -> Result<Progress, Broken> {
        let mut taken = 0_usize;
        let mut run = |rest: &[u8], flush, out: &mut Vec<u8>| {
            out.reserve(ROOM);
            let before = self.state.total_in();
            let status = self.state.compress_vec(rest, out, flush).map_err(|_| Broken)?;
            let used = usize::try_from(self.state.total_in() - before).unwrap_or(usize::MAX);
            Ok((used, status == flate2::Status::StreamEnd))
        };
        while let Some(rest) = input.get(taken..)
            && !rest.is_empty()
        {
            taken = taken.saturating_add(run(rest, FlushCompress::None, out)?.0);
        }
        let (finishes, mut done) = (when.last, false);
        if when.last || when.flush {
            let flush = if finishes { FlushCompress::Finish } else { FlushCompress::Sync };
            // RFC 1951 §3.2.4: an empty stored block brings all before it to the receiver. It is whole
            // once there was more room than it needed.
            loop {
                done = run(&[], flush, out)?.1;
                if done || !finishes && out.len() < out.capacity() {
                    break;
                }
            }
        }
        Ok(Progress { taken, more: false, done })
    }
}

struct Brotli {
    /// None once it has ended.
    writer: Option<CompressorWriter<Vec<u8>>>,
    _place: Place,
}

impl Transform for Brotli {
    fn pass(&mut self, input: &[u8], when: When, out: &mut Vec<u8>) -> Result<Progress, Broken> {
        let Some(writer) = &mut self.writer else {
            return Ok(Progress { taken: 0, more: false, done: true });
        };
        writer.write_all(input).map_err(|_| Broken)?;
        if when.flush && !when.last {
            writer.flush().map_err(|_| Broken)?;
        }
        out.append(writer.get_mut());
        if when.last
            && let Some(writer) = self.writer.take()
        {
            out.append(&mut writer.into_inner());
        }
        Ok(Progress { taken: input.len(), more: false, done: when.last })
    }
}

struct Zstd {
    state: Encoder<'static>,
    _place: Place,
}

impl Transform for Zstd {
    fn pass(&mut self, input: &[u8], when: When, out: &mut Vec<u8>) -> Result<Progress, Broken> {
        let mut from = InBuffer::around(input);
        while from.pos() < input.len() {
            out.reserve(ROOM);
            let at = out.len();
            let mut to = OutBuffer::around_pos(out, at);
            self.state.run(&mut from, &mut to).map_err(|_| Broken)?;
        }
        let mut open = when.last || when.flush;
        while open {
            out.reserve(ROOM);
            let at = out.len();
            let mut to = OutBuffer::around_pos(out, at);
            let left = match when.last {
                true => self.state.finish(&mut to, true),
                false => self.state.flush(&mut to),
            };
            open = left.map_err(|_| Broken)? > 0;
        }
        Ok(Progress { taken: input.len(), more: false, done: when.last })
    }
}
