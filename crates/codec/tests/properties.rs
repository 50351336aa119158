//! What holds for every input: nothing panics, the way bytes arrive changes nothing, and what is
//! written is read back.

use evenkeel_codec::path::{self, EncodedSlash, Normalised, Rules};
use evenkeel_codec::{
    BodyLength, ChunkedDecoder, HeadLimits, Parse, RequestContext, RequestHead, ResponseHead,
    TrailerLimits, chunk_head, host, query,
};
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { head: 600, line: 120, fields: 10 };

/// Bytes that look like HTTP often enough to get somewhere.
fn soup(first: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ": ",
        ",",
        ";",
        "/",
        "?",
        "#",
        "%",
        "Host: a\r\n",
        "Host: b:80\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: close, x\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Expect: 100-continue\r\n",
        "TE: trailers\r\n",
        "X_Forwarded_For: 1\r\n",
        "Keep-Alive: timeout=5\r\n",
        " folded\r\n",
        "x: y\r\n",
        "\0",
        "\u{e9}",
        "\u{7f}",
        "HTTP/1.1",
        "HTTP/1.0",
        "GET",
        "OPTIONS",
        "http://a/",
        "5",
        "200",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (prop::sample::select(first), pieces, prop::bool::ANY).prop_map(|(first, rest, ends)| {
        let end: &[u8] = if ends { b"\r\n\r\n" } else { b"" };
        [first.as_bytes(), &rest, end].concat()
    })
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    soup(&[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /a?b HTTP/1.1\r\nHost: a\r\n",
        "PUT http://a/ HTTP/1.0\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "GET ",
        "",
    ])
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    soup(&["HTTP/1.1 200 OK\r\n", "HTTP/1.0 304 x\r\n", "HTTP/1.1 101 x\r\n", "HTTP/1.", ""])
}

/// Ends of the pieces in which `length` bytes arrive.
fn ends(length: usize, cuts: &[prop::sample::Index]) -> Vec<usize> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    ends.push(length);
    ends.sort_unstable();
    ends
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..8)
}

/// The verdict, and all that was learnt, in words.
fn parse_request(input: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let mut head = RequestHead::default();
    for end in ends {
        match head.parse(&input[..end], &LIMITS) {
            Ok(Parse::Partial) => {}
            Ok(complete) => return format!("{complete:?} {head:?}"),
            Err(error) => return format!("{error:?}"),
        }
    }
    "partial".to_owned()
}

fn parse_response(input: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let context = RequestContext { is_head: false, offers_upgrade: true };
    let mut head = ResponseHead::default();
    for end in ends {
        match head.parse(&input[..end], &LIMITS, &context) {
            Ok(Parse::Partial) => {}
            Ok(complete) => return format!("{complete:?} {head:?}"),
            Err(error) => return format!("{error:?}"),
        }
    }
    "partial".to_owned()
}

