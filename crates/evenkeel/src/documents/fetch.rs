//! Fetches a document: a connection for each, since there are few; with a deadline and a bound. Owns how
//! long it may be taken for fresh (RFC 9111 §5.2.2.1), within bounds of our own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_config::model::Document;
use evenkeel_proxy::policy::document;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certs;

/// From looking up the name to the last byte.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes; sets of keys have some thousands.
const BODY_MAX: usize = 4 << 20;
/// How long it is taken for fresh: if its authority does not say, at least, and at most.
const FRESH: Duration = Duration::from_secs(600);
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(3600);

/// A document that can be used.
pub(super) struct Fetched {
    pub(super) bytes: Arc<[u8]>,
    /// How long.
    pub(super) fresh: Duration,
}

/// Fetches it, and looks whether it is what it should be.
pub(super) async fn fetch(document: &Document) -> Result<Fetched, String> {
    let (bytes, fresh) = match tokio::time::timeout(LIMIT, get(&document.place)).await {
        Ok(got) => got?,
        Err(_) => return Err(format!("no answer within {LIMIT:?}")),
    };
    document::check(document.kind, &bytes)?;
    Ok(Fetched { bytes: bytes.as_ref().into(), fresh })
}

async fn get(url: &str) -> Result<(Bytes, Duration), String> {
    let uri: Uri = url.parse().map_err(|error| format!("this is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let tcp = TcpStream::connect((host.as_str(), port)).await;
    let tcp = tcp.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
    if !is_secure {
        return converse(tcp, &uri).await;
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls()?).connect(name, tcp).await;
    converse(stream.map_err(|error| format!("TLS: {error}"))?, &uri).await
}

fn tls() -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(evenkeel_proxy::tls::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.with_root_certificates(certs::system_roots().clone());
    Ok(Arc::new(builder.with_no_client_auth()))
}

async fn converse<S>(stream: S, uri: &Uri) -> Result<(Bytes, Duration), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| format!("HTTP: {error}"))?;
    let connection = tokio::spawn(connection);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority)
        .header(ACCEPT, "application/json, */*")
        .header(USER_AGENT, concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|e| format!("HTTP: {e}"))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status())); // nor is a redirect followed
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|error| format!("HTTP: {error}"))?;
        Ok((body.to_bytes(), fresh(&parts.headers)))
    };
    let answered = answered.await;
    connection.abort();
    answered
}

/// How long an answer is fresh.
fn fresh(fields: &HeaderMap) -> Duration {
    let values = fields.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let stated = directives.find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok())?
    });
    stated.map_or(FRESH, Duration::from_secs).clamp(FRESH_MIN, FRESH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_fresh_as_long_as_its_authority_says_within_bounds() {
        for (said, seconds) in [
            (None, 600),
            (Some("public, Max-Age=900"), 900),
            (Some("max-age=0"), 60),
            (Some("no-store"), 600),
            (Some("max-age=99999999"), 3600),
        ] {
            let mut fields = HeaderMap::new();
            if let Some(said) = said {
                fields.insert(CACHE_CONTROL, said.parse().unwrap());
            }
            assert_eq!(fresh(&fields), Duration::from_secs(seconds), "{said:?}");
        }
    }
}
