//! A resolver that answers every question about addresses as it is told to (RFC 1035): with a set of
//! IPv4 addresses, with an error, with nothing, with garbage, or not at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;

/// How questions are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// With these addresses, to be kept for so many seconds; no others exist.
    Addresses(Vec<Ipv4Addr>, u32),
    /// With this RCODE (section 4.1.1): 2 is SERVFAIL, 3 NXDOMAIN.
    Error(u8),
    /// With bytes that are no message.
    Garbage,
    /// Not at all.
    Silence,
}

/// A running resolver.
pub struct Resolver {
    /// Where it listens.
    pub address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

/// Type A.
const A: u16 = 1;
/// Bytes of a header.
const HEADER: usize = 12;

impl Resolver {
    /// Listens on `address` and answers until the runtime ends.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, answers: Answers) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let answers = Arc::new(Mutex::new(answers));
        let told = answers.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answers = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(message) = reply(buffer.get(..length).unwrap_or_default(), &answers) {
                    let _ = socket.send_to(&message, from).await;
                }
            }
        });
        Ok(Self { address, answers })
    }

    /// From now on.
    pub fn answer(&self, answers: Answers) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }
}

/// The reply to a question; `None` is silence.
fn reply(question: &[u8], answers: &Answers) -> Option<Vec<u8>> {
    // The name ends with an empty label; type and class follow.
    let rest = question.get(HEADER..)?;
    let end = HEADER + rest.iter().position(|byte| *byte == 0)? + 5;
    let asked = question.get(HEADER..end)?;
    let kind = u16::from_be_bytes([*question.get(end - 4)?, *question.get(end - 3)?]);
    let (code, records) = match answers {
        Answers::Addresses(addresses, ttl) if kind == A => {
            (0, addresses.iter().map(|a| (a, *ttl)).collect())
        }
        Answers::Addresses(..) => (0, Vec::new()),
        Answers::Error(code) => (*code, Vec::new()),
        Answers::Garbage => return Some(vec![0xff; 40]),
        Answers::Silence => return None,
    };
    let mut message = question.get(..2)?.to_vec();
    message.extend([0x84, 0x80 | code, 0, 1]); // a response, authoritative; one question
    message.extend((records.len() as u16).to_be_bytes());
    message.extend([0; 4]);
    message.extend_from_slice(asked);
    for (address, ttl) in records {
        message.extend([0xc0, HEADER as u8, 0, 1, 0, 1]); // the name asked for; A, IN
        message.extend(ttl.to_be_bytes());
        message.extend([0, 4]);
        message.extend(address.octets());
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.test`, type A, class IN.
    const QUESTION: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";

    #[test]
    fn an_answer_repeats_the_question_and_lists_addresses() {
        let answers = Answers::Addresses(vec![Ipv4Addr::new(10, 0, 0, 1)], 7);
        let message = reply(QUESTION, &answers).unwrap_or_default();
        assert_eq!(message.get(..8), Some(b"\x12\x34\x84\x80\x00\x01\x00\x01".as_slice()));
        assert!(
            message.ends_with(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x07\x00\x04\x0a\x00\x00\x01")
        );
    }

    #[test]
    fn an_error_has_its_code_and_no_records() {
        let message = reply(QUESTION, &Answers::Error(3)).unwrap_or_default();
        assert_eq!(message.get(3).map(|byte| byte & 0x0f), Some(3));
        assert_eq!(message.len(), QUESTION.len());
        assert_eq!(reply(QUESTION, &Answers::Silence), None);
    }
}
