//! Unidirectional streams (RFC 9114 §6.2): our control stream, and what a peer says on its own. Owns
//! which of them there may be; what is said is `codec::h3`'s.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use evenkeel_codec::h3::{
    Code, Control, DecoderStream, EncoderStream, Event, Settings, StreamKind, goaway_frame,
    settings_frame, varint, varint_length,
};
use evenkeel_runtime::Timer;
use quinn::{Connection, RecvStream, SendStream};

use super::{close, code};

/// What is read of such a stream at once.
const PIECE: usize = 512;

/// The one on which we speak; it stays open for as long as the connection (§6.2.1).
pub(crate) struct ControlStream {
    stream: SendStream,
}

impl ControlStream {
    /// Opens it with our settings; `None` if the client does not let us in time.
    pub(crate) async fn open(
        connection: &Connection,
        settings: &Settings,
        deadline: Instant,
    ) -> Option<Self> {
        // The client allows at least three (§6.2), or breaks the rules.
        let mut opening = std::pin::pin!(connection.open_uni());
        let timer = Timer::new();
        timer.set(deadline);
        let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
            Poll::Ready(opened) => Poll::Ready(opened.ok()),
            Poll::Pending => timer.poll_expired(cx).map(|()| None),
        });
        let mut control = Self { stream: opened.await? };
        control.say(&settings_frame(settings), deadline).await.then_some(control)
    }

    /// Requests on streams from `stream` on will not be served (§5.2); whether it could be said.
    pub(crate) async fn say_goaway(&mut self, stream: u64, deadline: Instant) -> bool {
        self.say(&goaway_frame(stream), deadline).await
    }

    async fn say(&mut self, mut bytes: &[u8], deadline: Instant) -> bool {
        let timer = Timer::new();
        timer.set(deadline);
        poll_fn(|cx| {
            while !bytes.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                    Poll::Ready(Ok(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => return timer.poll_expired(cx).map(|()| false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }
}

/// What was heard of a peer's own streams.
#[derive(Default)]
pub(crate) struct Hearing {
    /// The peer is a server.
    of_server: bool,
    /// A bit for each kind that there is one of.
    kinds: Cell<u8>,
    settings: Cell<Option<Settings>>,
    goaway: Cell<Option<u64>>,
    /// Who waits for its settings or its end: streams by their number, the connection as `u64::MAX`.
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

/// The place among those who wait of who is no stream.
pub(crate) const CONNECTION: u64 = u64::MAX;

impl Hearing {
    /// Of a server.
    pub(crate) fn of_server() -> Self {
        Self { of_server: true, ..Self::default() }
    }

    /// What the peer has said about itself, once it has.
    pub(crate) fn settings(&self) -> Option<Settings> {
        self.settings.get()
    }

    /// The peer leaves: what is on streams from this one on is not served (RFC 9114 §5.2).
    pub(crate) fn goaway(&self) -> Option<u64> {
        self.goaway.get()
    }

    /// Wakes the task of stream `who`, or of the [`CONNECTION`], when something is heard.
    pub(crate) fn watch(&self, who: u64, cx: &mut Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.get_mut(&who) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => drop(waiting.insert(who, cx.waker().clone())),
        }
    }

    /// It does not wait any more.
    pub(crate) fn forget(&self, who: u64) {
        self.waiting.borrow_mut().remove(&who);
    }

    fn note(&self, event: Event) {
        match event {
            Event::Settings(settings) => self.settings.set(Some(settings)),
            Event::Goaway(stream) => self.goaway.set(Some(stream)),
        }
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// What a peer says on one of its streams.
enum Voice {
    Control(Control),
    Encoder(EncoderStream),
    Decoder(DecoderStream),
}

/// Hears a stream to its end; what is wrong with it ends the connection.
pub(crate) async fn hear(heard: Rc<Hearing>, connection: Connection, mut stream: RecvStream) {
    if let Err(code) = listen(&heard, &mut stream).await {
        tracing::debug!(peer = %connection.remote_address(), ?code, "HTTP/3 rules broken");
        close(&connection, code);
    }
}

async fn listen(heard: &Hearing, stream: &mut RecvStream) -> Result<(), Code> {
    let Some(kind) = read_kind(stream).await else { return Ok(()) }; // it may end before that (§6.2)
    let mut voice = match StreamKind::of(kind) {
        StreamKind::Control if heard.of_server => Voice::Control(Control::of_server()),
        StreamKind::Control => Voice::Control(Control::default()),
        StreamKind::QpackEncoder => Voice::Encoder(EncoderStream),
        StreamKind::QpackDecoder => Voice::Decoder(DecoderStream::default()),
        StreamKind::Push if heard.of_server => return Err(Code::IdError), // nobody allowed it (§4.6)
        StreamKind::Push => return Err(Code::StreamCreationError), // only servers push (§6.2.2)
        StreamKind::Unknown => {
            let _ = stream.stop(code(Code::StreamCreationError)); // §6.2.3
            return Ok(());
        }
    };
    // One of each (§6.2.1, RFC 9204 §4.2).
    let bit = 1 << (kind & 3);
    if heard.kinds.replace(heard.kinds.get() | bit) & bit != 0 {
        return Err(Code::StreamCreationError);
    }
    let mut room = [0; PIECE];
    loop {
        let read = match poll_fn(|cx| stream.poll_read(cx, &mut room)).await {
            Ok(0) | Err(quinn::ReadError::Reset(_)) => return Err(Code::ClosedCriticalStream),
            Ok(read) => read,
            Err(_) => return Ok(()), // the connection is gone
        };
        let mut bytes = room.get(..read).unwrap_or_default();
        match &mut voice {
            Voice::Control(control) => {
                while !bytes.is_empty() {
                    let (event, rest) = control.feed(bytes)?;
                    bytes = rest;
                    event.into_iter().for_each(|event| heard.note(event));
                }
            }
            Voice::Encoder(encoder) => encoder.feed(bytes)?,
            Voice::Decoder(decoder) => decoder.feed(bytes)?,
        }
    }
}

/// The integer that a stream begins with.
async fn read_kind(stream: &mut RecvStream) -> Option<u64> {
    let mut bytes = [0; 8];
    let mut have = 0;
    loop {
        let wanted = if have == 0 { 1 } else { varint_length(*bytes.first()?) };
        let room = bytes.get_mut(have..wanted)?;
        if room.is_empty() {
            return varint(bytes.get(..have)?).map(|(kind, _)| kind);
        }
        have += match poll_fn(|cx| stream.poll_read(cx, room)).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => read,
        };
    }
}
