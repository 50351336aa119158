//! The rules of the chunked coding (RFC 9112 §7.1), by their names in the catalogue of past
//! attacks. Every input arrives whole, in two pieces at every place, and byte by byte.

use super::*;

/// Body, trailers, and bytes left over.
type Outcome = Result<(Vec<u8>, Vec<u8>, usize), ChunkError>;

fn decode(input: impl AsRef<[u8]>) -> Outcome {
    decode_with(input.as_ref(), TrailerLimits::default())
}

fn decode_with(input: &[u8], limits: TrailerLimits) -> Outcome {
    let whole = decode_pieces(input, &[input.len()], limits);
    if input.len() < 2000 {
        for split in 0..input.len() {
            assert_eq!(decode_pieces(input, &[split, input.len()], limits), whole);
        }
    }
    let ends: Vec<_> = (1..=input.len()).collect();
    assert_eq!(decode_pieces(input, &ends, limits), whole);
    whole
}

fn decode_pieces(input: &[u8], ends: &[usize], limits: TrailerLimits) -> Outcome {
    let mut decoder = ChunkedDecoder::new(limits);
    let (mut body, mut at) = (Vec::new(), 0);
    for end in ends {
        let mut piece = input[at..*end].to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
        assert!(decoded.done || decoded.consumed == piece.len());
        body.extend_from_slice(&piece[..decoded.payload]);
        at += decoded.consumed;
        if decoded.done {
            return Ok((body, decoder.trailers().to_vec(), input.len() - at));
        }
        at = *end;
    }
    panic!("incomplete: {:?}", String::from_utf8_lossy(input));
}

