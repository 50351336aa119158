//! Unidirectional streams (RFC 9114 §6.2): our control stream, and what a client says on its own. Owns
//! which of them there may be; what is said is `codec::h3`'s.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use evenkeel_codec::h3::{
    Code, Control, DecoderStream, EncoderStream, Settings, StreamKind, goaway_frame,
    settings_frame, varint, varint_length,
};
use evenkeel_runtime::Timer;
use quinn::{Connection, RecvStream, SendStream};

use super::{Hearing, close, code};

/// What is read of such a stream at once.
const PIECE: usize = 512;

/// The one on which we speak; it stays open for as long as the connection (§6.2.1).
pub(super) struct ControlStream {
    stream: SendStream,
}

impl ControlStream {
    /// Opens it with our settings; `None` if the client does not let us in time.
    pub(super) async fn open(
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
    pub(super) async fn say_goaway(&mut self, stream: u64, deadline: Instant) -> bool {
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

/// What a client says on one of its streams.
enum Voice {
    Control(Control),
    Encoder(EncoderStream),
    Decoder(DecoderStream),
}

/// Hears a stream to its end; what is wrong with it ends the connection.
pub(super) async fn hear(heard: Rc<Hearing>, connection: Connection, mut stream: RecvStream) {
    if let Err(code) = listen(&heard, &mut stream).await {
        tracing::debug!(client = %connection.remote_address(), ?code, "HTTP/3 rules broken");
        close(&connection, code);
    }
}

async fn listen(heard: &Hearing, stream: &mut RecvStream) -> Result<(), Code> {
    let Some(kind) = read_kind(stream).await else { return Ok(()) }; // it may end before that (§6.2)
    let mut voice = match StreamKind::of(kind) {
        StreamKind::Control => Voice::Control(Control::default()),
        StreamKind::QpackEncoder => Voice::Encoder(EncoderStream),
        StreamKind::QpackDecoder => Voice::Decoder(DecoderStream::default()),
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
                    (_, bytes) = control.feed(bytes)?;
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
