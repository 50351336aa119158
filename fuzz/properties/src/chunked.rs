//! Chunked bodies: the same however they arrive, never more than was sent, and the same as a naive
//! reading of RFC 9112 §7.1.

use evenkeel_codec::{ChunkedDecoder, TrailerLimits};

use crate::mutate::Random;
use crate::reference::{self, Chunked};

/// The input is a body and what follows it.
pub fn check(input: &[u8]) {
    let whole = decode(input, &[input.len()]);
    let each: Vec<usize> = (1..=input.len()).collect();
    assert_eq!(decode(input, &each), whole, "byte by byte it is another body");
    let mut random = Random::new(input.len() as u64);
    let mut some: Vec<usize> = (0..4).map(|_| random.below(input.len() + 1)).collect();
    some.push(input.len());
    some.sort_unstable();
    assert_eq!(decode(input, &some), whole, "in pieces it is another body");
    let read = reference::chunked(input);
    // A line that is not complete may be known to be wrong already.
    let is_early = matches!((&whole, &read), (Chunked::Wrong, Chunked::Partial(_)));
    assert!(is_early || whole == read, "decoded {whole:?}, read {read:?}");
}

/// Decodes the input as it arrives in pieces that end at `ends`.
fn decode(input: &[u8], ends: &[usize]) -> Chunked {
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    let (mut payload, mut at) = (Vec::new(), 0);
    for end in ends {
        let mut piece = input[at..*end].to_vec();
        let Ok(decoded) = decoder.decode(&mut piece) else { return Chunked::Wrong };
        assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
        payload.extend_from_slice(&piece[..decoded.payload]);
        at += decoded.consumed;
        if decoded.done {
            assert!(decoder.trailers().len() <= 2 * at, "trailers from nowhere");
            return Chunked::Done(payload, at);
        }
        assert_eq!(at, *end, "bytes are left over before the end");
    }
    Chunked::Partial(payload)
}
