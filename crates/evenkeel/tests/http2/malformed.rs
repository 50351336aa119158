//! Nothing smuggles through the translation: rows of the catalogue of past attacks that are about
//! HTTP/2 in front of HTTP/1 (groups A, B, D, F and J). After each, the canary: another client's
//! request, on the same connections to the server, gets its own answer.

use evenkeel_tools::faultd::{Faultd, Options};

use crate::support::Proxy;
use crate::wire::{self, Came, DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, Wire};

type Fields<'f> = Vec<(&'f [u8], &'f [u8])>;

/// What must come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// An error of the stream, and nothing at the server.
    Reset,
    /// An answer of our own, and nothing at the server.
    Refused,
    /// Either.
    NotReach,
    /// It reaches the server as one request.
    Reach,
}

struct Stage {
    runtime: tokio::runtime::Runtime,
    backend: Faultd,
    proxy: Proxy,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let options = Options { record: true, ..Options::default() };
        let any = "127.0.0.1:0".parse().unwrap();
        let backend = runtime.block_on(Faultd::start(any, options)).unwrap();
        let proxy = Proxy::start(&format!(
            "workers: 1\nlisteners:\n  web: {{ bind: \"127.0.0.1:0\" }}\nroutes:\n  - to: app\n\
             pools:\n  app: {{ servers: [\"{}\"] }}\n",
            backend.address
        ));
        Self { runtime, backend, proxy }
    }

    /// Sends a request: its fields, and content if there is any, with END_STREAM at the end.
    fn judge(&self, name: &str, fields: &[(&[u8], &[u8])], content: Option<&[u8]>, must: Must) {
        let before = self.backend.count();
        self.backend.take_requests();
        let mut wire = Wire::connect(self.proxy.addresses[0]);
        let ended = if content.is_none() { END_STREAM } else { 0 };
        wire.frame(HEADERS, END_HEADERS | ended, 1, &wire::fields(fields));
        if let Some(content) = content {
            wire.frame(DATA, END_STREAM, 1, content);
        }
        let came = wire.came();
        let reached = self.backend.count() - before;
        let is_right = match must {
            Must::Reset => matches!(came, Came::Reset(_) | Came::GoAway(PROTOCOL_ERROR)),
            Must::Refused => matches!(came, Came::Answer(status) if status != Some(200)),
            Must::NotReach => came != Came::Answer(Some(200)),
            Must::Reach => came == Came::Answer(Some(200)),
        };
        assert!(is_right, "{name}: {came:?}");
        let seen = self.backend.requests();
        assert_eq!(reached, u64::from(must == Must::Reach), "{name}: {seen:?}");
        self.canary(name);
        assert_eq!(self.backend.count() - before, reached + 1, "{name}: something came late");
    }

    fn canary(&self, after: &str) {
        let id = format!("canary-{}", self.backend.count());
        let response = self.proxy.ask(format!(
            "GET /echo/{id} HTTP/1.1\r\nHost: canary\r\nX-Id: {id}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(response.text(), format!("GET /echo/{id}\n"), "{after}: {response:?}");
        let _ = &self.runtime; // the backend lives on it
    }
}

const METHOD: &[u8] = b":method";
const SCHEME: (&[u8], &[u8]) = (b":scheme", b"http");
const PATH: &[u8] = b":path";
const AUTHORITY: (&[u8], &[u8]) = (b":authority", b"test");

/// A request for `/echo/x`, and these fields.
fn with<'f>(method: &'f str, more: &[(&'f [u8], &'f [u8])]) -> Fields<'f> {
    let mut fields: Fields<'f> =
        vec![(METHOD, method.as_bytes()), SCHEME, (PATH, b"/echo/x"), AUTHORITY];
    fields.extend_from_slice(more);
    fields
}

