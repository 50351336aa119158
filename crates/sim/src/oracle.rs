//! What was asked, what was executed, what was answered, and what may never be: the promises of
//! the data plane, checked while a world runs and at its end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use evenkeel_runtime as runtime;

/// Everything the people of a world know, together.
#[derive(Clone, Default)]
pub(crate) struct Oracle(Rc<RefCell<Book>>);

#[derive(Default)]
struct Book {
    requests: BTreeMap<u64, Request>,
    violations: Vec<String>,
    answered: u64,
    failed: u64,
    broken: u64,
    suspects: BTreeSet<u64>,
    excused: BTreeSet<u64>,
    /// Servers that left the configuration, and when at the latest all workers knew.
    removed: BTreeMap<usize, Instant>,
}

/// One request of an honest client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Length of its own content.
    pub(crate) content: u64,
    /// Length of the content it asks for.
    pub(crate) wants: u64,
    pub(crate) begun: Option<Instant>,
    executions: u32,
    /// A server failed at it on purpose.
    pub(crate) spoilt: bool,
}

impl Request {
    pub(crate) fn new(method: &'static str, content: u64, wants: u64) -> Self {
        Self { method, content, wants, begun: None, executions: 0, spoilt: false }
    }
}

impl Oracle {
    /// Notes that something happened that may not happen.
    pub(crate) fn object(&self, what: impl Into<String>) {
        let mut book = self.0.borrow_mut();
        if book.violations.len() < 20 {
            let what = what.into();
            runtime::sim::note("objection", 0, what.as_bytes());
            book.violations.push(what);
        }
    }

    /// The first objection, if there is one.
    pub(crate) fn objection(&self) -> Option<String> {
        self.0.borrow().violations.first().cloned()
    }

    /// A client is about to send this.
    pub(crate) fn asks(&self, id: u64, mut request: Request) {
        request.begun = Some(runtime::now());
        self.0.borrow_mut().requests.insert(id, request);
    }

    pub(crate) fn request(&self, id: u64) -> Option<Request> {
        self.0.borrow().requests.get(&id).cloned()
    }

    /// A server begins to execute it.
    pub(crate) fn executes(&self, id: u64, method: &str, server: usize) {
        let now = runtime::now();
        let mut book = self.0.borrow_mut();
        let left = book.removed.get(&server).copied();
        let Some(request) = book.requests.get_mut(&id) else {
            drop(book);
            return self.object(format!("server {server} got a request {id} that nobody sent"));
        };
        request.executions += 1;
        let times = request.executions;
        let (expected, begun) = (request.method, request.begun);
        drop(book);
        if method != expected {
            self.object(format!("request {id} was sent as {expected} and arrived as {method}"));
        }
        if times > 1 && method == "POST" {
            self.object(format!("POST {id} was executed {times} times"));
        }
        if let (Some(left), Some(begun)) = (left, begun)
            && begun > left
        {
            let late = now - left;
            self.object(format!("request {id} reached server {server}, removed {late:?} ago"));
        }
    }

    /// A server fails at it on purpose: whatever the client gets, it is not the proxy's fault.
    pub(crate) fn spoil(&self, id: u64) {
        if let Some(request) = self.0.borrow_mut().requests.get_mut(&id) {
            request.spoilt = true;
        }
    }

    /// It crossed an answer that was already under way, which nobody could know.
    pub(crate) fn crossed(&self, id: u64) {
        self.spoil(id);
        let mut book = self.0.borrow_mut();
        book.suspects.remove(&id);
        book.excused.insert(id);
    }

    /// It got an answer that was meant for nobody: right only if the two crossed.
    pub(crate) fn suspect(&self, id: u64) {
        let mut book = self.0.borrow_mut();
        if !book.excused.contains(&id) {
            book.suspects.insert(id);
        }
    }

    /// In the end every suspicion must have been removed.
    pub(crate) fn judge_suspects(&self) {
        let suspects = self.0.borrow().suspects.clone();
        for id in suspects {
            self.object(format!("{id} got an answer that was meant for nobody"));
        }
    }

    /// Only servers not in `removed` may get requests that begin after `known`.
    pub(crate) fn change(&self, removed: Vec<usize>, known: Instant) {
        self.0.borrow_mut().removed = removed.into_iter().map(|server| (server, known)).collect();
    }

    /// What the client made of it.
    pub(crate) fn concluded(&self, end: Conclusion) {
        let mut book = self.0.borrow_mut();
        match end {
            Conclusion::Answered => book.answered += 1,
            Conclusion::Failed => book.failed += 1,
            Conclusion::Broken => book.broken += 1,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let book = self.0.borrow();
        let executions = book.requests.values().map(|r| u64::from(r.executions)).sum();
        Tally { answered: book.answered, failed: book.failed, broken: book.broken, executions }
    }
}

/// How a request of an honest client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// By a server's whole answer.
    Answered,
    /// By an answer of the proxy's own.
    Failed,
    /// Without a whole answer.
    Broken,
}

/// Sums, for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Whole answers of servers.
    pub answered: u64,
    /// Answers of the proxy's own.
    pub failed: u64,
    /// Exchanges that ended without a whole answer.
    pub broken: u64,
    /// Requests that servers executed.
    pub executions: u64,
}
