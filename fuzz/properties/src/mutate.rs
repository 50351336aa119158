//! Seeded mutations: the same seed makes the same input, so that a failure can be had again without
//! a fuzzer.

/// A small generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.number().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn pick<'t, T: ?Sized>(&mut self, several: &[&'t T]) -> &'t T {
        several[self.below(several.len())]
    }
}

/// Pieces on which parsers differ.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b":",
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b"%",
    b"/",
    b"..",
    b"?",
    b"#",
    b"$",
    b"{",
    b"[",
    b"-",
    b"+",
    b"0",
    b"0\r\n\r\n",
    b"1",
    b"f",
    b"0x",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: a\r\n",
    b"X_Forwarded_For: 1\r\n",
    b"GET /in HTTP/1.1\r\nHost: a\r\n\r\n",
    b"chunked",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"*",
    b"http://a",
    b"%2e",
    b"%2f",
    b"%25",
    b"9999999999",
];

/// Bytes at which a message is taken apart.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | b':' | b';' | b',' | b'=' | b'/' | b'%' | b'0')
}

/// Changes `input` in one to four places, mostly beside its delimiters.
pub fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = place(input, random);
        match random.below(9) {
            0 => drop(input.drain(at..(at + 1).min(input.len()))),
            1 => drop(input.drain(at..(at + 1 + random.below(8)).min(input.len()))),
            2 => insert(input, at, random.pick(PIECES)),
            3 => insert(input, at, random.pick(PIECES)),
            4 => {
                let end = (at + 1 + random.below(12)).min(input.len());
                let again = input[at..end].to_vec();
                insert(input, at, &again);
            }
            5 if at + 1 < input.len() => input.swap(at, at + 1),
            6 if at < input.len() => input[at] = random.number() as u8,
            7 if at < input.len() => input[at] ^= 1 << random.below(8),
            8 if random.one_in(4) => input.truncate(at),
            _ => insert(input, at, &[random.number() as u8]),
        }
    }
}

/// Anywhere, but rather at a delimiter.
fn place(input: &[u8], random: &mut Random) -> usize {
    let at = random.below(input.len() + 1);
    if random.one_in(3) {
        return at;
    }
    let after = input.iter().skip(at).position(|byte| is_delimiter(*byte)).unwrap_or(0);
    (at + after + random.below(2)).min(input.len())
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
