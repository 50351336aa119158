//! The canary oracle: raw bytes go through a proxy to a recording backend; then another client's
//! unique request, over the same connections to that backend, must get its own answer. Whatever the
//! first client sent, it must neither reach the backend as anything but what it is, nor touch
//! anybody else's exchange.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::faultd::Faultd;
use crate::message::Reader;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Raw bytes and what must come of them.
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

/// A proxy and the one backend behind it.
pub struct Oracle {
    /// The proxy.
    pub proxy: SocketAddr,
    /// The backend.
    pub backend: Faultd,
}

impl Oracle {
    /// Sends the case in one write, at every split in two, and byte by byte; what went wrong.
    pub async fn judge(&self, case: &Case<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut ways: Vec<Vec<&[u8]>> = vec![vec![case.bytes], case.bytes.chunks(1).collect()];
        for at in 1..case.bytes.len() {
            let (first, second) = case.bytes.split_at(at);
            ways.push(vec![first, second]);
        }
        for way in ways {
            if let Err(what) = self.judge_one(case, &way).await {
                wrong.push(format!("{} in {} pieces: {what}", case.name, way.len()));
            }
        }
        wrong
    }

    async fn judge_one(&self, case: &Case<'_>, pieces: &[&[u8]]) -> Result<(), String> {
        let before = self.backend.count();
        let status = tokio::time::timeout(PATIENCE, self.send(pieces))
            .await
            .map_err(|_| "no answer in time".to_owned())??;
        if !case.statuses.contains(&status) {
            return Err(format!("status {status}, not one of {:?}", case.statuses));
        }
        let reached = self.backend.count() - before;
        if reached != case.reach {
            return Err(format!("{reached} requests reached the backend, not {}", case.reach));
        }
        tokio::time::timeout(PATIENCE, self.canary(before))
            .await
            .map_err(|_| "the canary got no answer in time".to_owned())?
    }

    /// The status of the first response, once the proxy has closed or fallen silent.
    async fn send(&self, pieces: &[&[u8]]) -> Result<u16, String> {
        let mut stream = TcpStream::connect(self.proxy).await.map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        for piece in pieces {
            if stream.write_all(piece).await.is_err() {
                break; // it has closed already; its answer is there to be read
            }
            tokio::task::yield_now().await;
        }
        let mut reader = Reader::new(stream);
        let head = reader.head().await.map_err(|ending| format!("no response: {ending:?}"))?;
        let _ = reader.body(&head, false, &mut |_| ()).await;
        let _ = reader.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = reader.stream.read_to_end(&mut rest).await;
        Ok(head.status())
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
