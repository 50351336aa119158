//! What the parsers hold for what they are sent: at most ten times as many bytes and a fixed amount.
//! The allocator of this test counts; it is why the test is alone in its binary.
#![allow(unsafe_code)] // only to count what the system's allocator is asked for
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use evenkeel_codec::path::{EncodedSlash, Rules, normalise};
use evenkeel_codec::{ChunkedDecoder, RequestContext, RequestHead, ResponseHead, TrailerLimits};
use properties::request_head::LIMITS;
use properties::traffic::generate;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What may be held whatever is sent: the first places of a list of fields.
const FIXED: usize = 256;

/// The most that was held at once while `run` ran.
fn most(run: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    run();
    (MOST.get() - before) as usize
}

fn request(bytes: &[u8]) {
    let mut head = RequestHead::default();
    let _ = head.parse(bytes, &LIMITS);
}

fn response(bytes: &[u8]) {
    let mut head = ResponseHead::default();
    let _ = head.parse(bytes, &LIMITS, &RequestContext::default());
}

fn chunks(bytes: &mut [u8]) {
    let _ = ChunkedDecoder::new(TrailerLimits::default()).decode(bytes);
}

fn path(bytes: &[u8]) {
    let rules = Rules { encoded_slash: EncodedSlash::Keep, merge_slashes: true };
    let _ = normalise(bytes, &rules, &mut Vec::new());
}

/// Generated traffic, and what holds most for its length.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = (0..2_000).map(|seed| generate(seed).bytes).collect();
    for length in [1, 10, 90, 100] {
        let fields = |field: &str| field.repeat(length).into_bytes();
        inputs.push([b"GET / HTTP/1.1\r\n".as_slice(), &fields("a:\r\n")].concat());
        inputs.push([b"HTTP/1.1 200\r\n".as_slice(), &fields("a:\r\n")].concat());
        inputs.push([b"0\r\n".as_slice(), &fields("a:\r\n")].concat());
        inputs.push([b"0\r\n".as_slice(), &fields("ab: cdefgh\r\n")].concat());
        inputs.push(fields("1;a\r\nx\r\n"));
        inputs.push([b"/".as_slice(), &fields("%ff/../")].concat());
    }
    inputs
}

#[test]
fn no_parser_holds_more_than_ten_times_what_it_was_sent() {
    let mut worst =
        [("request head", 0, 0), ("response head", 0, 0), ("path", 0, 0), ("chunks", 0, 0)];
    for mut input in inputs() {
        let held = [
            most(|| request(&input)),
            most(|| response(&input)),
            most(|| path(&input)),
            most(|| chunks(&mut input)),
        ];
        for (worst, held) in worst.iter_mut().zip(held) {
            let allowed = 10 * input.len() + FIXED;
            assert!(held <= allowed, "{}: {held} for {}", worst.0, input.len());
            if held > worst.1 {
                *worst = (worst.0, held, input.len());
            }
        }
    }
    for (name, held, sent) in worst {
        println!("{name}: at most {held} bytes, for {sent}");
    }
}
