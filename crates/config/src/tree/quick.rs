//! The YAML that nearly all of a large configuration is written in (maps, lists, single values, each
//! on its line), at a multiple of the speed of a whole parser. Owns no meaning of its own: what it
//! does not know for certain to mean the same it leaves to the parser, from the beginning, and a test
//! holds the two against each other.

use std::cmp::Ordering;

use super::DEPTH_MAX;

/// A part of a text, and where it is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'t> {
    pub(super) what: What<'t>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'t> {
    /// Text, and whether it was not quoted.
    Scalar(&'t str, bool),
    List,
    Map,
    ListEnd,
    MapEnd,
}

/// Longest key; the parser knows longer ones.
const KEY_MAX: usize = 256;

/// The parts of a text; `None` if there is anything in it that has to be read with more care.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    if !text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let mut quick = Quick { text, at: 0, column: 0, pieces: Vec::with_capacity(text.len() / 8) };
    quick.next_line(0)?;
    match quick.column {
        0 if quick.at < text.len() => quick.block(0)?,
        _ => return None,
    }
    (quick.at == text.len()).then_some(quick.pieces)
}

struct Quick<'t> {
    text: &'t str,
    /// At something that is no space, or at the end.
    at: usize,
    /// Of what is at `at`, if it is the first of its line, or what an item begins with.
    column: usize,
    pieces: Vec<Piece<'t>>,
}

