//! Which pool a connection is for, by what it begins with: TLS with a name and protocols, HTTP, or
//! something else. What is looked at stays where it is, for the server.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use evenkeel_codec::client_hello::{self, ClientHello, HELLO_MAX, HelloReading};
use evenkeel_config::model::{FirstBytes, HostMatch, Passthrough, Relay};

use super::{Ending, Session};

/// What a connection begins with.
#[derive(Debug, PartialEq)]
enum Beginning {
    Tls(ClientHello),
    Http,
    Other,
}

/// Waits for as much as is needed, at most for `wait` after the accept, and chooses.
pub(super) async fn choose<'r>(
    session: &mut Session<'_>,
    rules: &'r [Passthrough],
    wait: Duration,
) -> Result<&'r Relay, Ending> {
    let beginning = look(session, wait).await?;
    let hello = match &beginning {
        Beginning::Tls(hello) => Some(hello),
        _ => None,
    };
    session.server_name = hello.and_then(|hello| hello.server_name.as_deref()).map(Into::into);
    session.offers = hello.and_then(|hello| hello.alpn.first()).map(|name| name[..].into());
    let rule = rules.iter().find(|rule| is_for(rule, &beginning));
    rule.map(|rule| &rule.relay).ok_or(Ending::NoMatch)
}

async fn look(session: &Session<'_>, wait: Duration) -> Result<Beginning, Ending> {
    let connection = session.connection;
    let Some(tcp) = connection.stream.tcp() else { return Ok(Beginning::Other) };
    let stock = &connection.worker.stock;
    connection.state.allow_until(connection.opened + wait);
    // No block before there is something for it.
    let ready = poll_fn(|cx| {
        if let Poll::Ready(ready) = tcp.poll_readable(cx) {
            return Poll::Ready(Some(ready));
        }
        connection.state.timer.poll_expired(cx).map(|()| None)
    });
    match ready.await {
        Some(Ok(())) => {}
        Some(Err(_)) => return Err(Ending::ClientReset),
        None if connection.drain().is_some() => return Err(Ending::Cut),
        None => return Ok(Beginning::Other), // it waits for the server to speak
    }
    let mut buffer = stock.take();
    let mut had = 0;
    let found = poll_fn(|cx| {
        loop {
            let room = buffer.spare().get_mut(..HELLO_MAX).unwrap_or_default();
            match tcp.poll_peek(cx, room, had) {
                Poll::Ready(Ok(there)) => {
                    let is_all = there <= had;
                    had = there;
                    match recognise(room.get(..there).unwrap_or_default()) {
                        Some(found) => return Poll::Ready(Ok(found)),
                        None if is_all => return Poll::Ready(Ok(Beginning::Other)),
                        None => {}
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::ClientReset)),
                Poll::Pending => {
                    let expired = connection.state.timer.poll_expired(cx);
                    return expired.map(|()| match connection.drain() {
                        Some(_) => Err(Ending::Cut),
                        None => Ok(Beginning::Other),
                    });
                }
            }
        }
    })
    .await;
    stock.give(buffer);
    found
}

/// `None` until it is certain.
fn recognise(bytes: &[u8]) -> Option<Beginning> {
    match client_hello::read(bytes) {
        HelloReading::Hello(hello) => Some(Beginning::Tls(hello)),
        HelloReading::Incomplete => None,
        // Whatever is wrong with it is for the server to say.
        HelloReading::Malformed => Some(Beginning::Tls(ClientHello::default())),
        HelloReading::Other => is_http(bytes).map(|is| match is {
            true => Beginning::Http,
            false => Beginning::Other,
        }),
    }
}

/// Methods with which requests begin (RFC 9110 §9.3, RFC 5789), and the preface of HTTP/2: other
/// protocols begin with words too (`EHLO`), so that a list is all that tells them apart.
const METHODS: [&str; 10] = [
    "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI ",
];

fn is_http(bytes: &[u8]) -> Option<bool> {
    if METHODS.iter().any(|method| bytes.starts_with(method.as_bytes())) {
        return Some(true);
    }
    let may_become = METHODS.iter().any(|method| method.as_bytes().starts_with(bytes));
    if may_become { None } else { Some(false) }
}

fn is_for(rule: &Passthrough, beginning: &Beginning) -> bool {
    match (rule.protocol, beginning) {
        (FirstBytes::Any, _)
        | (FirstBytes::Http, Beginning::Http)
        | (FirstBytes::Other, Beginning::Other) => true,
        (FirstBytes::Tls, Beginning::Tls(hello)) => {
            let asks_for = |name: &HostMatch| {
                hello.server_name.as_deref().is_some_and(|asked| is_named(name, asked))
            };
            let offers = |name: &String| hello.alpn.iter().any(|offer| offer == name.as_bytes());
            (rule.sni.is_empty() || rule.sni.iter().any(asks_for))
                && (rule.alpn.is_empty() || rule.alpn.iter().any(offers))
        }
        _ => false,
    }
}

fn is_named(name: &HostMatch, asked: &str) -> bool {
    match name {
        HostMatch::Exact(name) => name == asked,
        HostMatch::Wildcard(parent) => asked.strip_suffix(parent.as_str()).is_some_and(|labels| {
            labels.strip_suffix('.').is_some_and(|labels| !labels.is_empty())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart_by_as_few_bytes_as_it_takes() {
        assert_eq!(recognise(b"GET / HTTP/1.1\r\n"), Some(Beginning::Http));
        assert_eq!(recognise(b"PRI * HTTP/2.0"), Some(Beginning::Http));
        assert_eq!(recognise(b"GE"), None);
        assert_eq!(recognise(b"GETS"), Some(Beginning::Other));
        assert_eq!(recognise(b"EHLO a.example\r\n"), Some(Beginning::Other));
        assert_eq!(recognise(b"SSH-2.0-OpenSSH_9.6"), Some(Beginning::Other));
        assert_eq!(recognise(&[22, 3, 1, 2]), None);
        assert_eq!(recognise(&[0, 0, 0, 8, 4, 210, 22, 47]), Some(Beginning::Other)); // PostgreSQL
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels() {
        let wildcard = HostMatch::Wildcard("shop.example".into());
        assert!(is_named(&wildcard, "a.b.shop.example"));
        assert!(!is_named(&wildcard, "shop.example"));
        assert!(!is_named(&wildcard, "workshop.example"));
        assert!(!is_named(&wildcard, ".shop.example"));
    }
}
