//! `body`: rules for the content of requests.

/// Rules for the content of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRules {
    /// Longest content that is taken, bytes.
    pub max: Option<u64>,
    /// Whether it is received as a whole before a server is asked.
    pub buffer: Option<BodyBuffer>,
}

/// How the content of requests is received before a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyBuffer {
    /// Most bytes for one request.
    pub memory: u64,
    /// Most bytes for all requests at the same time, of all workers.
    pub total: u64,
    /// What happens where that is not enough.
    pub beyond: Beyond,
}

/// What happens to content that is more than may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It is passed on as it comes.
    Stream,
    /// It is refused: 413 where a request is too long, 503 where all together are.
    Refuse,
}