#[track_caller]
fn assert_body(input: impl AsRef<[u8]>, body: &str) {
    assert_eq!(decode(input), Ok((body.as_bytes().to_vec(), Vec::new(), 0)));
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    assert_body("5\r\nhello\r\n1\r\n \r\n0005\r\nworld\r\n0\r\n\r\n", "hello world");
    assert_body("0\r\n\r\n", "");
    assert_body("A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    let next = decode("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n");
    assert_eq!(next, Ok((b"a".to_vec(), Vec::new(), 16)));
}

#[test]
fn a_decoder_that_was_reset_is_as_new() {
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    for _ in 0..3 {
        let mut input = b"1;a\r\nx\r\n0\r\nA: b\r\n\r\n".to_vec();
        let length = input.len();
        let decoded = decoder.decode(&mut input);
        assert_eq!(decoded, Ok(Decoded { consumed: length, payload: 1, done: true }));
        assert_eq!(decoder.trailers(), b"A: b\r\n");
        decoder.reset();
        assert_eq!((decoder.trailers(), decoder.extensions), (b"".as_slice(), 0));
        assert_eq!((decoder.overhead, decoder.data), (0, 0));
    }
}

#[test]
fn b1_a24_sizes_that_may_wrap_are_refused() {
    for size in [
        "FFFFFFFFFFFFFFFFF",
        "FFFFFFFFFFFFFFFF",
        "7FFFFFFFFFFFFFFF",
        "FFFFFFFFFFFFFFF6",
        "10000000000000000",
        "100000000000000",
        "00000000000000001",
    ] {
        assert_eq!(decode(format!("{size}\r\n")), Err(ChunkError::SizeTooLarge), "{size}");
    }
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    let mut input = b"100000005\r\nhello".to_vec(); // 4 GiB and 5
    let decoded = decoder.decode(&mut input);
    assert_eq!(decoded, Ok(Decoded { consumed: 16, payload: 5, done: false }));
    assert_eq!(decoder.state, State::Data { left: 1 << 32 });
}

#[test]
fn b2_to_b4_a_size_is_hexadecimal_digits() {
    for line in ["0x5", "+5", "-5", "5_0", " 5", "0_2e", "1these-bytes", "", "\r\n", ";a", "g", "é"]
    {
        assert_eq!(decode(format!("{line}\r\nhello")), Err(ChunkError::BadSize), "{line}");
    }
}

#[test]
fn b5_bare_lf_is_refused() {
    for input in ["5\nhello\r\n", "5\r\nhello\n", "0\n\r\n", "0\r\n\n", "0\r\nA: b\n\r\n", "5;a\nx"]
    {
        assert!(decode(input).is_err(), "{input:?}");
    }
}

#[test]
fn b6_bare_cr_is_refused() {
    for input in
        ["5\r\r\n", "5\r\r;ext\r\n", "5;a\rb\r\n", "5;a=\"\r\"\r\n", "0\r\nA: \rb\r\n", "0\r\n\rx"]
    {
        assert!(decode(input).is_err(), "{input:?}");
    }
}

#[test]
fn b7_an_extension_ends_where_every_parser_ends_it() {
    for extension in [
        ";",
        ";;a",
        ";a=",
        ";=a",
        ";a=b=c",
        ";a b",
        ";a=\"b",
        ";a=\"b\nc\"",
        ";a=\"b\r\nc\"",
        ";a=\"\\\r\n\"",
        ";a=\"b\"c",
        ";\0",
        ";a\u{7f}",
        ";a ",
        " ",
        "\t",
        ";a=b\t",
        " a",
        ";é",
    ] {
        let input = format!("1{extension}\r\nx\r\n0\r\n\r\n");
        assert_eq!(decode(&input), Err(ChunkError::BadExtension), "{extension:?}");
    }
}

#[test]
fn b8_and_b16_data_is_followed_by_its_line_end_and_the_next_size() {
    for input in ["5\r\nhelloXX0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\rX"] {
        assert_eq!(decode(input), Err(ChunkError::BadEnd), "{input:?}");
    }
    assert_eq!(decode("5\r\nhello\r\n\r\n0\r\n\r\n"), Err(ChunkError::BadSize));
}

#[test]
fn b9_extensions_are_bounded_over_the_whole_body() {
    let long = format!("1;a={}\r\nx\r\n", "b".repeat(64 * 1024));
    assert_eq!(decode(long), Err(ChunkError::ExtensionsTooLong));
    let many = "1;abcdefg\r\nx\r\n".repeat(513);
    assert_eq!(decode(many), Err(ChunkError::ExtensionsTooLong));
    let spaces = format!("1{}", " ".repeat(5000));
    assert_eq!(decode(spaces), Err(ChunkError::ExtensionsTooLong));
    let few = format!("{}0\r\n\r\n", "1;abcdefg\r\nx\r\n".repeat(512));
    assert!(decode(few).is_ok());
}

#[test]
fn b9_what_surrounds_the_data_is_bounded_by_the_data() {
    let padded = |chunks| format!("{}0\r\n\r\n", "0000000000000001\r\nx\r\n".repeat(chunks));
    // 20 bytes around each one: 4 more than are fair, and 8 KiB are free. 18 come before it.
    assert!(decode(padded((8 * 1024 - 18) / 4 + 1)).is_ok());
    assert_eq!(decode(padded((8 * 1024 - 18) / 4 + 2)), Err(ChunkError::TooMuchOverhead));
    for honest in ["1\r\nx\r\n", "00000001\r\nx\r\n", "0000000000000002\r\nxy\r\n"] {
        assert!(decode(format!("{}0\r\n\r\n", honest.repeat(20_000))).is_ok(), "{honest:?}");
    }
}

#[test]
fn b10_extensions_are_not_passed_on() {
    for extension in
        [";a", ";a=b", ";a=\"b;\\\" c\"", ";a;b=c;d", " ; a\t=  b ; c", ";a=\"\"", ";a=\"é\t\" ;b"]
    {
        assert_body(format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"), "x");
    }
}

#[test]
fn b12_and_i6_trailers_that_could_change_the_message_are_dropped() {
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-For",
        "X-Forwarded-Prefix",
        "X_Forwarded_For",
        "X-Real-IP",
        "Forwarded",
        "X-Request-Id",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Cache-Control",
        "Location",
        "Via",
        "X-SSL-Client",
        "X-Client-Cert",
        "Proxy-Authorization",
        "Sec-WebSocket-Key",
    ] {
        let input = format!("0\r\n{name}: 1\r\nX-Sum: 2\r\n\r\n");
        let expected = (Vec::new(), b"X-Sum: 2\r\n".to_vec(), 0);
        assert_eq!(decode(input), Ok(expected), "{name}");
    }
    let kept = decode("0\r\nETag:\t\"a\" \r\ngrpc-status:0\r\nDate: now\r\n\r\n").unwrap().1;
    assert_eq!(kept, b"ETag: \"a\"\r\ngrpc-status: 0\r\nDate: now\r\n");
}

#[test]
fn b12_trailers_that_connection_names_are_dropped() {
    // RFC 9110 §7.6.1: "header or trailer field(s)"
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    for (connection, kept) in
        [("", "X-Sum: 2\r\nX-Two: 3\r\n"), ("close, x-SUM", "X-Two: 3\r\n"), ("x-two,x-sum", "")]
    {
        decoder.nominate(b"keep-alive");
        decoder.nominate(connection.as_bytes());
        let mut input = b"0\r\nX-Sum: 2\r\nX-Two: 3\r\n\r\n".to_vec();
        assert!(decoder.decode(&mut input).unwrap().done);
        assert_eq!(decoder.trailers(), kept.as_bytes(), "{connection}");
        decoder.reset();
    }
}

#[test]
fn b13_trailers_are_bounded() {
    let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(101));
    assert_eq!(decode(many), Err(ChunkError::TrailersTooLong));
    let long = format!("0\r\nA: {}\r\n\r\n", "b".repeat(1024 * 1024));
    assert_eq!(
        decode_pieces(long.as_bytes(), &[long.len()], TrailerLimits::default()),
        Err(ChunkError::TrailersTooLong)
    );
    let limits = TrailerLimits { bytes: 8, ..TrailerLimits::default() };
    assert!(decode_with(b"0\r\na: b\r\n\r\n", limits).is_ok());
    assert_eq!(decode_with(b"0\r\na: bc\r\n\r\n", limits), Err(ChunkError::TrailersTooLong));
}

