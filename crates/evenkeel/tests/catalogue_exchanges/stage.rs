//! The proxy with one misbehaving backend behind it, and what is asked after each misdeed: did
//! another client get its own answer?

use evenkeel_tools::faultd::{Faultd, Options, Request};
use evenkeel_tools::oracle::{Case, Oracle};

use crate::support::{Backend, Client, Proxy, Response, simple, wait_for};

/// A server's answer to the request of another client.
pub(crate) const CANARY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary";

/// A proxy of one worker, so that everything goes through the same kept connections.
pub(crate) fn one_worker(backend: &Backend) -> Proxy {
    Proxy::start(&format!("workers: 1\n{}", simple(&[backend])))
}

/// One worker, so that everything goes through the same kept connections.
pub(crate) struct Stage {
    runtime: tokio::runtime::Runtime,
    pub(crate) backend: Faultd,
    pub(crate) proxy: Proxy,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// With more lines for the listener and for the pool, each indented by four.
    pub(crate) fn with(listener: &str, pool: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let options = Options { record: true, ..Options::default() };
        let backend = runtime.block_on(Faultd::start(any, options)).unwrap();
        let proxy = Proxy::start(&format!(
            "workers: 1\nlisteners:\n  web:\n    bind: 127.0.0.1:0\n{listener}routes:\n  - to: app\npools:\n  app:\n    servers: [\"{}\"]\n{pool}",
            backend.address
        ));
        Self { runtime, backend, proxy }
    }

    /// Sends each request in every way; none may do harm.
    pub(crate) fn judge(&self, cases: &[Case<'_>]) {
        let oracle = Oracle { proxy: self.proxy.addresses[0], backend: self.backend.clone() };
        let wrong: Vec<String> =
            cases.iter().flat_map(|case| self.runtime.block_on(oracle.judge(case))).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Another client's unique request gets its own answer; the request as the backend saw it.
    pub(crate) fn canary(&self, after: &str) -> Request {
        let id = format!("canary-{}", self.backend.count());
        let response = self.proxy.ask(format!(
            "GET /echo/{id} HTTP/1.1\r\nHost: canary\r\nX-Id: {id}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(response.text(), format!("GET /echo/{id}\n"), "{after}: {response:?}");
        assert_eq!(response.field("x-id"), Some(id.as_str()), "{after}");
        self.last()
    }

    /// The last request that the backend has read.
    pub(crate) fn last(&self) -> Request {
        self.backend.requests().pop().expect("a request")
    }
}

/// What must become of a server's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// 502, whole, and not a byte of it.
    Refused,
    /// This status and this body, whole.
    Whole(u16, &'static str),
    /// 502, or a part that the client cannot take for the whole.
    Cut,
}

/// Bytes that a server answers with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    name: String,
    bytes: Vec<u8>,
    /// `keep`, `close` or `reset`.
    then: &'static str,
    /// What the client asks: the method, and field lines.
    request: (&'static str, &'static str),
    verdict: Verdict,
    /// Whether the connection may serve another request.
    kept: bool,
}

/// Judges all of them, a few at a time, each behind a proxy and before a backend of its own.
pub(crate) fn judge_all(answers: impl IntoIterator<Item = Answer>) {
    const AT_ONCE: usize = 8;
    let answers: Vec<Answer> = answers.into_iter().collect();
    std::thread::scope(|scope| {
        for part in answers.chunks(answers.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || {
                let stage = Stage::new();
                part.iter().for_each(|answer| answer.judge(&stage));
            });
        }
    });
}

impl Answer {
    /// What must be refused.
    pub(crate) fn refused(name: &str, bytes: &str) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            then: "keep",
            request: ("GET", ""),
            verdict: Verdict::Refused,
            kept: false,
        }
    }

    /// What must arrive, on a connection that lives on.
    pub(crate) fn whole(name: &str, bytes: &str, status: u16, body: &'static str) -> Self {
        let verdict = Verdict::Whole(status, body);
        Self { verdict, kept: true, ..Self::refused(name, bytes) }
    }

    /// What ends too early.
    pub(crate) fn cut(name: &str, bytes: &str, then: &'static str) -> Self {
        Self { verdict: Verdict::Cut, then, ..Self::refused(name, bytes) }
    }

    /// On a connection that is closed behind it, or must not be used again.
    pub(crate) fn not_kept(self) -> Self {
        Self { kept: false, ..self }
    }

    /// And then the server closes.
    pub(crate) fn closed(self) -> Self {
        Self { kept: false, then: "close", ..self }
    }

    /// To this method, with these field lines.
    pub(crate) fn to(self, method: &'static str, fields: &'static str) -> Self {
        Self { request: (method, fields), ..self }
    }

    /// Gives it whole, at every split in two, and byte by byte.
    pub(crate) fn judge(&self, stage: &Stage) {
        let splits = (1..self.bytes.len()).map(|at| at.to_string());
        for how in ["whole".to_owned(), "bytes".to_owned()].into_iter().chain(splits) {
            self.judge_one(stage, &how);
        }
    }

    fn judge_one(&self, stage: &Stage, how: &str) {
        let name = format!("{} {how}", self.name);
        let _named = Named(&name);
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (method, fields) = self.request;
        let mut client = stage.proxy.connect();
        client.send(format!(
            "{method} /raw/{how}/{}/{hex} HTTP/1.1\r\nHost: a\r\n{fields}\r\n",
            self.then
        ));
        let response = final_response(&mut client, method);
        match self.verdict {
            Verdict::Refused => {
                assert_eq!((response.status, response.complete), (502, true), "{name}");
                assert_eq!(response.reason(), "bad_response", "{name}");
            }
            Verdict::Whole(status, body) => {
                let got = (response.status, response.text(), response.complete);
                assert_eq!(got, (status, body.to_owned(), true), "{name}");
            }
            Verdict::Cut if response.status == 502 => assert!(response.complete, "{name}"),
            Verdict::Cut => assert!(!response.complete, "{name}: {response:?}"),
        }
        // What a server sends before it was asked anything else is nobody's answer.
        let backend = &stage.backend;
        wait_for("the backend to have said all", || backend.answered() == backend.count());
        let asked = stage.last();
        let canary = stage.canary(&name);
        assert_eq!(asked.connection == canary.connection, self.kept, "{name}: kept or not");
    }
}

/// Says which one it was if something goes wrong.
struct Named<'n>(&'n str);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while judging {:?}", self.0);
        }
    }
}

/// The first response that is not interim.
pub(crate) fn final_response(client: &mut Client, method: &str) -> Response {
    loop {
        let response = client.response_to(method);
        if response.status == 101 || response.status >= 200 {
            return response;
        }
    }
}
