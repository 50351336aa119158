//! Heads as they are passed on: hop-by-hop fields gone, the client's identity told truthfully,
//! framing our own. Every line written here comes from a parsed field or is made here, so nothing
//! that the parser did not understand is ever forwarded.

use std::io::Write as _;
use std::net::IpAddr;

use evenkeel_balancer::Rng;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, Field, Known, ResponseHead, Version, claims};
use evenkeel_config::model::Identity;

use crate::connection::Protocol;
use crate::http::affinity;
use crate::http::alt_svc;
use crate::http::body::Sink;
use crate::http::exchange::Exchange;
use crate::http::hops;
pub(crate) use crate::http::phrase::phrase;
use crate::policy::template::Said;
use crate::policy::{self, Chain, Edits};
use crate::snapshot::{ListenerSettings, PoolSettings, Target};

/// Fields with this prefix are ours alone: they are taken from both sides' messages.
const OWN_PREFIX: &[u8] = b"x-evenkeel-";
/// Longest request id believed.
const REQUEST_ID_MAX: usize = 128;
/// Addresses looked at in `X-Forwarded-For`, from the right; a longer chain is not a chain of
/// proxies.
const FORWARDED_MAX: usize = 32;

/// What one exchange is called in every log.
#[derive(Clone, Default)]
pub(crate) enum RequestId {
    /// Not identified, or not wanted.
    #[default]
    None,
    /// Made here; needs no allocation.
    Made([u8; 32]),
    /// Stated by a trusted peer.
    Stated(Box<str>),
}

impl RequestId {
    /// For logs and fields; empty until the request is identified.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default() // ASCII, whoever made it
    }

    /// As [`Self::text`].
    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => b"",
            Self::Made(hex) => hex,
            Self::Stated(text) => text.as_bytes(),
        }
    }

    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn make(rng: &mut Rng) -> Self {
        let mut id = [b'0'; 32];
        for sixteen in id.as_chunks_mut::<16>().0 {
            let word = rng.next_u64();
            let (low, high) = (hex(word as u32), hex((word >> 32) as u32));
            *sixteen = (u128::from(low) | u128::from(high) << 64).to_le_bytes();
        }
        Self::Made(id)
    }
}

/// Eight hexadecimal digits, one in each byte.
fn hex(bits: u32) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut spread = u64::from(bits);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & (EACH * 0x0f);
    let letters = ((spread + EACH * 6) >> 4) & EACH;
    spread + EACH * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)
}

/// Finds out who the client is and what the request is called, as far as the peer is trusted.
pub(crate) fn identify(exchange: &mut Exchange<'_>) {
    let peer = exchange.connection.peer_ip();
    let Some(listener) = exchange.listener() else { return };
    let trusted = !listener.config.trusted_proxies.is_empty() && listener.trusts(peer);
    let mut client = peer;
    let mut request_id = None;
    if trusted {
        client = client_of(exchange, listener, peer);
        let sent = exchange.head.field(exchange.buffer.all(), Known::XRequestId);
        request_id = sent.filter(|id| is_request_id(id));
    }
    let wanted = listener.config.identity.request_id;
    let request_id = match request_id {
        Some(id) if wanted => RequestId::Stated(String::from_utf8_lossy(id).into()),
        _ if wanted => RequestId::make(&mut exchange.connection.worker.rng.borrow_mut()),
        _ => RequestId::None,
    };
    exchange.trusted = trusted;
    exchange.client = client;
    exchange.request_id = request_id;
}

