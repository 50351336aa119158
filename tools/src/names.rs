//! A name server that answers what it is told to, well or badly (RFC 1035): over UDP and, on the
//! same port, over TCP. Owns its own reading and writing of messages, so that it cannot share the
//! mistakes of whoever asks it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is answered for a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These addresses, by family of what was asked for, for so many seconds.
    Addresses(u32, Vec<IpAddr>),
    /// These services: priority, weight, port, target.
    Services(u32, Vec<(u16, u16, u16, &'static str)>),
    /// There is no such name.
    NxDomain,
    /// The server has failed.
    ServFail,
    /// It refuses to say.
    Refused,
    /// The name has no records.
    Empty,
    /// Bytes that are no message, and messages that end in the middle or point at themselves.
    Garbage,
    /// Over UDP only that the answer is too long; over TCP, the answer.
    Truncated(Box<Self>),
    /// Nothing.
    Silence,
    /// The answer, after this time.
    Late(Duration, Box<Self>),
    /// Addresses for IPv4, another answer for IPv6.
    Each(Box<Self>, Box<Self>),
}

type Zone = Arc<Mutex<HashMap<String, Answer>>>;

/// Answers until the process ends; what it does not know does not exist.
pub struct NameServer {
    /// Where it answers.
    pub address: SocketAddr,
    zone: Zone,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

impl NameServer {
    /// Listens on a port of its own.
    ///
    /// # Panics
    /// When there is none.
    pub fn start() -> Self {
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for UDP and TCP");
        let address = udp.local_addr().expect("it is bound");
        let server = Self { address, zone: Zone::default(), asked: Arc::default() };
        let (zone, asked) = (server.zone.clone(), server.asked.clone());
        std::thread::spawn(move || serve_udp(&udp, &zone, &asked));
        let (zone, asked) = (server.zone.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in tcp.incoming().map_while(Result::ok) {
                let _ = serve_tcp(stream, &zone, &asked);
            }
        });
        server
    }

    /// From now on, this is answered for this name (without the dot at its end).
    pub fn set(&self, name: &str, answer: Answer) {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), answer);
    }

    /// Addresses, for so many seconds.
    ///
    /// # Panics
    /// When one is none.
    pub fn set_addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().expect("an address")).collect();
        self.set(name, Answer::Addresses(ttl, addresses));
    }

    /// How often it was asked about this name.
    pub fn count(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|(asked, _)| asked == name).count()
    }
}

fn serve_udp(socket: &UdpSocket, zone: &Zone, asked: &Mutex<Vec<(String, u16)>>) {
    let mut buffer = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        let question = buffer[..n].to_vec();
        let Some((answer, kind)) = answer_to(&question, zone, asked) else { continue };
        let Ok(socket) = socket.try_clone() else { continue };
        std::thread::spawn(move || {
            for message in messages(&question, &answer, kind, false) {
                let _ = socket.send_to(&message, from);
            }
        });
    }
}

fn serve_tcp(
    mut stream: TcpStream,
    zone: &Zone,
    asked: &Mutex<Vec<(String, u16)>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        let Some((answer, kind)) = answer_to(&question, zone, asked) else { return Ok(()) };
        for message in messages(&question, &answer, kind, true) {
            let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
            stream.write_all(&length.to_be_bytes())?;
            stream.write_all(&message)?;
        }
    }
}

fn answer_to(
    question: &[u8],
    zone: &Zone,
    asked: &Mutex<Vec<(String, u16)>>,
) -> Option<(Answer, u16)> {
    let (name, kind, _) = read_question(question)?;
    asked.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), kind));
    let zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    Some((zone.get(&name).cloned().unwrap_or(Answer::NxDomain), kind))
}

/// Name, type, and where the question ends.
fn read_question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut name) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        name.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((name.join("."), kind, at + 4))
}

