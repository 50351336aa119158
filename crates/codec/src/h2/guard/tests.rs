//! What the guard lets pass, what it does not, and that it does not matter how the bytes come.
#![expect(clippy::disallowed_methods, reason = "any moment will do to count from")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BLOCK: u32 = 48 * 1024;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// A client and what it is answered, in time that passes only when it says so.
struct Client {
    guard: FrameGuard,
    now: Instant,
    next: u32,
}

impl Client {
    fn new() -> Self {
        let now = Instant::now();
        let mut guard = FrameGuard::new(BLOCK, now);
        guard.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        Self { guard, now, next: 1 }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Budget> {
        self.guard.received(bytes, self.now)
    }

    /// Begins a stream with a request that has no content.
    fn request(&mut self) -> Result<u32, Budget> {
        let stream = self.next;
        self.next += 2;
        self.send(&frame(1, 0x5, stream, &[0x82; 40]))?;
        Ok(stream)
    }

    /// It is sent a DATA frame with so much content.
    fn answered(&mut self, length: usize) {
        self.guard.sent(&frame(DATA, 0, 1, &vec![0; length]), self.now).unwrap();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// How many times in a row something can be done, up to a thousand thousand, and what it exceeds.
    fn until_cut(
        &mut self,
        mut what: impl FnMut(&mut Self) -> Result<(), Budget>,
    ) -> (usize, Option<Budget>) {
        for done in 0..1_000_000 {
            if let Err(budget) = what(self) {
                return (done, Some(budget));
            }
        }
        (1_000_000, None)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(8, 0, stream, &by.to_be_bytes())
}

fn rst_stream(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

mod floods {
    use super::*;

    #[test]
    fn j1_rapid_reset_ends_after_its_budget() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            let stream = client.request()?;
            client.send(&rst_stream(stream))
        });
        assert_eq!(cut, (255, Some(Budget::Resets)));
    }

    #[test]
    fn j1_rapid_reset_below_the_rate_ends_after_what_is_for_life() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            client.wait(Duration::from_millis(10));
            let stream = client.request()?;
            client.send(&rst_stream(stream))
        });
        assert_eq!(cut, (999, Some(Budget::ResetsForLife)));
    }

    #[test]
    fn j1_resets_of_streams_that_were_never_begun_count_double() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| client.send(&rst_stream(1)));
        assert_eq!(cut, (128, Some(Budget::Resets)));
    }

    #[test]
    fn j2_streams_that_this_side_was_made_to_reset_spend_the_same_budget() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            let stream = client.request()?;
            client.send(&window_update(stream, 0x7fff_ffff))?;
            client.guard.sent(&frame(RST_STREAM, 0, stream, &3_u32.to_be_bytes()), client.now)
        });
        assert_eq!(cut, (255, Some(Budget::Resets)));
    }

    #[test]
    fn resets_that_blame_nobody_cost_nothing() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            let stream = client.request()?;
            let code = [0_u32, 2, 8, 10][stream as usize % 4];
            client.guard.sent(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()), client.now)
        });
        assert_eq!(cut.1, None);
    }

    #[test]
    fn j3_continuations_are_bounded_in_number_even_if_empty() {
        let mut client = Client::new();
        client.send(&frame(1, 0x1, 1, &[0x82])).unwrap();
        let cut = client.until_cut(|client| client.send(&frame(9, 0, 1, b"")));
        assert_eq!(cut, (20, Some(Budget::Continuations)));
    }

    #[test]
    fn j3_a_header_block_is_bounded_before_it_is_decoded() {
        let mut client = Client::new();
        client.send(&frame(1, 0x1, 1, &[0; 16_384])).unwrap();
        client.send(&frame(9, 0, 1, &[0; 16_384])).unwrap();
        client.send(&frame(9, 0, 1, &[0; 16_384])).unwrap();
        assert_eq!(client.send(&frame(9, 0, 1, b"x")), Err(Budget::HeaderBlock));
    }

    #[test]
    fn j3_what_one_header_block_has_is_not_taken_from_the_next() {
        let mut client = Client::new();
        for stream in (1..2000).step_by(2) {
            client.send(&frame(1, 0x1, stream, &[0; 16_384])).unwrap();
            client.send(&frame(9, 0x4, stream, &[0; 16_384])).unwrap();
        }
    }

    #[test]
    fn j6_control_frames_are_bounded_by_kind() {
        let floods: [(Vec<u8>, Budget); 9] = [
            (frame(6, 0, 0, &[0; 8]), Budget::Pings),
            (frame(6, ACK, 0, &[0; 8]), Budget::Pings),
            (frame(4, 0, 0, b""), Budget::Settings),
            (frame(4, 0, 0, &[0; 16_380]), Budget::Settings),
            (frame(2, 0, 5, &[0; 5]), Budget::Priorities),
            (frame(0, 0, 1, b""), Budget::EmptyData),
            (window_update(0, 1), Budget::WindowUpdates),
            (frame(0x10, 0, 0, b"i"), Budget::UnknownFrames),
            (frame(7, 0, 0, &[0; 8]), Budget::GoAways),
        ];
        for (flood, budget) in floods {
            let (sent, cut) = Client::new().until_cut(|client| client.send(&flood));
            assert_eq!(cut, Some(budget));
            assert!(sent <= budget.amount() as usize, "{budget}: {sent}");
            // And a second or two later again.
            let mut client = Client::new();
            let (sent, cut) = client.until_cut(|client| {
                client.wait(Duration::from_millis(1));
                client.send(&flood)
            });
            assert_eq!(cut, Some(budget), "after {sent}");
        }
    }

    #[test]
    fn j6_data_of_nothing_but_padding_is_empty() {
        let mut padding = vec![255];
        padding.extend([0; 255]);
        let flood = frame(0, PADDED, 1, &padding);
        let cut = Client::new().until_cut(|client| client.send(&flood));
        assert_eq!(cut, (64, Some(Budget::EmptyData)));
        padding.push(1);
        let data = frame(0, PADDED, 1, &padding);
        let cut = Client::new().until_cut(|client| client.send(&data));
        assert_eq!(cut.1, None, "that was content");
    }

    #[test]
    fn j8_a_window_of_one_byte_after_the_other_ends_although_each_is_used() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            client.send(&window_update(1, 1))?;
            client.answered(1);
            Ok(())
        });
        assert_eq!(cut.1, Some(Budget::WindowUpdates));
        assert!(cut.0 < 4000, "{}", cut.0);
    }

    #[test]
    fn what_answers_a_flood_pays_for_none_of_it() {
        let mut client = Client::new();
        let cut = client.until_cut(|client| {
            client.send(&frame(6, 0, 0, &[0; 8]))?;
            client.guard.sent(&frame(6, ACK, 0, &[0; 8]), client.now)
        });
        assert_eq!(cut, (200, Some(Budget::Pings)));
    }

    #[test]
    fn no_work_can_be_saved_up_to_pay_for_a_flood() {
        let floods = [
            (rst_stream(1), 128),
            (frame(2, 0, 1, &[0; 5]), 256),
            (frame(6, 0, 0, &[0; 8]), 200),
            (window_update(0, 1), 1000),
        ];
        for (flood, amount) in floods {
            let mut client = Client::new();
            for _ in 0..10_000 {
                client.request().unwrap();
                client.answered(100_000);
            }
            let (sent, _) = client.until_cut(|client| client.send(&flood));
            assert!(sent <= amount + 1, "{sent}");
        }
    }
}