impl<'t> Quick<'t> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn push(&mut self, what: What<'t>, start: usize, end: usize) {
        self.pieces.push(Piece { what, start, end });
    }

    fn is_item(&self) -> bool {
        self.byte(self.at) == Some(b'-') && self.byte(self.at + 1) == Some(b' ')
    }

    /// From the end of what is on this line to the beginning of the next that says something.
    fn next_line(&mut self, from: usize) -> Option<()> {
        let bytes = self.text.as_bytes();
        let (mut at, mut begin) = (from, if from == 0 { 0 } else { usize::MAX });
        loop {
            match bytes.get(at) {
                Some(b' ') => at += 1,
                Some(b'\n') => {
                    at += 1;
                    begin = at;
                }
                // A comment begins a line or follows a space.
                Some(b'#') if at == begin || bytes.get(at.wrapping_sub(1)) == Some(&b' ') => {
                    let length = line_length(bytes.get(at..)?);
                    at += length;
                }
                None => {
                    (self.at, self.column) = (bytes.len(), 0);
                    return Some(());
                }
                Some(_) if begin == usize::MAX => return None, // more on the same line
                Some(_) => {
                    (self.at, self.column) = (at, at - begin);
                    return Some(());
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.at >= self.text.len()
    }

    /// A map or a list whose keys or items are where we are.
    fn block(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.is_item() { self.items(depth, true) } else { self.entries(depth) }
    }

    fn items(&mut self, depth: usize, is_indented: bool) -> Option<()> {
        let column = self.column;
        // Where the parser sees the beginning of a list that is no further in than its key.
        let begin = if is_indented { self.at } else { self.skip_spaces(self.at + 1) };
        self.push(What::List, begin, begin + 1);
        while !self.is_over() && self.column == column && self.is_item() {
            let at = self.skip_spaces(self.at + 1);
            self.column += at - self.at;
            self.at = at;
            match self.key_end() {
                Some(_) => self.entries(depth + 1)?,
                None => self.inline(column, depth)?,
            }
        }
        self.end_block(What::ListEnd, column)
    }

    fn entries(&mut self, depth: usize) -> Option<()> {
        let column = self.column;
        self.push(What::Map, self.at, self.at);
        while !self.is_over() && self.column == column && !self.is_item() {
            let end = self.key_end()?;
            self.push(What::Scalar(self.text.get(self.at..end)?, true), self.at, end);
            let at = self.skip_spaces(end + 1);
            if matches!(self.byte(at), Some(b'\n' | b'#')) {
                self.next_line(at)?;
                match self.column.cmp(&column) {
                    _ if self.is_over() => return None, // nothing is written
                    Ordering::Greater => self.block(depth + 1)?,
                    Ordering::Equal if self.is_item() => self.items(depth + 1, false)?,
                    _ => return None,
                }
            } else {
                self.at = at;
                self.inline(column, depth)?;
            }
        }
        self.end_block(What::MapEnd, column)
    }

    /// What ends a block is less far in, or an item's end at the same column.
    fn end_block(&mut self, what: What<'t>, column: usize) -> Option<()> {
        if !self.is_over() && self.column > column {
            return None;
        }
        self.push(what, self.at, self.at);
        Some(())
    }

    /// A value on the rest of a line in a block at `column`.
    fn inline(&mut self, column: usize, depth: usize) -> Option<()> {
        let end = match self.byte(self.at)? {
            b'{' | b'[' => self.flow(self.at, depth + 1)?,
            _ => self.scalar(self.at, false)?,
        };
        self.next_line(end)?;
        // What is further in goes on with it.
        (self.is_over() || self.column <= column).then_some(())
    }

    /// Where the key ends that is where we are, if it is one.
    fn key_end(&self) -> Option<usize> {
        self.key_end_at(self.at)
    }

    fn key_end_at(&self, from: usize) -> Option<usize> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
        let rest = self.text.as_bytes().get(from..)?;
        let length = rest.iter().take(KEY_MAX).position(|byte| !is_word(byte))?;
        let begins = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let is_key = begins && rest.get(length) == Some(&b':');
        (is_key && matches!(rest.get(length + 1), Some(b' ' | b'\n'))).then_some(from + length)
    }

    /// A single value; where it ends.
    fn scalar(&mut self, from: usize, in_flow: bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(from..)?;
        let quote = *rest.first()?;
        if quote == b'"' || quote == b'\'' {
            let inside = rest.get(1..)?;
            let length =
                inside.iter().position(|byte| matches!(byte, b'\\' | b'\n') || *byte == quote)?;
            let end = from + 1 + length + 1;
            if inside.get(length) != Some(&quote) || self.byte(end) == Some(quote) {
                return None;
            }
            let text = self.text.get(from + 1..end - 1)?;
            self.push(What::Scalar(text, false), from, end);
            return Some(end);
        }
        if !(quote.is_ascii_alphanumeric() || b"/_.$^".contains(&quote)) {
            return None;
        }
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-$^*+=@%;~()<>|!".contains(&byte);
        let mut end = from;
        let mut at = from;
        loop {
            match self.byte(at) {
                Some(byte) if is_plain(byte) => {
                    at += 1;
                    end = at;
                }
                Some(b':') if self.byte(at + 1).is_some_and(is_plain) => {
                    at += 1;
                    end = at;
                }
                Some(b'{' | b'}' | b'?' | b'\\') if !in_flow => {
                    at += 1;
                    end = at;
                }
                Some(b' ') => {
                    at += 1;
                    if self.byte(at) == Some(b'#') {
                        break;
                    }
                }
                Some(b'\n') | None => break,
                Some(b',' | b'}' | b']') if in_flow => break,
                Some(_) => return None,
            }
        }
        self.push(What::Scalar(self.text.get(from..end)?, true), from, end);
        Some(end)
    }

    fn skip_spaces(&self, mut at: usize) -> usize {
        while self.byte(at) == Some(b' ') {
            at += 1;
        }
        at
    }

    /// A map or list in braces, on one line; where it ends.
    fn flow(&mut self, from: usize, depth: usize) -> Option<usize> {
        if depth > DEPTH_MAX {
            return None;
        }
        let is_map = self.byte(from) == Some(b'{');
        let (begin, end, close) = match is_map {
            true => (What::Map, What::MapEnd, b'}'),
            false => (What::List, What::ListEnd, b']'),
        };
        self.push(begin, from, from + 1);
        let mut at = self.skip_spaces(from + 1);
        let mut is_first = true;
        loop {
            if self.byte(at)? == close && is_first {
                break;
            }
            is_first = false;
            if is_map {
                let key_end = self.key_end_at(at)?;
                self.push(What::Scalar(self.text.get(at..key_end)?, true), at, key_end);
                at = self.skip_spaces(key_end + 1);
            } else if self.key_end_at(at).is_some() {
                return None; // a map of one entry
            }
            at = match self.byte(at)? {
                b'{' | b'[' => self.flow(at, depth + 1)?,
                _ => self.scalar(at, true)?,
            };
            at = self.skip_spaces(at);
            match self.byte(at)? {
                b',' => at = self.skip_spaces(at + 1),
                byte if byte == close => break,
                _ => return None,
            }
        }
        self.push(end, at, at + 1);
        Some(at + 1)
    }
}

/// Bytes up to the end of the line.
fn line_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}