/// Body and trailers, how much was used, or the error.
fn decode(input: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let limits = TrailerLimits { bytes: 64, fields: 3, extensions: 32 };
    let mut decoder = ChunkedDecoder::new(limits);
    let (mut body, mut at) = (Vec::new(), 0);
    for end in ends {
        let mut piece = input[at..end].to_vec();
        match decoder.decode(&mut piece) {
            Ok(decoded) => {
                assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
                body.extend_from_slice(&piece[..decoded.payload]);
                at += decoded.consumed;
                if decoded.done {
                    return format!("{body:?} {:?} {at}", decoder.trailers());
                }
                assert_eq!(at, end);
            }
            Err(error) => return format!("{error:?}"),
        }
    }
    format!("partial {body:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_does_not_depend_on_how_it_arrives(input in requests(), cuts in cuts()) {
        let whole = parse_request(&input, [input.len()]);
        prop_assert_eq!(&parse_request(&input, ends(input.len(), &cuts)), &whole);
        prop_assert_eq!(&parse_request(&input, 0..=input.len()), &whole);
    }

    #[test]
    fn a_response_does_not_depend_on_how_it_arrives(input in responses(), cuts in cuts()) {
        let whole = parse_response(&input, [input.len()]);
        prop_assert_eq!(&parse_response(&input, ends(input.len(), &cuts)), &whole);
        prop_assert_eq!(&parse_response(&input, 0..=input.len()), &whole);
    }

    #[test]
    fn no_bytes_make_a_head_panic(input in prop::collection::vec(any::<u8>(), 0..800)) {
        parse_request(&input, 0..=input.len());
        parse_response(&input, 0..=input.len());
    }

    #[test]
    fn an_accepted_request_is_unambiguous(input in requests()) {
        let mut head = RequestHead::default();
        let Ok(Parse::Complete(length)) = head.parse(&input, &LIMITS) else { return Ok(()) };
        let input = &input[..length];
        // Written again from its index, it is the same request.
        let mut again = [head.method_text.of(input), b" ", head.target.raw.of(input), b" "].concat();
        again.extend_from_slice(format!("{:?}\r\n", head.version).replace("Http1", "HTTP/1.").as_bytes());
        for field in &head.fields {
            let (name, value) = (field.name.of(input), field.value.of(input));
            prop_assert!(!name.is_empty() && !value.contains(&b'\r') && !value.contains(&b'\n'));
            again.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        }
        again.extend_from_slice(b"\r\n");
        let mut second = RequestHead::default();
        let limits = HeadLimits { head: 2000, ..LIMITS };
        prop_assert_eq!(second.parse(&again, &limits), Ok(Parse::Complete(again.len())));
        prop_assert_eq!(
            (second.body, second.persistent, second.expects_continue, second.fields.len()),
            (head.body, head.persistent, head.expects_continue, head.fields.len())
        );
        prop_assert_eq!(second.host.of(&again), head.host.of(input));
        prop_assert_eq!(second.path(&again), head.path(input));
        prop_assert_ne!(head.body, BodyLength::UntilClose);
    }

    #[test]
    fn any_field_of_tokens_and_visible_text_comes_back(
        lines in prop::collection::vec(("[a-z!#$%&'*+^`|~0-9-]{1,20}", "[!-~\u{80}-\u{ff}]([ -~]{0,30}[!-~])?"), 0..8)
    ) {
        let special = |name: &str| evenkeel_codec::Known::of(name.as_bytes()) != evenkeel_codec::Known::Other;
        prop_assume!(!lines.iter().any(|(name, _)| special(name)));
        let text: String = lines.iter().map(|(name, value)| format!("{name}:\t{value} \r\n")).collect();
        let input = format!("GET / HTTP/1.1\r\nhost: a\r\n{text}\r\n").into_bytes();
        let mut head = RequestHead::default();
        prop_assert_eq!(head.parse(&input, &LIMITS), Ok(Parse::Complete(input.len())));
        for (field, (name, value)) in head.fields.iter().skip(1).zip(&lines) {
            prop_assert_eq!(field.name.of(&input), name.as_bytes());
            prop_assert_eq!(field.value.of(&input), value.as_bytes());
        }
    }

    #[test]
    fn chunks_do_not_depend_on_how_they_arrive(
        input in soup(&["5\r\nhello\r\n", "1;a=\"b\"\r\nx\r\n", "0\r\n", "A", "0\r\nA: b\r\n", ""]),
        cuts in cuts(),
    ) {
        let whole = decode(&input, [input.len()]);
        prop_assert_eq!(&decode(&input, ends(input.len(), &cuts)), &whole);
        prop_assert_eq!(&decode(&input, 0..=input.len()), &whole);
    }

    #[test]
    fn any_body_in_any_chunks_comes_back(
        body in prop::collection::vec(any::<u8>(), 0..2000),
        chunks in cuts(),
        cuts in cuts(),
        follows in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut coded = Vec::new();
        let mut at = 0;
        for end in ends(body.len(), &chunks) {
            if end > at {
                let mut size = [0; 18];
                let length = chunk_head(end - at, &mut size);
                coded.extend_from_slice(&[&size[..length], &body[at..end], b"\r\n"].concat());
                at = end;
            }
        }
        coded.extend_from_slice(b"0\r\n\r\n");
        let length = coded.len();
        coded.extend_from_slice(&follows);
        let expected = format!("{body:?} {:?} {length}", [0_u8; 0]);
        prop_assert_eq!(decode(&coded, ends(coded.len(), &cuts)), expected);
    }

    #[test]
    fn a_normal_path_is_normal(
        pieces in prop::collection::vec(prop::sample::select(&[
            "/", "/", "//", ".", "..", "/.", "/..", "%2e", "%2E", "%2f", "%5C", "%25", "%41", "%c3", "%a9",
            "%20", "%3b", ";", "a", "b", "~", "%7e", "=", "|", "%zz", "\\",
        ][..]), 0..12),
        encoded_slash in prop::sample::select(&[EncodedSlash::Reject, EncodedSlash::Keep, EncodedSlash::Decode][..]),
        merge_slashes: bool,
    ) {
        let path = format!("/{}", pieces.concat()).into_bytes();
        let rules = Rules { encoded_slash, merge_slashes };
        let mut out = Vec::new();
        let normal = match path::normalise(&path, &rules, &mut out) {
            Ok(Normalised::Changed) => out,
            Ok(Normalised::Unchanged) => path,
            Err(_) => return Ok(()),
        };
        let text = String::from_utf8(normal.clone()).unwrap();
        prop_assert!(text.starts_with('/'));
        prop_assert!(!merge_slashes || !text.contains("//"), "{}", text);
        prop_assert!(!text.split('/').any(|segment| matches!(segment, "." | "..")), "{}", text);
        let escapes = text.matches('%').count();
        prop_assert!(escapes == 0 || text.split('%').skip(1).all(|e| !e[..2].contains(char::is_lowercase)));
        let mut again = Vec::new();
        prop_assert_eq!(path::normalise(&normal, &rules, &mut again), Ok(Normalised::Unchanged));
    }

    #[test]
    fn no_bytes_make_a_small_parser_panic(input in prop::collection::vec(any::<u8>(), 0..80)) {
        let rules = Rules { encoded_slash: EncodedSlash::Decode, merge_slashes: true };
        let mut out = Vec::new();
        if path::normalise(&input, &rules, &mut out).is_ok() {
            prop_assert!(out.len() <= input.len() + 1);
        }
        if let Some(authority) = host::parse(&input) {
            prop_assert!(input.starts_with(authority.name) && authority.port != Some(0));
        }
        prop_assert!(query::decode(&input).len() <= input.len());
        decode(&input, 0..=input.len());
    }
}