#[test]
fn b14_a_line_after_the_last_chunk_is_a_trailer() {
    let outcome = decode("0\r\nX:POST / HTTP/1.1\r\n\r\n");
    assert_eq!(outcome, Ok((Vec::new(), b"X: POST / HTTP/1.1\r\n".to_vec(), 0)));
    for end in ["0", "0\r", "0\r\n", "0\r\n\r", "0\r\nA: b\r\n", "0\r\nA: b\r\n\r"] {
        let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
        let decoded = decoder.decode(&mut end.as_bytes().to_vec()).unwrap();
        assert!(!decoded.done, "{end:?} is not the end");
    }
}

#[test]
fn b15_a_last_chunk_of_many_zeros() {
    assert_body(format!("{}\r\n\r\n", "0".repeat(16)), "");
    assert_eq!(decode(format!("{}\r\n\r\n", "0".repeat(22))), Err(ChunkError::SizeTooLarge));
}

#[test]
fn broken_trailers_are_refused() {
    for line in ["A", ": b", "A : b", " A: b", "A: b\0", "A: b\r\n c", "Ä: b", "A: \u{1b}"] {
        assert_eq!(decode(format!("0\r\n{line}\r\n\r\n")), Err(ChunkError::BadTrailer), "{line:?}");
    }
}

#[test]
fn a_size_line_is_hexadecimal_and_crlf() {
    for (length, line) in [
        (0, "0\r\n"),
        (1, "1\r\n"),
        (9, "9\r\n"),
        (0x1a, "1a\r\n"),
        (0x10, "10\r\n"),
        (0xffff, "ffff\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = [0; 18];
        let count = chunk_head(length, &mut out);
        assert_eq!(std::str::from_utf8(&out[..count]), Ok(line));
    }
}