/// What goes out for an answer; usually one message.
fn messages(question: &[u8], answer: &Answer, kind: u16, is_tcp: bool) -> Vec<Vec<u8>> {
    match answer {
        Answer::Silence => vec![],
        Answer::Late(time, answer) => {
            std::thread::sleep(*time);
            messages(question, answer, kind, is_tcp)
        }
        Answer::Each(v4, v6) => {
            let answer = if kind == AAAA { v6 } else { v4 };
            messages(question, answer, kind, is_tcp)
        }
        Answer::Truncated(answer) if is_tcp => messages(question, answer, kind, is_tcp),
        Answer::Truncated(_) => vec![message(question, 0, true, &[])],
        Answer::Garbage => garbage(question),
        Answer::NxDomain => vec![message(question, 3, false, &[])],
        Answer::ServFail => vec![message(question, 2, false, &[])],
        Answer::Refused => vec![message(question, 5, false, &[])],
        Answer::Empty => vec![message(question, 0, false, &[])],
        Answer::Addresses(ttl, addresses) => {
            let data = addresses.iter().filter_map(|address| match (address, kind) {
                (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
                (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
                _ => None,
            });
            let records: Vec<_> = data.map(|data| record(kind, *ttl, &data)).collect();
            vec![message(question, 0, false, &records)]
        }
        Answer::Services(ttl, services) => {
            let services = services.iter().filter(|_| kind == SRV);
            let records: Vec<_> = services
                .map(|(priority, weight, port, target)| {
                    let mut data = Vec::new();
                    for number in [priority, weight, port] {
                        data.extend(number.to_be_bytes());
                    }
                    data.extend(name(target));
                    record(SRV, *ttl, &data)
                })
                .collect();
            vec![message(question, 0, false, &records)]
        }
    }
}

/// Several kinds of nonsense, one after the other.
fn garbage(question: &[u8]) -> Vec<Vec<u8>> {
    let address = record(A, 60, &[127, 0, 0, 1]);
    let whole = message(question, 0, false, std::slice::from_ref(&address));
    let cut = whole[..whole.len() - 3].to_vec();
    let mut other = whole.clone();
    other[0] ^= 0xff; // another question's identifier
    let mut looped = address;
    let end = u16::try_from(whole.len() - looped.len()).unwrap_or(0);
    looped[..2].copy_from_slice(&(0xc000 | end).to_be_bytes()); // a name that points at itself
    let looped = message(question, 0, false, &[looped]);
    vec![b"\xff\xfe not a message".to_vec(), vec![], cut, other, looped]
}

fn message(question: &[u8], code: u8, truncated: bool, records: &[Vec<u8>]) -> Vec<u8> {
    let end = read_question(question).map_or(question.len(), |(.., end)| end);
    let count = u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut message = question[..2].to_vec();
    message.push(0x81 | if truncated { 2 } else { 0 }); // a response, recursion desired
    message.push(0x80 | code); // recursion available
    message.extend([0, 1, count[0], count[1], 0, 0, 0, 0]);
    message.extend(&question[12..end]);
    message.extend(records.concat());
    message
}

/// A record of the name that was asked for.
fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    record.extend(data);
    record
}

fn name(text: &str) -> Vec<u8> {
    let mut name = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        name.push(u8::try_from(label.len()).unwrap_or(63));
        name.extend(label.bytes());
    }
    name.push(0);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.test`, type A, class IN.
    const QUESTION: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";

    #[test]
    fn an_answer_repeats_the_question_and_lists_addresses() {
        let answer = Answer::Addresses(7, vec![IpAddr::from([10, 0, 0, 1])]);
        let [message] = messages(QUESTION, &answer, A, false).try_into().expect("one message");
        assert_eq!(message.get(..8), Some(b"\x12\x34\x81\x80\x00\x01\x00\x01".as_slice()));
        assert!(
            message.ends_with(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x07\x00\x04\x0a\x00\x00\x01")
        );
    }

    #[test]
    fn an_error_has_its_code_and_no_records() {
        let [message] =
            messages(QUESTION, &Answer::NxDomain, A, false).try_into().expect("one message");
        assert_eq!(message.get(3).map(|byte| byte & 0x0f), Some(3));
        assert_eq!(message.len(), QUESTION.len());
        assert_eq!(messages(QUESTION, &Answer::Silence, A, false), Vec::<Vec<u8>>::new());
    }
}
