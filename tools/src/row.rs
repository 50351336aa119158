//! One row of a catalogue: raw bytes, in which pieces they are sent, and what must come of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::faultd::Request;
use crate::message::Head;

/// Inputs longer than this are not split at every byte.
const SPLIT_EVERYWHERE: usize = 400;
/// Inputs longer than this are not sent byte by byte.
const BYTE_BY_BYTE: usize = 4 * 1024;
/// Splits of a long input, evenly spaced, beside those at its line ends.
const SPLITS: usize = 64;
/// Line ends of a long input at which it is split.
const LINE_ENDS: usize = 40;

/// Raw bytes and what must come of them.
#[derive(Clone)]
pub struct Row {
    /// For messages.
    pub name: String,
    /// As sent.
    pub bytes: Vec<u8>,
    /// Statuses of which the first response must have one; none if there must be no response.
    pub statuses: Vec<u16>,
    /// Statuses of the responses behind it; `None` is any.
    pub then: Option<Vec<u16>>,
    /// Requests that must reach the backend, whole.
    pub reach: u64,
    /// The last response says that the proxy closes, and it does, in order.
    pub closes: bool,
    /// The client ends its half once all is sent.
    pub ends: bool,
    /// It is sent in one write only: for inputs whose size is their point.
    pub whole: bool,
    /// The reason the last response gives, and the log.
    pub reason: String,
    checks: Vec<(String, Check)>,
}

type Check = Arc<dyn Fn(&Seen) -> bool + Send + Sync>;

impl Row {
    /// Nothing of it reaches the backend; it is answered with this status and reason, and the
    /// connection is closed.
    pub fn refused(bytes: impl AsRef<[u8]>, status: u16, reason: &str) -> Self {
        let row = Self::new(bytes, status);
        Self { closes: true, reason: reason.to_owned(), ..row }
    }

    /// It reaches the backend as one request, and is answered with 200.
    pub fn forwarded(bytes: impl AsRef<[u8]>) -> Self {
        Self { reach: 1, ..Self::new(bytes, 200) }
    }

    /// The client ends in the middle; it gets no answer, and nothing reaches the backend whole.
    pub fn abandoned(bytes: impl AsRef<[u8]>) -> Self {
        let row = Self::refused(bytes, 0, "client_gone");
        Self { statuses: Vec::new(), ends: true, ..row }
    }

    /// One response with this status, and nothing reaches the backend.
    pub fn new(bytes: impl AsRef<[u8]>, status: u16) -> Self {
        let bytes = bytes.as_ref().to_vec();
        let shown: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
        Self {
            name: format!("{shown:?}"),
            bytes,
            statuses: vec![status],
            then: Some(Vec::new()),
            reach: 0,
            closes: false,
            ends: false,
            whole: false,
            reason: String::new(),
            checks: Vec::new(),
        }
    }

    /// Also this must be true of what came of it.
    #[must_use]
    pub fn and(
        mut self,
        what: impl Into<String>,
        check: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((what.into(), Arc::new(check)));
        self
    }

    /// The first of the checks that is not true.
    pub(crate) fn first_wrong(&self, seen: &Seen) -> Option<&str> {
        let wrong = self.checks.iter().find(|(_, check)| !check(seen));
        wrong.map(|(what, _)| what.as_str())
    }

    /// The places at which the bytes are taken apart, one list for each time they are sent: none,
    /// one, all. A long input is split at its line ends, a byte beside them, and evenly.
    pub fn ways(&self) -> Vec<Vec<usize>> {
        let length = self.bytes.len();
        let mut ways = vec![Vec::new()];
        if self.whole {
            return ways;
        }
        if length <= BYTE_BY_BYTE {
            ways.push((1..length).collect());
        }
        let mut splits: Vec<usize> = if length <= SPLIT_EVERYWHERE {
            (1..length).collect()
        } else {
            let ends = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let ends: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
            // The first are the head's; of the others the last say how it ends.
            let last = ends.len().saturating_sub(LINE_ENDS / 2).max(LINE_ENDS / 2);
            let few = ends.iter().take(LINE_ENDS / 2).chain(ends.iter().skip(last));
            let beside = few.flat_map(|end| [end - 1, *end, end + 1]);
            beside.chain((1..=SPLITS).map(|n| n * length / (SPLITS + 1))).collect()
        };
        splits.retain(|at| (1..length).contains(at));
        splits.sort_unstable();
        splits.dedup();
        ways.extend(splits.into_iter().map(|at| vec![at]));
        ways
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A response as the client got it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line and fields.
    pub head: Head,
    /// What its framing says is its body.
    pub body: Vec<u8>,
}

/// What came of a row.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The responses, in order.
    pub answers: Vec<Answer>,
    /// The requests that reached the backend.
    pub requests: Vec<Request>,
}

impl Seen {
    /// Request line of the first request at the backend.
    pub fn line(&self) -> &str {
        self.requests.first().map(|request| request.line.as_str()).unwrap_or_default()
    }

    /// The first request at the backend, as received.
    pub fn wire(&self) -> Cow<'_, str> {
        let raw = self.requests.first().map(|request| request.raw.as_slice());
        String::from_utf8_lossy(raw.unwrap_or_default())
    }

    /// The values of its field lines of this name, exactly as written.
    pub fn values(&self, name: &str) -> Vec<String> {
        let wire = self.wire();
        let head = wire.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        let named = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.to_owned()).collect()
    }

    /// It has exactly one field line of this name, with this value.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.values(name) == [value]
    }

    /// What follows its head, as received.
    pub fn content(&self) -> String {
        let wire = self.wire();
        wire.split_once("\r\n\r\n").map(|(_, content)| content.to_owned()).unwrap_or_default()
    }
}
