//! As much of HPACK (RFC 7541) as a client needs that wants to be sure what it sends: literals
//! without indexing, and whatever else is asked for byte by byte; and of an answer its status.

/// A header block being written.
#[derive(Clone, Debug, Default)]
pub struct Block(Vec<u8>);

impl Block {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A GET of `/` from `http://test/`.
    pub fn get() -> Self {
        Self::request("GET", "/")
    }

    /// A request's pseudo-fields.
    pub fn request(method: &str, path: &str) -> Self {
        Self::new()
            .field(":method", method)
            .field(":scheme", "http")
            .field(":path", path)
            .field(":authority", "test")
    }

    /// A field as a literal without indexing, new name (RFC 7541 §6.2.2).
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.push(0);
        self.string(name.as_bytes()).string(value.as_ref())
    }

    /// A field as a literal that enters the dynamic table, new name (§6.2.1).
    #[must_use]
    pub fn indexed_field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.push(0x40);
        self.string(name.as_bytes()).string(value.as_ref())
    }

    /// A field of a table (§6.1).
    #[must_use]
    pub fn index(mut self, index: u32) -> Self {
        integer(&mut self.0, 0x80, 7, index);
        self
    }

    /// A dynamic table size update (§6.3).
    #[must_use]
    pub fn table_size(mut self, size: u32) -> Self {
        integer(&mut self.0, 0x20, 5, size);
        self
    }

    /// Any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn string(mut self, bytes: &[u8]) -> Self {
        integer(&mut self.0, 0, 7, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An integer with a prefix of `bits` bits (§5.1).
fn integer(to: &mut Vec<u8>, first: u8, bits: u8, value: u32) {
    let max = (1_u32 << bits) - 1;
    if value < max {
        to.push(first | value as u8);
        return;
    }
    to.push(first | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        to.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// The status that a block begins with, for who has allowed no dynamic table.
pub fn status(block: &[u8]) -> Option<u16> {
    let mut block = block;
    // Size updates come first.
    while let Some((0x20..=0x3f, rest)) = block.split_first() {
        block = rest;
    }
    let (first, rest) = block.split_first()?;
    let known = [200, 204, 206, 304, 400, 404, 500];
    match first {
        0x88..=0x8e => known.get(usize::from(first - 0x88)).copied(),
        // A literal whose name is one of the seven static entries of `:status`.
        0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e => {
            let (length, rest) = rest.split_first()?;
            let text = rest.get(..usize::from(length & 0x7f))?;
            let digits = if length & 0x80 == 0 { text.to_vec() } else { huffman_digits(text) };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits in the code of appendix B: `0` to `2` have five bits, the others six.
fn huffman_digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let mut digits = Vec::new();
    let mut rest = bits.as_slice();
    let value = |bits: &[u8]| bits.iter().fold(0_u8, |all, bit| all << 1 | bit);
    while let Some(five) = rest.get(..5) {
        let (digit, length) = match (value(five), rest.get(..6).map(value)) {
            (short @ 0..=2, _) => (b'0' + short, 5),
            (_, Some(long @ 0x19..=0x1f)) => (b'3' + long - 0x19, 6),
            _ => break, // padding
        };
        digits.push(digit);
        rest = rest.get(length..).unwrap_or_default();
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_however_they_are_written() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8c, 0x00]), Some(400));
        assert_eq!(status(b"\x08\x03503"), Some(503));
        // RFC 7541 appendix C.6.1: 302.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[]), None);
    }

    #[test]
    fn long_integers_take_more_bytes() {
        // RFC 7541 appendix C.1.2.
        let mut bytes = Vec::new();
        integer(&mut bytes, 0, 5, 1337);
        assert_eq!(bytes, [0x1f, 0x9a, 0x0a]);
    }
}
