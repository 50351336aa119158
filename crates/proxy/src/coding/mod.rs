//! Content codings at work: bodies that are compressed, or decompressed, piece by piece, with a bounded
//! amount of memory each and a bounded number of them. Which answers go through them is the business of
//! `policy/compress.rs` and `policy/decompress.rs`.

mod decode;
mod encode;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) use decode::decoder;
pub(crate) use encode::{Levels, encoder};

/// How many may be at work at the same time, of all workers.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Arc<AtomicU32>,
    most: u32,
}

/// One of them; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Places {
    pub(crate) fn new(most: u32) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// Those that are taken stay so, under another limit.
    pub(crate) fn inherit(&mut self, old: &Self) {
        self.taken = old.taken.clone();
    }

    /// `None` if all are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        let more = |taken: u32| (taken < self.most).then_some(taken.saturating_add(1));
        self.taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(self.taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_codec::content_coding::Coding;
    use proptest::prelude::*;

    use super::*;
    use crate::http::transform::{Broken, OUT_MAX, Transform, When};

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];
    const LEVELS: Levels = Levels { zstd: 3, br: 4, gzip: 5 };

    fn place() -> Place {
        Places::new(1).take().unwrap()
    }

    fn encode(coding: Coding) -> Box<dyn Transform> {
        encoder(coding, &LEVELS, None, place()).unwrap()
    }

    /// What comes out for one input.
    fn give(what: &mut dyn Transform, mut input: &[u8], when: When) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        loop {
            let mut out = Vec::new();
            let progress = what.pass(input, when, &mut out)?;
            input = &input[progress.taken..];
            all.extend_from_slice(&out);
            if progress.done || input.is_empty() && !progress.more && !when.last {
                assert!(input.is_empty());
                return Ok(all);
            }
            assert!(progress.taken > 0 || !out.is_empty(), "it stands still");
        }
    }

    fn whole(what: &mut dyn Transform, body: &[u8], piece: usize) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        for part in body.chunks(piece) {
            all.extend(give(what, part, When::default())?);
        }
        all.extend(give(what, b"", When { last: true, ..When::default() })?);
        Ok(all)
    }

    fn text(length: usize) -> Vec<u8> {
        (0..)
            .flat_map(|n: u32| format!("line {} of a text\n", n % 977).into_bytes())
            .take(length)
            .collect()
    }

    #[test]
    fn what_was_flushed_can_be_read_at_once() {
        for coding in ALL {
            let (mut out, mut back) = (encode(coding), decoder(coding, None, place()).unwrap());
            for turn in 0..50 {
                let event = format!("data: {turn}\n\n");
                let mut sent = give(&mut *out, event.as_bytes(), When::default()).unwrap();
                sent.extend(give(&mut *out, b"", When { flush: true, last: false }).unwrap());
                let read = give(&mut *back, &sent, When::default()).unwrap();
                assert_eq!(read, event.as_bytes(), "{coding:?}");
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_pieces_and_ends_at_its_bound() {
        for coding in ALL {
            let bomb = whole(&mut *encode(coding), &vec![0; 2 << 20], 16 << 10).unwrap();
            assert!(bomb.len() < 64 << 10, "{coding:?}: {}", bomb.len());
            let mut back = decoder(coding, Some(1 << 19), place()).unwrap();
            let (mut input, mut total) = (&bomb[..], 0);
            let end = loop {
                let mut out = Vec::new();
                match back.pass(input, When { last: true, ..When::default() }, &mut out) {
                    Ok(progress) => input = &input[progress.taken..],
                    Err(end) => break end,
                }
                assert!(out.len() <= 2 * OUT_MAX, "{coding:?}: {} at once", out.len());
                total += out.len();
            };
            assert_eq!(end, Broken);
            assert!(total <= 1 << 19, "{coding:?}: {total}");
        }
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_broken() {
        for coding in ALL {
            let good = whole(&mut *encode(coding), &text(100_000), 16 << 10).unwrap();
            let back = || decoder(coding, None, place()).unwrap();
            assert_eq!(
                whole(&mut *back(), &good[..good.len() - 1], 4096),
                Err(Broken),
                "{coding:?}"
            );
            assert_eq!(
                whole(&mut *back(), b"no such thing, sorry", 4096),
                Err(Broken),
                "{coding:?}"
            );
            let twice = [&good[..], b"more"].concat();
            assert_eq!(whole(&mut *back(), &twice, 4096), Err(Broken), "{coding:?}");
        }
    }

    #[test]
    fn members_of_gzip_and_frames_of_zstd_may_follow_each_other() {
        // RFC 1952 §2.2, RFC 8878 §3.
        for coding in [Coding::Gzip, Coding::Zstd] {
            let one = whole(&mut *encode(coding), b"one ", 100).unwrap();
            let two = whole(&mut *encode(coding), b"two", 100).unwrap();
            let both = [one, two].concat();
            for piece in [1, 7, 4096] {
                let mut back = decoder(coding, None, place()).unwrap();
                assert_eq!(whole(&mut *back, &both, piece).unwrap(), b"one two", "{coding:?}");
            }
        }
    }

    #[test]
    fn places_are_given_back() {
        let places = Places::new(2);
        let (one, two) = (places.take(), places.take());
        assert!(one.is_some() && two.is_some() && places.take().is_none());
        drop(one);
        let mut fewer = Places::new(1);
        fewer.inherit(&places);
        assert!(places.take().is_some() && fewer.take().is_none());
        drop(two);
        assert!(fewer.take().is_some());
    }

    /// Bytes of memory that this process has for itself.
    fn memory() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What a library does by itself, a block at a time as here.
    fn by_the_library(coding: Coding, levels: &Levels, body: &[u8]) -> usize {
        use std::io::Write as _;
        let blocks = body.chunks(16 << 10);
        match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(levels.gzip);
                let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
                blocks.for_each(|block| to.write_all(block).unwrap());
                to.finish().unwrap().len()
            }
            Coding::Brotli => {
                let mut to = brotli::CompressorWriter::new(Vec::new(), 4096, levels.br, 18);
                blocks.for_each(|block| to.write_all(block).unwrap());
                to.into_inner().len()
            }
            Coding::Zstd => {
                let mut to = zstd::Encoder::new(Vec::new(), levels.zstd as i32).unwrap();
                to.window_log(17).unwrap();
                blocks.for_each(|block| to.write_all(block).unwrap());
                to.finish().unwrap().len()
            }
        }
    }

    /// Prints what docs/compression.md speaks of.
    #[test]
    #[ignore = "measures"]
    #[allow(clippy::disallowed_methods)] // the clock is what it is about
    fn coding_costs() {
        let body = text(32 << 20);
        println!("coding  level  here MB/s  library MB/s  ratio  memory");
        for coding in ALL {
            for level in 1..=12 {
                let levels = Levels { zstd: level, br: level.min(9), gzip: level.min(9) };
                if level > 9 && coding != Coding::Zstd {
                    continue;
                }
                let make = || encoder(coding, &levels, None, place()).unwrap();
                let (mut ours, mut theirs, mut length) = (f64::MAX, f64::MAX, 0);
                for _ in 0..3 {
                    let begun = std::time::Instant::now();
                    let mut what = make();
                    length = body
                        .chunks(16 << 10)
                        .map(|block| {
                            let mut out = Vec::new();
                            what.pass(block, When::default(), &mut out).unwrap();
                            out.len()
                        })
                        .sum();
                    length +=
                        give(&mut *what, b"", When { last: true, flush: false }).unwrap().len();
                    ours = ours.min(begun.elapsed().as_secs_f64());
                    let begun = std::time::Instant::now();
                    std::hint::black_box(by_the_library(coding, &levels, &body));
                    theirs = theirs.min(begun.elapsed().as_secs_f64());
                }
                let before = memory();
                let many: Vec<_> = (0..32)
                    .map(|_| {
                        let mut what = make();
                        for block in body.chunks(16 << 10).take(64) {
                            what.pass(block, When::default(), &mut Vec::new()).unwrap();
                        }
                        what
                    })
                    .collect();
                let each = memory().saturating_sub(before) / 32 / 1024;
                drop(many);
                let speed = |seconds: f64| body.len() as f64 / 1e6 / seconds;
                let (ours, theirs) = (speed(ours), speed(theirs));
                let ratio = body.len() as f64 / length as f64;
                println!(
                    "{:<7} {level:>5} {ours:>10.0} {theirs:>13.0} {ratio:>6.1} {each:>5} KiB",
                    coding.name()
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_went_in_comes_out(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40_000),
                (0..300_000_usize).prop_map(text),
            ],
            piece in 1..20_000_usize,
            back_piece in 1..20_000_usize,
        ) {
            for coding in ALL {
                let sent = whole(&mut *encode(coding), &body, piece).unwrap();
                let mut back = decoder(coding, None, place()).unwrap();
                prop_assert!(whole(&mut *back, &sent, back_piece).unwrap() == body);
            }
        }

        #[test]
        fn no_input_makes_a_decoder_panic(
            body in prop::collection::vec(any::<u8>(), 0..2_000),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            for coding in ALL {
                let _ = whole(&mut *decoder(coding, None, place()).unwrap(), &body, 100);
                let mut sent = whole(&mut *encode(coding), &text(5000), 5000).unwrap();
                let at = at.index(sent.len());
                sent[at] = byte;
                let _ = whole(&mut *decoder(coding, None, place()).unwrap(), &sent, 1000);
            }
        }
    }
}
