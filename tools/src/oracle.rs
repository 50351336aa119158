//! The canary oracle: raw bytes go through a proxy to a recording backend; then another client's
//! unique request, over the same connections to that backend, must get its own answer. Whatever the
//! first client sent, it must neither reach the backend as anything but what it is, nor touch
//! anybody else's exchange.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::faultd::Faultd;
use crate::message::{Ending, Head, Reader};
use crate::row::{Answer, Row, Seen};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two pieces of a short input, so that the proxy most likely sees them as two.
const PACE: Duration = Duration::from_millis(1);
/// So many wrongs are enough; judging stops.
const WRONG_MAX: usize = 100;
/// Inputs with more pieces than this are sent without a pause.
const PACED_MAX: usize = 400;

/// Raw bytes and what must come of them; a [`Row`] can say more.
#[derive(Clone, Debug)]
pub struct Case<'c> {
    /// For messages.
    pub name: &'c str,
    /// As sent.
    pub bytes: &'c [u8],
    /// Statuses of which the first response must have one.
    pub statuses: &'c [u16],
    /// Requests that must reach the backend.
    pub reach: u64,
}

impl From<&Case<'_>> for Row {
    fn from(case: &Case<'_>) -> Self {
        let mut row = Self::new(case.bytes, 0);
        row.name = case.name.to_owned();
        row.statuses = case.statuses.to_vec();
        row.then = None;
        row.reach = case.reach;
        row
    }
}

/// A proxy and the one backend behind it. One exchange at a time, so that whatever reaches the
/// backend is of that exchange.
#[derive(Clone)]
pub struct Oracle {
    /// The proxy.
    pub proxy: SocketAddr,
    /// The backend.
    pub backend: Faultd,
}

impl Oracle {
    /// Sends the case in one write, at every split in two, and byte by byte; what went wrong.
    pub async fn judge(&self, case: &Case<'_>) -> Vec<String> {
        let row = Row::from(case);
        let mut wrong = Vec::new();
        for splits in row.ways() {
            if let Err(what) = self.judge_one(&row, &splits).await {
                wrong.push(describe(&row, &splits, &what));
            }
        }
        wrong
    }

    /// Sends the row taken apart at these places.
    ///
    /// # Errors
    /// What came of it that must not.
    pub async fn judge_one(&self, row: &Row, splits: &[usize]) -> Result<(), String> {
        let before = self.backend.count();
        self.backend.take_requests();
        let mut seen = Seen::default();
        tokio::time::timeout(PATIENCE, self.converse(row, splits, &mut seen.answers))
            .await
            .map_err(|_| format!("no end in time after {:?}", seen.answers))??;
        compare_answers(row, &seen.answers)?;
        self.compare_reach(row, before)?;
        tokio::time::timeout(PATIENCE, self.canary(before))
            .await
            .map_err(|_| "the canary got no answer in time".to_owned())??;
        // Nothing came late either.
        self.compare_reach(row, before + 1)?;
        seen.requests = self.backend.take_requests();
        seen.requests.truncate(usize::try_from(row.reach).unwrap_or(usize::MAX));
        match row.first_wrong(&seen) {
            Some(what) => Err(format!("not true: {what}: {:?} {:?}", seen.wire(), seen.answers)),
            None => Ok(()),
        }
    }

    fn compare_reach(&self, row: &Row, before: u64) -> Result<(), String> {
        match self.backend.count() - before {
            reached if reached == row.reach => Ok(()),
            reached => Err(format!(
                "{reached} requests reached the backend, not {}: {:?}",
                row.reach,
                self.backend.requests()
            )),
        }
    }

    /// Sends, then reads until the proxy has closed or fallen silent.
    async fn converse(
        &self,
        row: &Row,
        splits: &[usize],
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let mut stream = TcpStream::connect(self.proxy).await.map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        send(&mut stream, &row.bytes, splits).await;
        if row.ends {
            let _ = stream.shutdown().await;
        }
        let mut reader = Reader::new(stream);
        let is_head = row.bytes.starts_with(b"HEAD ");
        let expected = row.then.as_ref().map_or(1, |then| 1 + then.len());
        loop {
            let closes = answers.last().is_some_and(|answer| is_last(&answer.head));
            if answers.len() >= expected && !(row.closes && closes) {
                // It need not close, or does not intend to; then our end is the end.
                let _ = reader.stream.shutdown().await;
            }
            let head = match reader.head().await {
                Ok(head) => head,
                Err(Ending::Closed) if reader.pending().is_empty() => return Ok(()),
                Err(_) if row.statuses.is_empty() => return Ok(()),
                Err(_) if row.then.is_none() && !answers.is_empty() => return Ok(()),
                Err(ending) => return Err(format!("{ending:?} after {answers:?}")),
            };
            let has_body = !is_head && head.status() >= 200;
            answers.push(Answer { head, body: Vec::new() });
            if let Some(answer) = answers.last_mut()
                && has_body
            {
                let mut sink = |piece: &[u8]| answer.body.extend_from_slice(piece);
                let whole = reader.body(&answer.head, false, &mut sink).await;
                if row.then.is_none() {
                    let _ = reader.stream.shutdown().await;
                    let _ = reader.stream.read_to_end(&mut Vec::new()).await;
                    return Ok(());
                }
                whole.map_err(|ending| format!("{ending:?} in the body of {answer:?}"))?;
            }
        }
    }

