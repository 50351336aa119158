//! Finds the end of a head as its bytes arrive, looking at each byte once.

/// Where the next look begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Empty lines before the start line (RFC 9112 §2.2).
    pub(crate) start: usize,
    /// Everything before is lines that end with CRLF.
    line: usize,
    /// Looked at up to here.
    seen: usize,
    /// End of the start line, once seen (its CRLF included).
    pub(crate) first_line: usize,
}

/// Why the bytes so far cannot become a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// LF without CR, or more than two empty lines first.
    Line,
    /// The start line is too long.
    FirstLine,
    /// The head is too long.
    Head,
}

/// Empty lines before the start line that are ignored.
const EMPTY_MAX: usize = 2;

impl Scan {
    /// The end of the head (its last empty line included), once it is there.
    pub(crate) fn find_end(
        &mut self,
        bytes: &[u8],
        line_max: usize,
        head_max: usize,
    ) -> Result<Option<usize>, ScanError> {
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + found;
            self.seen = end + 1;
            if end == self.line || bytes.get(end - 1) != Some(&b'\r') {
                return Err(ScanError::Line);
            }
            let is_empty = end == self.line + 1;
            self.line = end + 1;
            match (is_empty, self.first_line) {
                (true, 0) => {
                    self.start = self.line;
                    if self.start > EMPTY_MAX * 2 {
                        return Err(ScanError::Line);
                    }
                }
                (true, _) if self.line - self.start > head_max => return Err(ScanError::Head),
                (true, _) => return Ok(Some(self.line)),
                (false, 0) => {
                    self.first_line = self.line;
                    if self.line - self.start > line_max {
                        return Err(ScanError::FirstLine);
                    }
                }
                (false, _) => {}
            }
        }
        self.seen = bytes.len();
        if self.first_line == 0 && self.seen - self.start > line_max {
            return Err(ScanError::FirstLine);
        }
        if self.seen - self.start > head_max {
            return Err(ScanError::Head);
        }
        Ok(None)
    }
}
