//! Known bugs, real ones of the past, that a test can put back to see whether it would notice.
//! Without the feature `plant`, which no shipped build has, every question is answered by a
//! constant `false` and nothing of them is compiled.

/// One bug, and where the world met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `Content-Length` wins over `Transfer-Encoding` (CL.TE; CVE-2026-2835 and many before).
    LengthBesideCoding,
    /// Of several `Content-Length`s the first counts.
    FirstOfTwoLengths,
    /// Whatever ends in `chunked` is chunked (http-garden, several).
    CodingByEnding,
    /// A `Content-Length` beyond 64 bits wraps around.
    LengthWraps,
    /// A chunk size beyond 64 bits wraps around (CVE-2021-32714).
    ChunkSizeWraps,
    /// A size line may end with LF alone (CVE-2025-22871).
    BareLfAfterChunkSize,
    /// Any two bytes end a chunk (Puma, Cheroot).
    ChunkEndUnchecked,
    /// What is no digit of a chunk size is skipped (`0x5`, `5_0`).
    JunkInChunkSize,
    /// A CR in a chunk extension is taken as part of it.
    ControlInExtension,
    /// Every trailer is passed on (trailer merging).
    TrailersPass,
    /// `Name : value` is the field `Name` (CVE-2023-40518).
    SpaceBeforeColon,
    /// Of several `Host`s the first counts.
    TwoHosts,
    /// The target's authority and `Host` may differ.
    HostMismatch,
    /// Paths are matched and forwarded as they came (CVE-2019-9901).
    DotSegmentsPass,
    /// An offer of h2c is passed on (h2c smuggling).
    H2cPasses,
    /// A 101 that nobody asked for becomes a tunnel.
    UnaskedUpgrade,
    /// The answer to HEAD is read as if it had content.
    HeadHasContent,
    /// What `Connection` names is passed on (CVE-2022-31813).
    NominatedFieldsPass,
    /// The client's own `X-Forwarded-For` is passed on (CVE-2024-45806).
    ForgedAddressPasses,
    /// After an answer of our own the request's unread content is read as the next request (CVE-2025-4366).
    AnsweredContentIsARequest,
    /// A server's connection is kept although it was not given the whole request (HAProxy d12edebe4).
    ReuseBeforeRequestSent,
    /// A server's connection is kept although bytes follow the answer.
    ReuseWithExtraBytes,
    /// A kept connection is used although something has arrived on it.
    ReuseUnread,
    /// A server that took over a slot inherits its predecessor's connections.
    ReuseOfAnotherServer,
    /// A POST is sent again when a kept connection breaks.
    RepeatsPosts,
    /// A request is sent again although part of its content has passed through.
    ReplaysHalfAContent,
    /// An answer that broke off is given a proper end (nginx `proxy_unfinished`).
    CutContentEndsWell,
    /// Interim answers are passed on without end.
    EndlessInterim,
    /// What a short write did not take is lost.
    ShortWriteForgets,
    /// A request that arrived with the one before is lost.
    PipelinedIsDropped,
    /// A request that is abandoned stays in its server's load.
    LoadLeaks,
    /// A connection that ends while draining is not uncounted (HAProxy f1064c738).
    CountLeaks,
    /// Each byte of a head renews its time (Slowloris).
    SlowHeadForEver,
    /// The time for a server's answer begins anew at each wake-up.
    SilenceForEver,
    /// A pool that is carried over keeps its old servers.
    ChangeIsForgotten,
    /// When one side of a tunnel ends, the other is not told (HAProxy 3cf4e7afb).
    HalfCloseIsLost,
    /// Retries and hedges have no bound (retry storms; Envoy before budgets).
    BudgetIgnored,
    /// A POST is sent again when a server answers 503 (nginx before 1.9.13).
    StatusRepeatsPosts,
    /// A second server is asked for a POST while the first still works on it.
    HedgesPosts,
    /// Who loses a race stays in its server's load.
    HedgeKeepsLease,
    /// The connection of who loses a race is kept, and its answer is the next one's.
    HedgeLoserIsKept,
    /// Nobody wakes who waits for a server, and who waits does not look again.
    QueueForgets,
    /// Who has left the queue still stands in it.
    QueueLeavesTicket,
    /// Who has left the queue is still counted.
    WaitingLeaks,
    /// A server's limit on requests is read and not applied.
    LimitIgnored,
    /// A new configuration enables what was disabled and ejected (HAProxy's reloads without a state file).
    StandingIsForgotten,
    /// A client's cookie is not read.
    StickyForgotten,
    /// A client whose server is gone is not bound to the one that stood in.
    NeverRebound,
    /// A slow answer is given up although nobody else may be asked.
    LateIsOver,
    /// What runs at a drained server goes on beyond the deadline.
    CutForgotten,
    /// After an answer that nobody gets its connection is kept with the rest of it.
    DiscardKeepsUnread,
    /// Another try goes to the server that has just failed.
    TriesSameServer,
    /// Who cannot be served now is not told when to come back.
    RetryAfterForgotten,
    /// The token that binds a client is shown to servers.
    CookieReachesServers,
}