    async fn canary(&self, seed: u64) -> Result<(), String> {
        let id = format!("canary-{seed}-{}", self.backend.connections());
        let mut stream = TcpStream::connect(self.proxy).await.map_err(|e| e.to_string())?;
        let request = format!(
            "GET /echo/{id} HTTP/1.1\r\nHost: canary\r\nX-Id: {id}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut reader = Reader::new(stream);
        let head = reader.head().await.map_err(|ending| format!("canary: {ending:?}"))?;
        let mut body = Vec::new();
        let whole = reader.body(&head, true, &mut |piece| body.extend_from_slice(piece)).await;
        let expected = format!("GET /echo/{id}\n");
        if head.field("x-id") != Some(id.as_str()) || whole.is_err() || body != expected.as_bytes()
        {
            return Err(format!(
                "the canary got another's answer: {head:?} {:?}",
                String::from_utf8_lossy(&body)
            ));
        }
        Ok(())
    }
}

async fn send(stream: &mut TcpStream, bytes: &[u8], splits: &[usize]) {
    let mut from = 0;
    for to in splits.iter().copied().chain([bytes.len()]) {
        if stream.write_all(bytes.get(from..to).unwrap_or_default()).await.is_err() {
            return; // it has closed already; its answer is there to be read
        }
        from = to;
        match splits.len() <= PACED_MAX && to < bytes.len() {
            true => tokio::time::sleep(PACE).await,
            false => tokio::task::yield_now().await,
        }
    }
}

fn compare_answers(row: &Row, answers: &[Answer]) -> Result<(), String> {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.head.status()).collect();
    let Some((first, then)) = statuses.split_first() else {
        return if row.statuses.is_empty() { Ok(()) } else { Err("no answer".into()) };
    };
    let is_then = row.then.as_ref().is_none_or(|expected| then == expected);
    if !row.statuses.contains(first) || !is_then {
        return Err(format!("statuses {statuses:?}, not {:?} {:?}", row.statuses, row.then));
    }
    let Some(last) = answers.last() else { return Ok(()) };
    if row.closes && !is_last(&last.head) {
        return Err(format!("the last answer does not say that it closes: {:?}", last.head));
    }
    let reason = last.head.field("x-evenkeel-reason").unwrap_or_default();
    if row.then.is_some() && reason != row.reason {
        return Err(format!("reason {reason:?}, not {:?}", row.reason));
    }
    Ok(())
}

/// The proxy says that it closes after this response.
fn is_last(head: &Head) -> bool {
    head.lists("connection", "close")
}

fn describe(row: &Row, splits: &[usize], what: &str) -> String {
    let how = match splits {
        [] => "in one piece".to_owned(),
        [at] => format!("split at {at}"),
        many => format!("in {} pieces", many.len() + 1),
    };
    format!("{} {how}: {what}", row.name)
}

/// Several oracles that judge side by side; each has a backend of its own, so that what reaches it
/// can be counted.
pub struct Lanes(pub Vec<Oracle>);

/// What came of many rows.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What went wrong; nothing, if all is well.
    pub wrong: Vec<String>,
    /// How often each reason was given, and must be found in the log.
    pub reasons: HashMap<String, usize>,
    /// Exchanges of rows; canaries are not counted.
    pub ways: usize,
}

impl Lanes {
    /// Judges every row in every way.
    pub async fn judge(&self, rows: Vec<Row>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut work = Vec::new();
        for row in rows.into_iter().map(Arc::new) {
            let ways = row.ways();
            if !row.reason.is_empty() {
                *verdict.reasons.entry(row.reason.clone()).or_default() += ways.len();
            }
            work.extend(ways.into_iter().map(|splits| (row.clone(), splits)));
        }
        verdict.ways = work.len();
        let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
        let wrong: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut lanes = tokio::task::JoinSet::new();
        for oracle in &self.0 {
            let oracle = oracle.clone();
            let (work, next, wrong) = (work.clone(), next.clone(), wrong.clone());
            lanes.spawn(async move {
                while let Some((row, splits)) = work.get(next.fetch_add(1, Relaxed)) {
                    if let Err(what) = oracle.judge_one(row, splits).await {
                        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                        wrong.push(describe(row, splits, &what));
                        if wrong.len() >= WRONG_MAX {
                            return;
                        }
                    }
                }
            });
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(panic) = ended {
                verdict.wrong.push(panic.to_string());
            }
        }
        verdict.wrong.append(&mut wrong.lock().unwrap_or_else(PoisonError::into_inner));
        verdict
    }
}
