//! HTTP/3 with a server (RFC 9114): what carries a [`Link`]'s streams from the handshake to the last of
//! them: settings, the GOAWAY of the server, and what the connection's end means for the streams on it.
//! Verification is that of TLS over TCP ([`ClientTls`]); there is no fallback to it.

mod dialer;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::http::Request;
use evenkeel_balancer::Connection;
use evenkeel_codec::h3::{Code, Settings};
use evenkeel_runtime::{self as runtime, Timer};
use quinn::{ConnectionError, RecvStream, SendStream};

pub(crate) use self::dialer::Dialer;
pub(crate) use self::stream::{H3Receiving, H3Sending};
use super::link::{self, Link, STREAMS_MAX};
use crate::failure::Reason;
use crate::generation::KnownServer;
use crate::http::multiplex::client::{Broken as Failure, Loss, Receiving, Sending};
use crate::http::multiplex::h3::stream::{Broken, Inward, Outward};
use crate::http::multiplex::h3::uni::{self, CONNECTION, ControlStream, Hearing};
use crate::http::multiplex::h3::{close, section, wire_max};
use crate::http::upstream::connect::Progress;
use crate::http::upstream::flight::RESPONSE_LIMITS;
use crate::snapshot::PoolSettings;
use crate::tls::{self, Complaint};
use crate::worker::Worker;

/// Longest field section taken of a server.
pub(super) const SECTION_MAX: u64 = RESPONSE_LIMITS.head as u64;

/// See the module's head.
pub(super) struct Carrier {
    connection: quinn::Connection,
    local: SocketAddr,
    known: Rc<KnownServer>,
    hearing: Rc<Hearing>,
    settings: Settings,
    /// It stays open for as long as the connection.
    _control: ControlStream,
    /// Streams that were opened and not used: nothing of them was sent. QUIC says how many there may be
    /// by letting them be opened.
    places: RefCell<Vec<(SendStream, RecvStream)>>,
    retired: Cell<bool>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
}

/// What a stream is to become.
pub(super) struct Place(RefCell<Option<(SendStream, RecvStream)>>);

/// Why a stream goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum H3Broken {
    /// As for all streams.
    Stream(Broken),
    /// The server leaves and has not looked at it (RFC 9114 §5.2).
    Left,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::H3(H3Broken::Stream(broken))
    }
}

/// Connects to the first of the server's addresses that answers, and waits for its settings. Has no
/// time limit of its own.
pub(super) async fn begin(
    worker: &Worker,
    known: &Rc<KnownServer>,
    settings: &Arc<PoolSettings>,
    counted: Connection,
    progress: &Progress,
) -> Result<(Rc<Link>, Driver), Reason> {
    let timeout = settings.config.timeouts.connect;
    let deadline = runtime::now() + timeout;
    let connection = dialer::dial(worker, known, settings, timeout, progress).await?;
    let hearing = Rc::new(Hearing::of_server());
    runtime::spawn(listen(hearing.clone(), connection.clone()));
    let ours = Settings { field_section_max: SECTION_MAX, connect_protocol: false };
    let opened = ControlStream::open(&connection, &ours, deadline).await;
    let control = opened.ok_or_else(|| of_end(&connection))?;
    let mut closed = std::pin::pin!(connection.closed());
    let theirs = poll_fn(|cx| {
        hearing.watch(CONNECTION, cx);
        match hearing.settings() {
            Some(settings) => Poll::Ready(Ok(settings)),
            None => closed.as_mut().poll(cx).map(Err),
        }
    });
    let theirs = theirs.await.map_err(|error| complain(known, &error))?;
    let local = dialer::local(worker, &connection);
    let carrier = Carrier {
        connection: connection.clone(),
        local,
        known: known.clone(),
        hearing,
        settings: theirs,
        _control: control,
        places: RefCell::default(),
        retired: Cell::new(false),
        task: RefCell::default(),
    };
    let link = Link::new(link::Carrier::H3(Box::new(carrier)), settings.clone(), counted);
    Ok((link.clone(), Driver { link, connection: connection.clone() }))
}

