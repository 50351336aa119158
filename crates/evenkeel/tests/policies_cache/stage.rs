//! A server that counts, and a cache before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Backend, Proxy, Received, Response, Then, reply, simple};

/// What the server answers next: lines of the head, and content.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) lines: String,
    pub(crate) body: String,
}

/// See the module's head.
pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) backend: Backend,
    says: Arc<Mutex<Says>>,
}

impl Stage {
    /// With these options of the policy, and a server that says these lines.
    pub(crate) fn new(options: &str, lines: &[&str]) -> Self {
        let says =
            Arc::new(Mutex::new(Says { status: 200, lines: lined(lines), body: String::new() }));
        let (said, count) = (says.clone(), Arc::<AtomicUsize>::default());
        let backend = Backend::start(move |request, stream| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let says = said.lock().unwrap().clone();
            reply(stream, answer(&says, request, number));
            Then::Keep
        });
        let proxy = Proxy::start(&config(&[&backend], options));
        Self { proxy, backend, says }
    }

    /// The server says something else from now on.
    pub(crate) fn say(&self, status: u16, lines: &[&str], body: &str) {
        *self.says.lock().unwrap() = Says { status, lines: lined(lines), body: body.to_owned() };
    }

    pub(crate) fn get(&self, target: &str, lines: &[&str]) -> Response {
        self.ask("GET", target, lines)
    }

    pub(crate) fn ask(&self, method: &str, target: &str, lines: &[&str]) -> Response {
        let mut client = self.proxy.connect();
        let lines = lined(lines);
        let host = if lines.contains("Host:") { "" } else { "Host: test\r\n" };
        client
            .send(format!("{method} {target} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n"));
        client.response_to(method)
    }

    /// The same twice; whether the server was asked once, and both got the same.
    pub(crate) fn is_kept(&self, target: &str, lines: &[&str]) -> bool {
        let before = self.backend.count();
        let first = self.get(target, lines);
        let second = self.get(target, lines);
        let asked = self.backend.count() - before;
        assert!((1..=2).contains(&asked), "asked {asked} times");
        assert_eq!(asked == 1, first.text() == second.text(), "{first:?} {second:?}");
        asked == 1
    }
}

/// A configuration with a cache of these options.
pub(crate) fn config(backends: &[&Backend], options: &str) -> String {
    let config = simple(backends).replace("- to: app", "- { to: app, policies: [store] }");
    format!("{config}policies:\n  store: {{ cache: {{ {options} }} }}\n")
}

/// Content that tells which answer it is, unless something else is to be said; none of it for who
/// has it already.
fn answer(says: &Says, request: &Received, number: usize) -> String {
    let body = match says.body.is_empty() {
        true => format!("answer {number} to {}", request.target()),
        false => says.body.clone(),
    };
    let (status, lines) = (says.status, &says.lines);
    let length = body.len();
    match status {
        304 | 204 => format!("HTTP/1.1 {status} x\r\n{lines}\r\n"),
        _ if request.line().starts_with("HEAD") => {
            format!("HTTP/1.1 {status} x\r\n{lines}Content-Length: {length}\r\n\r\n")
        }
        _ => format!("HTTP/1.1 {status} x\r\n{lines}Content-Length: {length}\r\n\r\n{body}"),
    }
}

fn lined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}
