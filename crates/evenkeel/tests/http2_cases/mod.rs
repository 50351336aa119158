//! What a case of conformance is: frames that a client sends, and what RFC 9113 says must come of it.
//! The cases themselves are in the files beside this one.

use evenkeel_tools::frames::{Client, Frame, Settled, flag, kind};

mod connection;
mod frames;
mod hpack;
mod messages;

/// What must come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The stream is answered with 200, and the connection lives.
    Answer,
    /// The connection lives; nothing is said of the stream.
    Alive,
    /// A stream error (§5.4.2) with one of these codes; the connection may end instead, with the same.
    Stream(&'static [u32]),
    /// A connection error (§5.4.1) with one of these codes. One that is closed at once says enough.
    Connection(&'static [u32]),
    /// As a stream error of type PROTOCOL_ERROR, or answered with 400: malformed (§8.1.1).
    Refused,
    /// The script has seen to everything itself: `true` if all was as it must be.
    Seen,
}

pub(crate) struct Case {
    /// Of RFC 9113, or of RFC 7541 with an H before it.
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
    /// Sends it, on a connection whose SETTINGS have been exchanged; the stream that matters.
    pub(crate) script: fn(&mut Client) -> u32,
    pub(crate) expect: Expect,
    /// What comes of it instead with the `h2` crate, and how that differs (docs/reliability.md).
    pub(crate) known: Option<(Expect, &'static str)>,
    /// That depends on what the crate still remembers of a stream: both happen.
    pub(crate) is_sometimes: bool,
}

impl Case {
    const fn new(
        section: &'static str,
        says: &'static str,
        expect: Expect,
        script: fn(&mut Client) -> u32,
    ) -> Self {
        Self { section, says, script, expect, known: None, is_sometimes: false }
    }

    const fn known(mut self, expect: Expect, why: &'static str) -> Self {
        self.known = Some((expect, why));
        self
    }

    const fn sometimes(mut self, expect: Expect, why: &'static str) -> Self {
        self.is_sometimes = true;
        self.known(expect, why)
    }
}

/// What a script says that has seen to everything itself.
pub(crate) const RIGHT: u32 = 1;
pub(crate) const WRONG: u32 = 0;

pub(crate) const fn seen(right: bool) -> u32 {
    if right { RIGHT } else { WRONG }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [connection::cases(), frames::cases(), messages::cases(), hpack::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// What came of a script is what is expected.
pub(crate) fn came(client: &mut Client, stream: u32, expect: Expect) -> Result<(), String> {
    match expect {
        Expect::Seen if stream == RIGHT => Ok(()),
        Expect::Seen => Err(format!("saw {:?}", client.seen)),
        Expect::Refused => match client.answer(stream) {
            Ok((400, _)) => Ok(()),
            Err(Some(frame)) if frame.code() == Some(1) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Expect::Answer => match client.answer(stream) {
            Ok((200, _)) => came(client, stream, Expect::Alive),
            other => Err(format!("{other:?}")),
        },
        Expect::Alive => match client.settle() {
            Settled::Alive => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Expect::Connection(codes) => match client.settle() {
            Settled::Goaway(code) if codes.contains(&code) => Ok(()),
            Settled::Closed => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Expect::Stream(codes) => match client.settle() {
            Settled::Alive => match reset(client, stream) {
                Some(code) if codes.contains(&code) => Ok(()),
                other => Err(format!("reset with {other:?}, saw {:?}", client.seen)),
            },
            Settled::Goaway(code) if codes.contains(&code) => Ok(()),
            Settled::Closed => Ok(()),
            other => Err(format!("{other:?}")),
        },
    }
}

/// A reset may come after the answer to a PING; an answer may come instead.
fn reset(client: &mut Client, stream: u32) -> Option<u32> {
    if let Some(code) = client.was_reset(stream) {
        return Some(code);
    }
    if client.was_answered(stream) {
        client.settle(); // PING overtakes what is reset
        return client.was_reset(stream);
    }
    let ends = |frame: &Frame| {
        let here = frame.stream == stream;
        let is_message = matches!(frame.kind, kind::DATA | kind::HEADERS);
        here && (frame.kind == kind::RST_STREAM || is_message && frame.has(flag::END_STREAM))
    };
    client.until(ends)?.code()
}