/// Hears what the server says on its own, for as long as there is the connection.
async fn listen(hearing: Rc<Hearing>, connection: quinn::Connection) {
    while let Ok(stream) = connection.accept_uni().await {
        runtime::spawn(uni::hear(hearing.clone(), connection.clone(), stream));
    }
}

impl Carrier {
    pub(super) fn peer_addr(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn is_secure(&self) -> bool {
        true
    }

    /// QUIC tells only whether there may be another one.
    pub(super) fn streams_max(&self) -> usize {
        STREAMS_MAX
    }

    /// Whether the server allows another stream now.
    pub(super) fn has_place(&self) -> bool {
        let mut places = self.places.borrow_mut();
        if !places.is_empty() {
            return true;
        }
        let mut opening = std::pin::pin!(self.connection.open_bi());
        let mut cx = Context::from_waker(Waker::noop());
        match opening.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(opened)) => {
                places.push(opened);
                true
            }
            Poll::Ready(Err(_)) | Poll::Pending => false,
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        let place = self.has_place().then(|| self.places.borrow_mut().pop()).flatten()?;
        Some(Place(RefCell::new(Some(place))))
    }

    /// A stream that was not used serves another request.
    pub(super) fn take_back(&self, place: &Place) {
        self.places.borrow_mut().extend(place.0.take());
    }

    /// Neither side has said that it ends.
    pub(super) fn is_open(&self) -> bool {
        !self.is_leaving() && self.connection.close_reason().is_none()
    }

    fn is_leaving(&self) -> bool {
        self.retired.get() || self.hearing.goaway().is_some()
    }

    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.has_one_less();
    }

    /// The connection's task looks whether it was the last.
    pub(super) fn has_one_less(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    pub(super) fn takes_tunnels(&self) -> bool {
        self.settings.connect_protocol
    }

    /// See [`Lent::send`](link::Lent::send).
    pub(super) fn send(
        &self,
        place: &Place,
        request: &Request<()>,
        protocol: Option<&str>,
        ends: bool,
    ) -> Result<(Receiving, Sending), Failure> {
        let left = Failure::H3(H3Broken::Left);
        if !self.is_open() {
            return Err(left); // nothing was sent
        }
        let section = section::write_request(request, protocol).map_err(|_| Failure::Request)?;
        let is_too_long = section.len() as u64 > self.settings.field_section_max;
        if is_too_long {
            return Err(Failure::Request); // it would be refused (§4.2.2)
        }
        let Some((send, receive)) = place.0.take() else { return Err(left) };
        let id = u64::from(send.id());
        let mut outward = Outward::new(send, None);
        outward.put_fields(section, ends)?;
        let inward = Inward::new(receive, wire_max(SECTION_MAX));
        let receiving = H3Receiving::new(inward, id, self.hearing.clone());
        Ok((Receiving::H3(Box::new(receiving)), Sending::H3(Box::new(H3Sending::new(outward)))))
    }

    /// What the failure of a stream means.
    pub(super) fn judge(&self, broken: H3Broken) -> Loss {
        let of = |reason, unprocessed| Loss { reason, unprocessed };
        match broken {
            H3Broken::Left => of(Reason::UpstreamGoaway, true),
            H3Broken::Stream(Broken::GivenUp(value)) => match Code::of(value) {
                Some(Code::RequestRejected) => of(Reason::StreamRefused, true), // §4.1.1
                code => of(of_code(code), false),
            },
            H3Broken::Stream(Broken::Gone) => {
                let Some(error) = self.connection.close_reason() else {
                    return of(Reason::UpstreamReset, false);
                };
                match complain(&self.known, &error) {
                    // That reason says that nothing of the request was read.
                    Reason::UpstreamTlsHandshake if !tls::refuses_certificate(&error) => {
                        of(Reason::UpstreamProtocol, false)
                    }
                    reason => of(reason, false),
                }
            }
            H3Broken::Stream(Broken::Connection(broken)) => {
                close(&self.connection, broken);
                of(Reason::UpstreamProtocol, false)
            }
            H3Broken::Stream(Broken::Stream(_)) => of(Reason::UpstreamProtocol, false),
        }
    }
}