#[test]
fn what_is_well_formed_reaches_the_server() {
    let stage = Stage::new();
    stage.judge("plain", &with("GET", &[]), None, Must::Reach);
    stage.judge(
        "content",
        &with("POST", &[(b"content-length", b"5")]),
        Some(b"hello"),
        Must::Reach,
    );
    stage.judge("no length", &with("POST", &[]), Some(b"hello"), Must::Reach);
    stage.judge("host too", &with("GET", &[(b"host", b"TEST")]), None, Must::Reach);
    let host: Fields<'_> = vec![(METHOD, b"GET"), SCHEME, (PATH, b"/echo/x"), (b"host", b"test")];
    stage.judge("host only", &host, None, Must::Reach);
}

#[test]
fn a14_content_is_as_long_as_announced() {
    // RFC 9113 §8.1.1
    let stage = Stage::new();
    let fifty = with("POST", &[(b"content-length", b"50")]);
    stage.judge("50, none", &fifty, None, Must::Reset);
    let zero = with("POST", &[(b"content-length", b"0")]);
    stage.judge("0, none", &zero, None, Must::Reach);
    for length in [&b"+5"[..], b"5, 5", b"-0", b"0x5", b"", b"5 5", b"99999999999999999999999"] {
        let bad = with("POST", &[(b"content-length", length)]);
        stage.judge(&format!("{length:?}"), &bad, Some(b"hello"), Must::NotReach);
    }
    let twice = with("POST", &[(b"content-length", b"5"), (b"content-length", b"5")]);
    stage.judge("twice", &twice, Some(b"hello"), Must::NotReach);
    let two = with("POST", &[(b"content-length", b"5"), (b"content-length", b"6")]);
    stage.judge("two", &two, Some(b"hello"), Must::NotReach);
}

#[test]
fn a14_less_or_more_content_than_announced_is_never_a_request_of_the_server() {
    let stage = Stage::new();
    for (length, content) in
        [(&b"10"[..], &b"hello"[..]), (b"3", b"helloGET /smuggled HTTP/1.1\r\n\r\n")]
    {
        stage.backend.take_requests();
        let mut wire = Wire::connect(stage.proxy.addresses[0]);
        let fields = with("POST", &[(b"content-length", length)]);
        wire.frame(HEADERS, END_HEADERS, 1, &wire::fields(&fields));
        wire.frame(DATA, END_STREAM, 1, content);
        let came = wire.came();
        assert!(matches!(came, Came::Reset(PROTOCOL_ERROR)), "{came:?}");
        stage.canary("a wrong length");
        let seen = stage.backend.requests();
        assert!(seen.iter().all(|seen| !format!("{seen:?}").contains("smuggled")), "{seen:?}");
    }
}

