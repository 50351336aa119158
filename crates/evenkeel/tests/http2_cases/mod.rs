//! What a case of conformance is: frames that a client sends, and what RFC 9113 says must come of it.
//! The cases themselves are in the files beside this one.

use evenkeel_tools::frames::{Client, Settled};

mod connection;
mod frames;
mod hpack;
mod messages;

/// What must come of it.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// The stream is answered with 200, and the connection lives.
    Answer,
    /// The connection lives; nothing is said of the stream.
    Alive,
    /// A stream error (§5.4.2) with one of these codes; the connection may end instead, with the same.
    Stream(&'static [u32]),
    /// A connection error (§5.4.1) with one of these codes. One that is closed at once says enough.
    Connection(&'static [u32]),
    /// The script has seen to everything itself: `true` if all was as it must be.
    Seen,
}

pub struct Case {
    /// Of RFC 9113, or of RFC 7541 with an H before it.
    pub section: &'static str,
    pub says: &'static str,
    /// Sends it, on a connection whose SETTINGS have been exchanged; the stream that matters.
    pub script: fn(&mut Client) -> u32,
    pub expect: Expect,
    /// What comes of it instead with the `h2` crate, and why that is no harm (docs/reliability.md).
    pub known: Option<(Expect, &'static str)>,
}

impl Case {
    const fn new(
        section: &'static str,
        says: &'static str,
        expect: Expect,
        script: fn(&mut Client) -> u32,
    ) -> Self {
        Self { section, says, script, expect, known: None }
    }

    const fn known(mut self, expect: Expect, why: &'static str) -> Self {
        self.known = Some((expect, why));
        self
    }
}

/// What a script says that has seen to everything itself.
pub const RIGHT: u32 = 1;
pub const WRONG: u32 = 0;

pub const fn seen(right: bool) -> u32 {
    if right { RIGHT } else { WRONG }
}

/// All of them.
pub fn all() -> Vec<Case> {
    [connection::cases(), frames::cases(), messages::cases(), hpack::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// What came of a script is what is expected.
pub fn came(client: &mut Client, stream: u32, expect: Expect) -> Result<(), String> {
    match expect {
        Expect::Seen if stream == RIGHT => Ok(()),
        Expect::Seen => Err(format!("saw {:?}", client.seen)),
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
            Settled::Alive => match client.was_reset(stream).or_else(|| reset(client, stream)) {
                Some(code) if codes.contains(&code) => Ok(()),
                other => Err(format!("reset with {other:?}, saw {:?}", client.seen)),
            },
            Settled::Goaway(code) if codes.contains(&code) => Ok(()),
            Settled::Closed => Ok(()),
            other => Err(format!("{other:?}")),
        },
    }
}

/// A reset may come after the answer to a PING: it waits for the exchange to notice.
fn reset(client: &mut Client, stream: u32) -> Option<u32> {
    client.until(|frame| frame.kind == 3 && frame.stream == stream)?.code()
}