impl Drop for Carrier {
    /// The connection has ended, and with it what was opened and not used.
    fn drop(&mut self) {
        close(&self.connection, Code::NoError);
    }
}

impl Place {
    /// For what is left of a stream: its place has been used.
    pub(super) fn again(&self) -> Self {
        Self(RefCell::default())
    }
}

/// What sees a connection to its end.
pub(super) struct Driver {
    link: Rc<Link>,
    connection: quinn::Connection,
}

impl Driver {
    /// Waits until the connection ends: after its last stream, or with all of them.
    pub(super) async fn run(self) {
        let Self { link, connection } = self;
        let link::Carrier::H3(carrier) = &link.carrier else { return };
        let mut closed = std::pin::pin!(connection.closed());
        let timer = Timer::new();
        let reason = poll_fn(|cx| {
            carrier.task.replace(Some(cx.waker().clone()));
            carrier.hearing.watch(CONNECTION, cx);
            if let Poll::Ready(error) = closed.as_mut().poll(cx) {
                return Poll::Ready(of_error(&error).0);
            }
            if carrier.is_leaving() && link.streams() == 0 {
                // What a stream has just asked for at its end still leaves.
                if timer.deadline().is_none() {
                    timer.set(runtime::now() + LINGER);
                }
                return timer.poll_expired(cx).map(|()| Reason::UpstreamClosed);
            }
            timer.clear();
            Poll::Pending
        })
        .await;
        link.end(reason);
        close(&connection, Code::NoError);
    }
}

/// How long a connection without streams stays when it is to end.
const LINGER: std::time::Duration = std::time::Duration::from_millis(20);

/// Why a connection has ended.
fn of_end(connection: &quinn::Connection) -> Reason {
    connection.close_reason().map_or(Reason::UpstreamProtocol, |error| of_error(&error).0)
}

/// What the end of a connection means; what exactly was wrong is noted for when it is told of.
fn complain(known: &KnownServer, error: &ConnectionError) -> Reason {
    let (reason, complaint) = of_error(error);
    if let Some(complaint) = complaint {
        known.complain(complaint);
    }
    reason
}

/// What the end of a connection means, and what more there is to say about it.
fn of_error(error: &ConnectionError) -> (Reason, Option<Box<str>>) {
    if let Some(Complaint { reason, text }) = Complaint::of_quic(error) {
        return (reason, Some(text));
    }
    let reason = match error {
        ConnectionError::ApplicationClosed(closed) => {
            match Code::of(closed.error_code.into_inner()) {
                Some(Code::NoError) => Reason::UpstreamClosed,
                code => of_code(code),
            }
        }
        ConnectionError::ConnectionClosed(closed)
            if closed.error_code == quinn::TransportErrorCode::NO_ERROR =>
        {
            Reason::UpstreamClosed
        }
        ConnectionError::TimedOut => Reason::UpstreamSilent,
        ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::VersionMismatch => Reason::UpstreamProtocol,
        ConnectionError::LocallyClosed => Reason::UpstreamClosed,
        ConnectionError::Reset | ConnectionError::CidsExhausted => Reason::UpstreamReset,
    };
    (reason, None)
}

/// What the server's error code means (RFC 9114 §8.1).
fn of_code(code: Option<Code>) -> Reason {
    match code {
        Some(Code::ExcessiveLoad) => Reason::UpstreamCalm,
        Some(
            Code::GeneralProtocolError
            | Code::StreamCreationError
            | Code::ClosedCriticalStream
            | Code::FrameUnexpected
            | Code::FrameError
            | Code::IdError
            | Code::SettingsError
            | Code::MissingSettings
            | Code::MessageError
            | Code::VersionFallback
            | Code::QpackDecompressionFailed
            | Code::QpackEncoderStreamError
            | Code::QpackDecoderStreamError,
        ) => Reason::UpstreamProtocol,
        _ => Reason::UpstreamReset,
    }
}