impl Bug {
    /// All of them, with their names.
    pub const ALL: &[(&str, Self)] = &[
        ("length-beside-coding", Self::LengthBesideCoding),
        ("first-of-two-lengths", Self::FirstOfTwoLengths),
        ("coding-by-ending", Self::CodingByEnding),
        ("length-wraps", Self::LengthWraps),
        ("chunk-size-wraps", Self::ChunkSizeWraps),
        ("bare-lf-after-chunk-size", Self::BareLfAfterChunkSize),
        ("chunk-end-unchecked", Self::ChunkEndUnchecked),
        ("junk-in-chunk-size", Self::JunkInChunkSize),
        ("control-in-extension", Self::ControlInExtension),
        ("trailers-pass", Self::TrailersPass),
        ("space-before-colon", Self::SpaceBeforeColon),
        ("two-hosts", Self::TwoHosts),
        ("host-mismatch", Self::HostMismatch),
        ("dot-segments-pass", Self::DotSegmentsPass),
        ("h2c-passes", Self::H2cPasses),
        ("unasked-upgrade", Self::UnaskedUpgrade),
        ("head-has-content", Self::HeadHasContent),
        ("nominated-fields-pass", Self::NominatedFieldsPass),
        ("forged-address-passes", Self::ForgedAddressPasses),
        ("answered-content-is-a-request", Self::AnsweredContentIsARequest),
        ("reuse-before-request-sent", Self::ReuseBeforeRequestSent),
        ("reuse-with-extra-bytes", Self::ReuseWithExtraBytes),
        ("reuse-unread", Self::ReuseUnread),
        ("reuse-of-another-server", Self::ReuseOfAnotherServer),
        ("repeats-posts", Self::RepeatsPosts),
        ("replays-half-a-content", Self::ReplaysHalfAContent),
        ("cut-content-ends-well", Self::CutContentEndsWell),
        ("endless-interim", Self::EndlessInterim),
        ("short-write-forgets", Self::ShortWriteForgets),
        ("pipelined-is-dropped", Self::PipelinedIsDropped),
        ("load-leaks", Self::LoadLeaks),
        ("count-leaks", Self::CountLeaks),
        ("slow-head-for-ever", Self::SlowHeadForEver),
        ("silence-for-ever", Self::SilenceForEver),
        ("change-is-forgotten", Self::ChangeIsForgotten),
        ("half-close-is-lost", Self::HalfCloseIsLost),
        ("budget-ignored", Self::BudgetIgnored),
        ("status-repeats-posts", Self::StatusRepeatsPosts),
        ("hedges-posts", Self::HedgesPosts),
        ("hedge-keeps-lease", Self::HedgeKeepsLease),
        ("hedge-loser-is-kept", Self::HedgeLoserIsKept),
        ("queue-forgets", Self::QueueForgets),
        ("queue-leaves-ticket", Self::QueueLeavesTicket),
        ("waiting-leaks", Self::WaitingLeaks),
        ("limit-ignored", Self::LimitIgnored),
        ("standing-is-forgotten", Self::StandingIsForgotten),
        ("sticky-forgotten", Self::StickyForgotten),
        ("never-rebound", Self::NeverRebound),
        ("late-is-over", Self::LateIsOver),
        ("cut-forgotten", Self::CutForgotten),
        ("discard-keeps-unread", Self::DiscardKeepsUnread),
        ("tries-same-server", Self::TriesSameServer),
        ("retry-after-forgotten", Self::RetryAfterForgotten),
        ("cookie-reaches-servers", Self::CookieReachesServers),
    ];
}

#[cfg(feature = "plant")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Puts a bug back, on this thread; or none.
#[cfg(feature = "plant")]
pub fn set(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is there.
#[inline(always)]
pub fn is(bug: Bug) -> bool {
    #[cfg(feature = "plant")]
    return PLANTED.get() == Some(bug);
    #[cfg(not(feature = "plant"))]
    {
        let _ = bug;
        false
    }
}