/// The rightmost address of `X-Forwarded-For` that is not itself a trusted proxy; each proxy
/// vouches only for the one before it.
fn client_of(exchange: &Exchange<'_>, listener: &ListenerSettings, peer: IpAddr) -> IpAddr {
    let bytes = exchange.buffer.all();
    let mut client = peer;
    let values: Vec<&[u8]> = exchange.head.values(bytes, Known::XForwardedFor).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    for hop in hops.take(FORWARDED_MAX) {
        let text = std::str::from_utf8(hop).unwrap_or_default();
        let Ok(address) = text.trim_matches([' ', '\t']).parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !listener.trusts(client) {
            break;
        }
    }
    client
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=REQUEST_ID_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Writes the request as `target` gets it.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    target: &Target,
) {
    let bytes = exchange.buffer.all();
    let head = &exchange.head;
    out.extend_from_slice(head.method_text.of(bytes));
    out.push(b' ');
    let changes = exchange.changed.as_deref();
    match changes.and_then(|changes| changes.target.as_deref()) {
        Some(target) => out.extend_from_slice(target),
        None => {
            out.extend_from_slice(exchange.path());
            if let Some(query) = head.target.query {
                out.push(b'?');
                out.extend_from_slice(query.of(bytes));
            }
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    let host = settings.host(target).map(str::as_bytes);
    match host.or_else(|| changes?.host.as_deref()) {
        Some(host) => out.extend_from_slice(host),
        // An old client has none (RFC 9112 §3.2): the server's own, since many refuse an empty one.
        None if head.host.is_empty() => out.extend_from_slice(target.key.as_bytes()),
        None => out.extend_from_slice(head.host.of(bytes)),
    }
    out.extend_from_slice(b"\r\n");
    let edits = RequestEdits::of(exchange);
    let Some(listener) = exchange.listener() else { return };
    for field in &head.fields {
        let name = field.name.of(bytes);
        if is_replaced(exchange, &listener.config.identity, field, name) {
            continue;
        }
        let Some(name) = edits.through(name) else { continue };
        match &settings.stickiness {
            Some(sticky) if field.known == Known::Cookie => {
                sticky.write_others(out, name, field.value.of(bytes));
            }
            _ => write_field(out, name, field.value.of(bytes)),
        }
    }
    write_identity(out, exchange, listener, &edits);
    out.extend_from_slice(b"x-evenkeel-hops: ");
    write_number(out, hops::next(head, bytes));
    out.extend_from_slice(b"\r\n");
    edits.write(out);
    match head.body {
        BodyLength::Exact(length) => write_length(out, length),
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
    match head.upgrade {
        Some(protocol) => {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
            out.extend_from_slice(protocol.of(bytes));
            out.extend_from_slice(b"\r\n");
        }
        None if head.te_trailers => out.extend_from_slice(b"connection: te\r\nte: trailers\r\n"),
        None if settings.config.keep_alive.idle_max == 0 => {
            out.extend_from_slice(b"connection: close\r\n");
        }
        None => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Whatever is edited about a request's fields.
struct RequestEdits<'e> {
    exchange: &'e Exchange<'e>,
    some: bool,
}

impl<'e> RequestEdits<'e> {
    fn of(exchange: &'e Exchange<'_>) -> Self {
        let edited = exchange.chains().any(|chain| !chain.edits_nothing());
        Self { exchange, some: edited || exchange.changed.is_some() }
    }

    fn all(&self) -> impl Iterator<Item = &'e Edits> + Clone + use<'e> {
        let changed = self.exchange.changed.as_ref().map(|changes| &changes.request);
        self.exchange.chains().flat_map(Chain::request_edits).chain(changed)
    }

    /// The name that a line goes on with, if it does.
    fn through<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]>
    where
        'e: 'n,
    {
        if self.some { policy::name_through(self.all(), name) } else { Some(name) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.some {
            policy::write_lines(out, self.all(), self.exchange, Said::default());
        }
    }

    fn drop(&self, name: &[u8]) -> bool {
        self.some && self.all().any(|edits| edits.drops(name))
    }
}

/// Whether a client's field is not passed on as it is: connection-specific, framing (ours), or
/// identity (which only a trusted peer may state).
fn is_replaced(exchange: &Exchange<'_>, identity: &Identity, field: &Field, name: &[u8]) -> bool {
    if field.hop_by_hop && !plant::is(Bug::NominatedFieldsPass) {
        return true;
    }
    match field.known {
        Known::XForwardedFor if plant::is(Bug::ForgedAddressPasses) => false,
        Known::Host | Known::ContentLength | Known::TransferEncoding | Known::XEvenkeelHops => true,
        Known::XForwardedFor => identity.x_forwarded || !exchange.trusted,
        Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => !exchange.trusted,
        Known::XRealIp => identity.x_forwarded || !exchange.trusted,
        Known::Forwarded => identity.forwarded || !exchange.trusted,
        Known::XRequestId => identity.request_id || !exchange.trusted,
        Known::Expect => !exchange.head.expects_continue,
        Known::Other => is_own(name) || is_false_claim(exchange, name),
        _ => false,
    }
}

/// Whether the client says of itself what only a trusted peer may say, or says it in a spelling
/// that no honest one would use.
fn is_false_claim(exchange: &Exchange<'_>, name: &[u8]) -> bool {
    match claims::of(name) {
        Some(claims::Spelling::Plain) => !exchange.trusted || is_asked_by_us(exchange, name),
        Some(claims::Spelling::Folded) => true,
        None => false,
    }
}

/// Where clients show certificates here, nobody else says whose they are.
fn is_asked_by_us(exchange: &Exchange<'_>, name: &[u8]) -> bool {
    let begins = |start: &[u8]| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let tls = exchange.listener().and_then(|listener| listener.config.tls.as_ref());
    tls.is_some_and(|tls| tls.client_auth.is_some())
        && (begins(b"client-cert")
            || begins(b"x-client-cert")
            || begins(b"x-forwarded-client-cert"))
}

fn is_own(name: &[u8]) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn write_identity(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    listener: &ListenerSettings,
    edits: &RequestEdits<'_>,
) {
    let identity = &listener.config.identity;
    let (bytes, head) = (exchange.buffer.all(), &exchange.head);
    let peer = exchange.connection.peer_ip();
    let set = |name: &[u8]| edits.drop(name);
    let told = |known: Known| exchange.trusted && head.field(bytes, known).is_some();
    if identity.x_forwarded {
        if !set(b"x-forwarded-for") {
            out.extend_from_slice(b"x-forwarded-for: ");
            if exchange.trusted {
                for value in head.values(bytes, Known::XForwardedFor) {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b", ");
                }
            }
            out.extend_from_slice(exchange.connection.peer_text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !told(Known::XForwardedProto) && !set(b"x-forwarded-proto") {
            write_field(out, b"x-forwarded-proto", scheme(exchange).as_bytes());
        }
        if !told(Known::XForwardedHost) && !set(b"x-forwarded-host") {
            write_field(out, b"x-forwarded-host", head.host.of(bytes));
        }
        if !told(Known::XForwardedPort) && !set(b"x-forwarded-port") {
            out.extend_from_slice(b"x-forwarded-port: ");
            write_number(out, u64::from(exchange.connection.local.port()));
            out.extend_from_slice(b"\r\n");
        }
        if !set(b"x-real-ip") {
            if exchange.client == peer {
                write_field(out, b"x-real-ip", exchange.connection.peer_text.as_bytes());
            } else {
                let _ = write!(out, "x-real-ip: {}\r\n", exchange.client);
            }
        }
    }
    if identity.forwarded {
        write_forwarded(out, exchange, peer);
    }
    if let Some(name) = &identity.via {
        let version = match exchange.connection.protocol.get() {
            Protocol::H1 if head.version == Version::Http10 => "1.0",
            Protocol::H1 => "1.1",
            Protocol::H2 => "2",
            Protocol::H3 => "3",
        };
        let _ = write!(out, "via: {version} {name}\r\n");
    }
    if !exchange.request_id.is_empty() {
        write_field(out, b"x-request-id", exchange.request_id.bytes());
    }
    if let Some(session) = exchange.connection.tls.get() {
        for (name, value) in &session.client.lines {
            if !set(name.as_bytes()) {
                write_field(out, name.as_bytes(), value.as_bytes());
            }
        }
    }
}

/// Whether a trusted peer says that its client's connection to it was encrypted.
pub(crate) fn was_encrypted(exchange: &Exchange<'_>) -> bool {
    let proto = exchange.head.field(exchange.buffer.all(), Known::XForwardedProto);
    exchange.trusted && proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
}

/// The field line that tells browsers to stay with `https`, on connections that are encrypted alone
/// (RFC 6797 §7.2).
pub(crate) fn hsts<'e>(exchange: &'e Exchange<'_>) -> Option<&'e [u8]> {
    let line = exchange.listener()?.hsts.as_deref()?;
    exchange.connection.is_secure().then_some(line)
}

/// How the client reached this process.
pub(crate) fn scheme(exchange: &Exchange<'_>) -> &'static str {
    if exchange.connection.is_secure() { "https" } else { "http" }
}

/// `Forwarded` (RFC 7239 §4); an IPv6 address is quoted and in brackets (§6).
fn write_forwarded(out: &mut Vec<u8>, exchange: &Exchange<'_>, peer: IpAddr) {
    let (bytes, head) = (exchange.buffer.all(), &exchange.head);
    out.extend_from_slice(b"forwarded: ");
    if exchange.trusted {
        for value in head.values(bytes, Known::Forwarded) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    let _ = match peer {
        IpAddr::V4(v4) => write!(out, "for={v4};proto={}", scheme(exchange)),
        IpAddr::V6(v6) => write!(out, "for=\"[{v6}]\";proto={}", scheme(exchange)),
    };
    let host = head.host.of(bytes);
    if !host.is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b"\r\n");
}

/// How a response is framed for the client.
#[derive(Clone, Copy)]
pub(crate) struct Framing {
    /// How it sees where the body ends.
    pub(crate) sink: Sink,
    /// The body is as long as the server says.
    pub(crate) keeps_length: bool,
    /// Another request may follow.
    pub(crate) persist: bool,
}

/// Writes a response as the client gets it.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    response: &ResponseHead,
    bytes: &[u8],
    framing: Framing,
) {
    write_status(out, response.status);
    let changed = exchange.changed.as_ref().map(|changes| &changes.response);
    let all = || exchange.chains().flat_map(Chain::response_edits).chain(changed);
    let edited = changed.is_some() || exchange.chains().any(|chain| !chain.edits_nothing());
    // What an answer to a request of our own says is said again to each client that gets it.
    let is_last = !exchange.is_own;
    // What no server was asked for just now binds nobody to one.
    let is_asked = is_last && exchange.server.is_some();
    let binding = affinity::binds(exchange, response).filter(|_| is_asked);
    let hsts = hsts(exchange).filter(|_| is_last);
    let alt_svc = is_last && alt_svc::is_said(exchange);
    let (mut dated, mut is_private) = (false, false);
    for field in &response.fields {
        let name = field.name.of(bytes);
        let ours = is_ours_to_say(field.known, name);
        dated |= field.known == Known::Date;
        let through = if edited { policy::name_through(all(), name) } else { Some(name) };
        let mut dropped =
            alt_svc && field.known == Known::Other && name.eq_ignore_ascii_case(b"alt-svc");
        dropped |= hsts.is_some()
            && field.known == Known::Other
            && name.eq_ignore_ascii_case(b"strict-transport-security");
        if binding.is_some() && field.known == Known::Other {
            dropped |= affinity::is_targeted_at_caches(name);
            is_private |= name.eq_ignore_ascii_case(b"cache-control")
                && affinity::is_private(field.value.of(bytes));
        }
        match through {
            Some(name) if !(ours || field.hop_by_hop || dropped) => {
                write_field(out, name, field.value.of(bytes));
            }
            _ => {}
        }
    }
    if !dated && response.status >= 200 {
        // RFC 9110 §6.6.1: a recipient with a clock adds a missing Date.
        let date = httpdate::fmt_http_date(evenkeel_runtime::wall_clock());
        write_field(out, b"date", date.as_bytes());
    }
    if response.status >= 200 {
        out.extend_from_slice(hsts.unwrap_or_default());
        if alt_svc {
            alt_svc::write(out, exchange);
        }
    }
    if edited {
        let said = Said { status: response.status, reason: "" };
        policy::write_lines(out, all(), exchange, said);
    }
    if let Some(stickiness) = binding {
        affinity::write_binding(out, exchange, stickiness, is_private);
    }
    let via = exchange.listener().and_then(|l| l.config.identity.via.as_ref());
    if let Some(via) = via.filter(|_| is_last) {
        let version = if response.version == Version::Http10 { "1.0" } else { "1.1" };
        let _ = write!(out, "via: {version} {via}\r\n");
    }
    let length = response.content_length.filter(|_| framing.keeps_length);
    match (framing.sink, length) {
        (Sink::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Also for HEAD and 304, where it is the length that content would have had.
        (Sink::Identity, Some(length)) if response.status != 204 && response.status >= 200 => {
            write_length(out, length);
        }
        _ => {}
    }
    match response.upgrade {
        Some(protocol) if response.status == 101 => {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
            out.extend_from_slice(protocol.of(bytes));
            out.extend_from_slice(b"\r\n");
        }
        _ => write_connection(out, exchange, framing.persist),
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a server's field is not passed on as it is: framing, and what only we say.
fn is_ours_to_say(known: Known, name: &[u8]) -> bool {
    match known {
        Known::ContentLength | Known::TransferEncoding | Known::XEvenkeelHops => true,
        Known::Other => is_own(name),
        _ => false,
    }
}

/// Writes an interim response.
pub(crate) fn write_interim(out: &mut Vec<u8>, response: &ResponseHead, bytes: &[u8]) {
    write_status(out, response.status);
    for field in &response.fields {
        let name = field.name.of(bytes);
        if !(is_ours_to_say(field.known, name) || field.hop_by_hop) {
            write_field(out, name, field.value.of(bytes));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// `Connection`, where the version's default does not say it already (RFC 9112 §9.3).
pub(crate) fn write_connection(out: &mut Vec<u8>, exchange: &Exchange<'_>, persist: bool) {
    match (persist, exchange.head.version) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

/// The status line, with the registered phrase: a server's own may hold anything.
pub(crate) fn write_status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A field line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    write_number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), number);
    while at > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 65_536, u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn only_plain_request_ids_are_believed() {
        assert!(is_request_id(b"7d0f-42"));
        assert!(!is_request_id(b""));
        assert!(!is_request_id(b"a b"));
        assert!(!is_request_id("ü".as_bytes()));
        assert!(!is_request_id(&[b'a'; REQUEST_ID_MAX + 1]));
    }

    #[test]
    fn a_request_id_that_is_made_here_is_32_hexadecimal_digits() {
        for bits in [0, 1, 0x9abc_def0, u32::MAX, 0x0123_4567] {
            let mut digits = hex(bits).to_be_bytes();
            digits.sort_unstable();
            let mut expected = format!("{bits:08x}").into_bytes();
            expected.sort_unstable();
            assert_eq!(digits.as_slice(), expected, "{bits:x}");
        }
        let mut rng = Rng::from_seed(1);
        let (first, second) = (RequestId::make(&mut rng), RequestId::make(&mut rng));
        assert!(is_request_id(first.bytes()) && first.text().len() == 32);
        assert_ne!(first.text(), second.text());
    }

    #[test]
    fn our_own_fields_are_recognised_in_any_case() {
        assert!(is_own(b"X-Evenkeel-Reason"));
        assert!(!is_own(b"x-evenkee"));
    }
}