mod ordinary_clients {
    use super::*;

    /// What Chromium and Firefox do with a page: SETTINGS, a large window, PRIORITY or
    /// PRIORITY_UPDATE for each stream, a hundred streams, and the user leaves before they end.
    #[test]
    fn a_browser_that_leaves_page_after_page() {
        let mut client = Client::new();
        client.send(&frame(4, 0, 0, &[0; 24])).unwrap();
        client.send(&window_update(0, 15_663_105)).unwrap();
        for idle in [3, 5, 7, 9, 11, 13] {
            client.send(&frame(2, 0, idle, &[0; 5])).unwrap();
        }
        client.send(&frame(4, ACK, 0, b"")).unwrap();
        for page in 0..1000 {
            let streams: Vec<u32> = (0..100).map(|_| client.request().unwrap()).collect();
            for stream in &streams {
                client.send(&frame(2, 0, *stream, &[0; 5])).unwrap();
                client.send(&frame(0x10, 0, 0, b"....u=2, i")).unwrap();
            }
            client.answered(3_000_000);
            client.send(&window_update(0, 3_000_000)).unwrap();
            if page % 2 == 0 {
                for stream in streams {
                    client.send(&rst_stream(stream)).unwrap();
                }
            }
            client.wait(Duration::from_secs(2));
        }
    }

    /// Every second call is cancelled (hedged, or past its deadline), thousands in a second, for ever.
    #[test]
    fn a_grpc_client_that_cancels_every_second_call() {
        let mut client = Client::new();
        for call in 0..200_000 {
            let stream = client.request().unwrap();
            if call % 2 == 0 {
                client.send(&rst_stream(stream)).unwrap();
            }
            if call % 5000 == 0 {
                client.wait(Duration::from_secs(1));
            }
        }
    }