#[test]
fn a16_f3_f8_and_j14_fields_of_a_connection_are_an_error() {
    // RFC 9113 §8.2.2
    let stage = Stage::new();
    let fields: [(&[u8], &[u8]); 9] = [
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
        (b"connection", b"close"),
        (b"connection", b"content-length"),
        (b"proxy-connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
    ];
    for field in fields {
        let request = with("POST", &[field]);
        stage.judge(&format!("{field:?}"), &request, Some(b"0\r\n\r\n"), Must::Reset);
    }
}

#[test]
fn d13_authority_and_host_name_the_same() {
    // RFC 9113 §8.3.1
    let stage = Stage::new();
    stage.judge("other", &with("GET", &[(b"host", b"other")]), None, Must::Reset);
    stage.judge("two", &with("GET", &[(b"host", b"test"), (b"host", b"test")]), None, Must::Reset);
    let none: Fields<'_> = vec![(METHOD, b"GET"), SCHEME, (PATH, b"/echo/x")];
    stage.judge("none", &none, None, Must::Reset);
    for authority in [&b"u@test"[..], b"test/x", b"test:0", b"te st", b"test\r\nx: y", b"", b"[::1"]
    {
        let request: Fields<'_> =
            vec![(METHOD, b"GET"), SCHEME, (PATH, b"/echo/x"), (b":authority", authority)];
        stage.judge(&format!("{authority:?}"), &request, None, Must::NotReach);
    }
}

#[test]
fn d15_d16_and_d6_pseudo_fields_are_what_they_may_be() {
    // RFC 9113 §8.3.1, §10.3
    let stage = Stage::new();
    for method in [&b"GET /admin? HTTP/1.1"[..], b"GET\r\n", b"", b"g\0t", b"get", b"G T"] {
        let request: Fields<'_> = vec![(METHOD, method), SCHEME, (PATH, b"/echo/x"), AUTHORITY];
        stage.judge(&format!("{method:?}"), &request, None, Must::NotReach);
    }
    for path in [
        &b""[..],
        b"svc/Method",
        b"@evil",
        b"?x",
        b"*",
        b"/x y",
        b"/x HTTP/1.1\r\nHost: evil\r\n\r\nGET /smuggled",
        b"/x\r\n",
        b"/x\0",
        b"http://evil/",
        b"/\x80",
    ] {
        let request: Fields<'_> = vec![(METHOD, b"GET"), SCHEME, (PATH, path), AUTHORITY];
        stage.judge(&String::from_utf8_lossy(path), &request, None, Must::NotReach);
    }
    for scheme in [&b"ftp"[..], b"", b"http\r\n", b"javascript"] {
        let request: Fields<'_> =
            vec![(METHOD, b"GET"), (b":scheme", scheme), (PATH, b"/echo/x"), AUTHORITY];
        stage.judge(&format!("{scheme:?}"), &request, None, Must::Reset);
    }
}

#[test]
fn j14_j15_names_and_values_hold_no_line() {
    // RFC 9113 §8.2.1
    let stage = Stage::new();
    let fields: [(&[u8], &[u8]); 14] = [
        (b"x", b"a\r\nhost: evil"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x", b"\ta\t"),
        (b"x", b" a"),
        (b"x", b"a "),
        (b"", b"a"),
        (b"X", b"a"),
        (b"x: y\r\nz", b"a"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"x\r\n", b"a"),
        (b"x\0", b"a"),
    ];
    for field in fields {
        stage.judge(&format!("{field:?}"), &with("GET", &[field]), None, Must::NotReach);
    }
    stage.judge("empty", &with("GET", &[(b"x", b"")]), None, Must::Reach);
}

#[test]
fn j16_pseudo_fields_come_first_once_and_are_known() {
    // RFC 9113 §8.3
    let stage = Stage::new();
    stage.judge("late", &with("GET", &[(b"x", b"y"), (PATH, b"/late")]), None, Must::NotReach);
    stage.judge("twice", &with("GET", &[(PATH, b"/twice")]), None, Must::NotReach);
    stage.judge("unknown", &with("GET", &[(b":unknown", b"x")]), None, Must::NotReach);
    stage.judge("status", &with("GET", &[(b":status", b"200")]), None, Must::NotReach);
    stage.judge("protocol", &with("GET", &[(b":protocol", b"websocket")]), None, Must::Reset); // F13
    let no_path: Fields<'_> = vec![(METHOD, b"GET"), SCHEME, AUTHORITY];
    stage.judge("no path", &no_path, None, Must::NotReach);
    let no_scheme: Fields<'_> = vec![(METHOD, b"GET"), (PATH, b"/echo/x"), AUTHORITY];
    stage.judge("no scheme", &no_scheme, None, Must::Reset);
}

#[test]
fn f11_f12_connect_and_trace_are_refused() {
    let stage = Stage::new();
    let connect: Fields<'_> = vec![(METHOD, b"CONNECT"), (b":authority", b"test:443")];
    stage.judge("connect", &connect, None, Must::Refused);
    stage.judge("trace", &with("TRACE", &[]), None, Must::Refused);
}

#[test]
fn f1_i1_a_client_states_nobodys_identity() {
    let stage = Stage::new();
    let request = with(
        "GET",
        &[
            (b"x-forwarded-for", b"9.9.9.9"),
            (b"x_forwarded_for", b"9.9.9.9"),
            (b"x-real-ip", b"9.9.9.9"),
        ],
    );
    stage.judge("ambiguous", &request, None, Must::Refused);
    let request = with("GET", &[(b"x-forwarded-for", b"9.9.9.9"), (b"x-real-ip", b"9.9.9.9")]);
    stage.judge("claims", &request, None, Must::Reach);
    let seen = format!("{:?}", stage.backend.requests());
    assert!(!seen.contains("9.9.9.9"), "{seen}");
}
