//! `compress` and `decompress`: content codings of responses.

/// Compression of responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// Codings, in order of preference; not empty, none twice.
    pub encodings: Vec<Encoding>,
    /// Which media types.
    pub types: Vec<TypePattern>,
    /// A content known to be shorter is left as it is, bytes.
    pub min_size: u64,
    /// How hard it is tried.
    pub levels: Levels,
    /// Most responses compressed at the same time, by all workers.
    pub concurrent: u32,
}

/// A content coding (RFC 9110 §8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    /// As written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// How hard each coding tries; more costs time and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// 1 to 12.
    pub zstd: u32,
    /// 0 to 9.
    pub br: u32,
    /// 1 to 9.
    pub gzip: u32,
}

/// A media type, with a `*` in it for any text; lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern {
    /// What it begins with.
    pub before: String,
    /// What it ends with after any text; `None` if it is given in full.
    pub after: Option<String>,
}

impl TypePattern {
    /// As written.
    pub fn text(&self) -> String {
        match &self.after {
            Some(after) => format!("{}*{after}", self.before),
            None => self.before.clone(),
        }
    }

    /// Whether a media type, without parameters and in any case, is one of these.
    pub fn matches(&self, media_type: &[u8]) -> bool {
        let Some(after) = &self.after else {
            return media_type.eq_ignore_ascii_case(self.before.as_bytes());
        };
        let (before, after) = (self.before.as_bytes(), after.as_bytes());
        let Some((begin, rest)) = media_type.split_at_checked(before.len()) else { return false };
        let Some(at) = rest.len().checked_sub(after.len()) else { return false };
        let end = rest.get(at..).unwrap_or_default();
        begin.eq_ignore_ascii_case(before) && end.eq_ignore_ascii_case(after)
    }
}

/// Decompression of responses for clients that cannot do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decompress {
    /// Most bytes that a content may become; a longer one is broken off.
    pub max: Option<u64>,
    /// Most responses decompressed at the same time, by all workers.
    pub concurrent: u32,
}