    /// A stream of small messages both ways: each is measured by a PING and its bytes given back.
    #[test]
    fn a_grpc_stream_of_small_messages() {
        let mut client = Client::new();
        let stream = client.request().unwrap();
        for _ in 0..100_000 {
            client.send(&frame(0, 0, stream, &[0; 6])).unwrap();
            client.answered(7);
            client.send(&window_update(stream, 7)).unwrap();
            client.send(&window_update(0, 7)).unwrap();
            client.answered(40);
            client.send(&frame(6, 0, 0, &[0; 8])).unwrap();
        }
    }

    /// 10 s apart is what servers usually allow; this is every 20 ms.
    #[test]
    fn an_idle_client_that_keeps_its_connection_alive() {
        let mut client = Client::new();
        for _ in 0..100_000 {
            client.send(&frame(6, 0, 0, &[0; 8])).unwrap();
            client.wait(Duration::from_millis(20));
        }
    }

    /// curl and h2load: large answers with windows of 64 KiB, given back by halves.
    #[test]
    fn a_download_with_small_windows() {
        let mut client = Client::new();
        for _ in 0..32 {
            client.request().unwrap();
        }
        for _ in 0..100_000 {
            client.answered(32_768);
            client.send(&window_update(1, 32_768)).unwrap();
            client.send(&window_update(0, 32_768)).unwrap();
        }
    }

    /// The windows of all streams may be opened at once.
    #[test]
    fn windows_that_are_opened_for_each_stream() {
        let mut client = Client::new();
        for _ in 0..100_000 {
            let stream = client.request().unwrap();
            client.send(&window_update(stream, 1 << 20)).unwrap();
            client.send(&window_update(0, 1 << 20)).unwrap();
        }
    }

    #[test]
    fn an_upload_of_frames_of_every_size() {
        let mut client = Client::new();
        let stream = client.request().unwrap();
        for length in (1..16_384).cycle().take(20_000) {
            client.send(&frame(0, 0, stream, &vec![0; length])).unwrap();
        }
        client.send(&frame(0, END_STREAM, stream, b"")).unwrap();
    }
}

#[test]
fn a_frames_content_is_never_taken_for_frames() {
    let mut client = Client::new();
    let mut hidden = Vec::new();
    for _ in 0..1000 {
        hidden.extend(rst_stream(1));
    }
    for _ in 0..100 {
        client.send(&frame(0, 0, 1, hidden.get(..13_000).unwrap())).unwrap();
    }
}

#[test]
fn the_guard_itself_is_small() {
    assert!(size_of::<FrameGuard>() <= 160, "{}", size_of::<FrameGuard>());
}

/// Frames of all kinds, often of those that cost something.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let one = (0_u8..12, any::<u8>(), 0_u32..8, prop::collection::vec(any::<u8>(), 0..40));
    let one = one.prop_map(|(kind, flags, stream, content)| frame(kind, flags, stream, &content));
    prop::collection::vec(one, 0..300).prop_map(|frames| frames.concat())
}

proptest! {
    /// Any split of the bytes gives the same verdict at the same place.
    #[test]
    fn it_does_not_matter_how_the_bytes_are_split(
        frames in frames(),
        sizes in prop::collection::vec(1_usize..60, 1..40),
    ) {
        let now = Instant::now();
        let mut bytes = vec![0; PREFACE as usize];
        bytes.extend(frames);
        let verdict_at = |sizes: &mut dyn Iterator<Item = usize>| {
            let mut guard = FrameGuard::new(100, now);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (part, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
                guard.received(part, now)?;
                rest = after;
            }
            Ok(())
        };
        let whole: Result<(), Budget> = verdict_at(&mut std::iter::once(bytes.len()));
        prop_assert_eq!(whole, verdict_at(&mut std::iter::repeat(1)));
        prop_assert_eq!(whole, verdict_at(&mut sizes.iter().copied().cycle()));
    }

    #[test]
    fn no_bytes_and_no_times_make_it_panic(
        parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..100), any::<u32>()), 0..50),
    ) {
        let start = Instant::now();
        let mut guard = FrameGuard::new(1000, start);
        for (bytes, number) in parts {
            let now = start + Duration::from_millis(number.into());
            if guard.received(&bytes, now).is_err() || guard.sent(&bytes, now).is_err() {
                break;
            }
        }
    }
}
