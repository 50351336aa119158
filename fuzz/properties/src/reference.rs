//! A second reading of HTTP/1.1 messages, strict and naive: heads by `httparse`, bodies straight
//! from RFC 9112 §6 and §7.1. Shares no code with the codec, so that it cannot share its mistakes.

/// What a chunked body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunked {
    /// It is all there: its payload, and how many bytes it took.
    Done(Vec<u8>, usize),
    /// As far as it is there nothing is wrong with its complete lines; the payload so far.
    Partial(Vec<u8>),
    /// It breaks a rule.
    Wrong,
}

/// Bytes of all chunk extensions together.
const EXTENSIONS_MAX: usize = 4 * 1024;
/// Bytes and lines of a trailer section.
const TRAILERS_MAX: (usize, usize) = (8 * 1024, 100);

/// Reads a chunked body from its beginning.
pub fn chunked(input: &[u8]) -> Chunked {
    let (mut payload, mut at, mut extensions) = (Vec::new(), 0, 0);
    loop {
        let Some(length) = find(&input[at..], b"\r\n") else { return Chunked::Partial(payload) };
        let line = &input[at..at + length];
        at += length + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(digits);
        extensions += extension.len();
        let size = std::str::from_utf8(digits).map(|text| u64::from_str_radix(text, 16));
        let Ok(Ok(size)) = size else { return Chunked::Wrong };
        let is_wrong = digits.len() > 16
            || size >= 1 << 56
            || !is_extensions(extension)
            || extensions > EXTENSIONS_MAX;
        if is_wrong {
            return Chunked::Wrong;
        }
        if size == 0 {
            break;
        }
        let data = &input[at..];
        let here = usize::try_from(size).unwrap_or(usize::MAX).min(data.len());
        payload.extend_from_slice(&data[..here]);
        at += here;
        match &input[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Chunked::Partial(payload),
            _ => return Chunked::Wrong,
        }
    }
    trailers(input, at, payload)
}

fn trailers(input: &[u8], begin: usize, payload: Vec<u8>) -> Chunked {
    let (mut at, mut lines) = (begin, 0);
    loop {
        let Some(length) = find(&input[at..], b"\r\n") else { return Chunked::Partial(payload) };
        let line = &input[at..at + length];
        at += length + 2;
        if at - begin > TRAILERS_MAX.0 {
            return Chunked::Wrong;
        }
        if line.is_empty() {
            return Chunked::Done(payload, at);
        }
        lines += 1;
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let is_right = is_token(&line[..colon]) && line.iter().all(|byte| is_text(*byte));
        if !is_right || lines > TRAILERS_MAX.1 {
            return Chunked::Wrong;
        }
    }
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
fn is_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = skip_space(text).strip_prefix(b";") else { return false };
        let rest = skip_space(rest);
        let name = token_length(rest);
        if name == 0 {
            return false;
        }
        text = &rest[name..];
        if let Some(value) = skip_space(text).strip_prefix(b"=") {
            let value = skip_space(value);
            let length = match value.first() {
                Some(b'"') => quoted_length(value),
                _ => token_length(value),
            };
            if length == 0 {
                return false;
            }
            text = &value[length..];
        }
    }
    true
}

fn quoted_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' if text.get(at + 1).is_some_and(|next| is_text(*next)) => at += 2,
            b'\\' => return 0,
            _ if is_text(*byte) => at += 1,
            _ => return 0,
        }
    }
    0
}

fn skip_space(text: &[u8]) -> &[u8] {
    let space = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[space..]
}

fn token_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_token_byte(**byte)).count()
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_length(text) == text.len()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    text.windows(piece.len()).position(|window| window == piece)
}
