//! A backend that keeps every byte and answers every request that a naive reader finds in them, and
//! a client that sends a stream and collects those answers.
#![allow(unreachable_pub)] // for the test beside it

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use properties::stream::{End, Request, first};

use crate::support::LIMIT;

/// Requests after which the backend closes a connection, so that what failed is soon found.
const REQUESTS_MAX: usize = 50;

/// One connection from the proxy.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Every byte.
    pub bytes: Vec<u8>,
    /// The requests in them, and the stream that each came from.
    pub requests: Vec<(u64, Request)>,
    /// What those were answered that were not before they were complete.
    pub answers: Vec<(u64, String)>,
    /// Where each of them ends.
    pub ends: Vec<usize>,
    /// What was left when the proxy closed.
    pub rest: Option<End>,
}

/// A backend for one stream at a time.
pub struct Recorder {
    pub address: SocketAddr,
    stream: Arc<AtomicU64>,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    /// One that answers requests when they are complete, or half of them, if it is `early`, as soon
    /// as their head is.
    pub fn start(early: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (stream, records) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<Record>>>::default());
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            stream: stream.clone(),
            records: records.clone(),
        };
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (stream, records) = (stream.clone(), records.clone());
                let index = records.lock().unwrap().len();
                records.lock().unwrap().push(Record::default());
                std::thread::spawn(move || converse(connection, index, early, &stream, &records));
            }
        });
        recorder
    }

    /// What comes from now on comes from this stream.
    pub fn expect(&self, stream: u64) {
        self.stream.store(stream, Ordering::SeqCst);
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// The answers that were given to requests of this stream.
    pub fn answers(&self, stream: u64) -> Vec<String> {
        let records = self.records.lock().unwrap();
        let answers = records.iter().flat_map(|record| &record.answers);
        answers.filter(|(from, _)| *from == stream).map(|(_, answer)| answer.clone()).collect()
    }

    /// Connections whose bytes are no requests, and why.
    pub fn wrong(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        let wrong = records.iter().filter_map(|record| match &record.rest {
            Some(End::Wrong(why)) => Some((why, &record.bytes)),
            _ => None,
        });
        wrong.map(|(why, bytes)| format!("{why}: {:?}", String::from_utf8_lossy(bytes))).collect()
    }
}

/// What a request was read as.
pub fn answer(request: &Request) -> String {
    format!("{} {} {}", request.method, request.body.len(), request.target)
}

fn converse(
    mut connection: TcpStream,
    index: usize,
    early: bool,
    stream: &AtomicU64,
    records: &Mutex<Vec<Record>>,
) {
    connection.set_nodelay(true).unwrap();
    let mut waiting = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let note = |change: &dyn Fn(&mut Record)| change(&mut records.lock().unwrap()[index]);
    for count in 1.. {
        let mut is_answered = false;
        let (request, length) = loop {
            match first(&waiting) {
                Ok(Some(found)) => break found,
                Ok(None) if early && count % 2 == 0 && !is_answered && has_head(&waiting) => {
                    is_answered = true;
                    let body = if waiting.starts_with(b"HEAD ") { "" } else { "early" };
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
                    let _ = connection.write_all(format!("{head}{body}").as_bytes());
                }
                Ok(None) => {}
                Err(error) => return note(&|record| record.rest = Some(End::Wrong(error.clone()))),
            }
            let length = connection.read(&mut buffer).unwrap_or(0);
            if length == 0 {
                let end = if waiting.is_empty() { End::Clean } else { End::Partial };
                return note(&|record| record.rest = Some(end.clone()));
            }
            waiting.extend_from_slice(&buffer[..length]);
            note(&|record| record.bytes.extend_from_slice(&buffer[..length]));
        };
        waiting.drain(..length);
        let from = stream.load(Ordering::SeqCst);
        note(&|record| {
            let end = record.ends.last().unwrap_or(&0) + length;
            record.ends.push(end);
            record.requests.push((from, request.clone()));
        });
        if is_answered {
            continue;
        }
        note(&|record| record.answers.push((from, answer(&request))));
        let close = if count == REQUESTS_MAX { "Connection: close\r\n" } else { "" };
        let answer = answer(&request);
        let head =
            format!("HTTP/1.1 200 OK\r\n{close}X-Answer: {answer}\r\nContent-Length: 2\r\n\r\n");
        let body = if request.method == "HEAD" { "" } else { "ok" };
        if connection.write_all(format!("{head}{body}").as_bytes()).is_err() || !close.is_empty() {
            return;
        }
    }
}

fn has_head(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}

/// Sends the pieces and ends, then reads until the peer does. One that is `patient` first gives the
/// peer the time to answer each piece.
pub fn send(to: SocketAddr, pieces: &[&[u8]], patient: bool) -> String {
    const MOMENT: Duration = Duration::from_millis(2);
    let mut connection = TcpStream::connect(to).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(MOMENT)).unwrap();
    let (mut reply, mut buffer) = (Vec::new(), [0; 4096]);
    for piece in pieces {
        let _ = connection.write_all(piece); // it may have read enough before all is sent
        if patient && let Ok(length) = connection.read(&mut buffer) {
            reply.extend_from_slice(&buffer[..length]);
        }
    }
    let _ = connection.shutdown(Shutdown::Write);
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    let read = connection.read_to_end(&mut reply);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("no end to the answer: {reply}")
        }
        _ => reply,
    }
}

/// Sends all bytes, then reads until there are as many answers or the peer closes: one that misses a
/// boundary waits for more, and closes in the end.
pub fn ask(to: SocketAddr, bytes: &[u8], count: usize) -> String {
    let mut connection = TcpStream::connect(to).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut reply, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let _ = connection.write_all(bytes);
    loop {
        let text = String::from_utf8_lossy(&reply).into_owned();
        if answers(&text).len() >= count && text.ends_with("\r\n\r\n") {
            return text;
        }
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(length) => reply.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The answers in what a client got.
pub fn answers(reply: &str) -> Vec<String> {
    let mut lines: Vec<_> = reply.split("\r\n").collect();
    lines.retain(|line| line.to_ascii_lowercase().starts_with("x-answer: "));
    lines.iter().map(|line| line["x-answer: ".len()..].to_owned()).collect()
}
