//! Takes the lines of a head apart as its bytes arrive. Owns where a line ends and which bytes may
//! be in it at all, and looks at each byte once; what a line says is for its callers.

use crate::syntax::{find_control, is_token_byte};

/// How far into a head the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines {
    /// Where the start line begins, after the empty lines before it.
    start: usize,
    /// Where the current line begins.
    line: usize,
    /// Everything before has been looked at.
    seen: usize,
    /// The start line has been seen.
    begun: bool,
    /// From this byte of the start line on, control characters other than CR and LF are no error.
    free_from: Option<usize>,
}

/// What has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The start line, without its CRLF.
    Start { start: usize, end: usize },
    /// A line after it, without its CRLF.
    Field { start: usize, end: usize },
    /// The empty line; the head ends here.
    End(usize),
    /// More bytes are needed.
    Partial,
}

/// Why the bytes cannot be lines of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinesError {
    /// LF without CR, or too many empty lines first (RFC 9112 §2.2).
    LineEnd,
    /// A control character, such as CR without LF.
    Control,
    /// No start line begins so: a TLS handshake, white space, garbage.
    Garbage,
    /// The limit was reached.
    TooLong,
}

/// Bytes of empty lines before the start line that are ignored: two CRLF.
const EMPTY_MAX: usize = 4;

impl Lines {
    /// The start line has been seen.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// From byte `at` of the start line on, anything may come that does not end the line.
    pub(crate) fn free_start_line(&mut self, at: usize) {
        self.free_from = Some(at);
    }

    /// The next line. `max` bounds the bytes from the beginning of the start line to the end of
    /// this one; nothing beyond it is looked at, so that the verdict does not depend on how much
    /// has arrived.
    pub(crate) fn next(&mut self, bytes: &[u8], max: usize) -> Result<Line, LinesError> {
        loop {
            match bytes.get(self.line) {
                Some(b'\r' | b'\n') | None => {}
                Some(first) if !self.begun && !is_token_byte(*first) => {
                    return Err(LinesError::Garbage);
                }
                Some(_) => {}
            }
            let Some(end) = self.find_end(bytes, max)? else { return Ok(Line::Partial) };
            let start = std::mem::replace(&mut self.line, end + 2);
            self.seen = self.line;
            if start < end && self.begun {
                return Ok(Line::Field { start, end });
            }
            if start < end {
                self.begun = true;
                return Ok(Line::Start { start, end });
            }
            if self.begun {
                return Ok(Line::End(self.line));
            }
            self.start = self.line;
            if self.start > EMPTY_MAX {
                return Err(LinesError::LineEnd);
            }
        }
    }

    /// Where the CR of the current line's end is, once its LF has come too.
    fn find_end(&mut self, bytes: &[u8], max: usize) -> Result<Option<usize>, LinesError> {
        let stop = self.start.saturating_add(max).min(bytes.len());
        loop {
            let window = bytes.get(self.seen..stop).unwrap_or_default();
            let at = find_control(window).unwrap_or(window.len());
            self.seen += at;
            return match window.get(at..).unwrap_or_default() {
                [b'\r', b'\n', ..] => Ok(Some(self.seen)),
                [] | [b'\r'] if bytes.len() > stop => Err(LinesError::TooLong),
                [] | [b'\r'] => Ok(None),
                [b'\n', ..] => Err(LinesError::LineEnd),
                [byte, ..] if *byte != b'\r' && self.is_free() => {
                    self.seen += 1;
                    continue;
                }
                [_, ..] => Err(LinesError::Control),
            };
        }
    }

    /// Whether the byte that is being looked at is in the free part of the start line.
    fn is_free(&self) -> bool {
        let at = self.seen.saturating_sub(self.start);
        !self.begun && self.free_from.is_some_and(|free_from| at >= free_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";

    #[test]
    fn lines_come_one_by_one() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(HEAD, 99), Ok(Line::Start { start: 2, end: 16 }));
        assert_eq!(lines.next(HEAD, 99), Ok(Line::Field { start: 18, end: 25 }));
        assert_eq!(lines.next(HEAD, 99), Ok(Line::End(29)));
    }

    #[test]
    fn no_byte_is_looked_at_twice() {
        let mut lines = Lines::default();
        let line = [b'a'; 10_000];
        for length in 1..line.len() {
            assert_eq!(lines.next(&line[..length], usize::MAX), Ok(Line::Partial));
            assert_eq!(lines.seen, length, "the next look begins with the next byte");
        }
    }

    #[test]
    fn the_limit_counts_the_line_end_and_not_the_empty_lines_before() {
        for max in 0..40 {
            let mut lines = Lines::default();
            let line = lines.next(HEAD, max);
            match max {
                16.. => assert_eq!(line, Ok(Line::Start { start: 2, end: 16 })),
                _ => assert_eq!(line, Err(LinesError::TooLong)),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_line_are_refused_at_once() {
        for (bytes, error) in [
            (b"\x16\x03\x01".as_slice(), LinesError::Garbage),
            (b" GET", LinesError::Garbage),
            (b"\xff", LinesError::Garbage),
            (b"\n", LinesError::LineEnd),
            (b"\rG", LinesError::Control),
            (b"\r\n\r\n\r\n", LinesError::LineEnd),
            (b"GET /\n", LinesError::LineEnd),
            (b"GET /\rx", LinesError::Control),
            (b"GET /\0", LinesError::Control),
            (b"GET /\x7f", LinesError::Control),
        ] {
            assert_eq!(Lines::default().next(bytes, 99), Err(error), "{bytes:?}");
        }
    }
}
