//! HTTP to an authority: a connection for each request, since there are few; every request with a
//! deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a request, from looking up the name to the last byte.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer; a chain has some thousands.
const BODY_MAX: usize = 1 << 20;

/// See the module's head.
pub(super) struct Client(Arc<ClientConfig>);

impl Client {
    pub(super) fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(evenkeel_proxy::tls::provider());
        let builder = builder.with_safe_default_protocol_versions()?;
        Ok(Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = ask(self.0.clone(), request);
        Box::pin(async move {
            match tokio::time::timeout(LIMIT, asked).await {
                Ok(answered) => answered,
                Err(_) => Err(other(format!("no answer within {LIMIT:?}"))),
            }
        })
    }
}

fn other(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(why.into())
}

async fn ask(
    config: Arc<ClientConfig>,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Error> {
    let uri = request.uri().clone();
    if uri.scheme_str() != Some("https") {
        return Err(other(format!("`{uri}` is not `https`")));
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let place = format!("{host}:{port}");
    let said = |what: &'static str| {
        let place = place.clone();
        move |error: &dyn std::fmt::Display| other(format!("{place}: {what}: {error}"))
    };
    let tcp = TcpStream::connect((host.as_str(), port)).await;
    let tcp = tcp.map_err(|error| said("cannot connect")(&error))?;
    let name = ServerName::try_from(host).map_err(|error| said("no name")(&error))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await;
    let stream = stream.map_err(|error| said("TLS")(&error))?;
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|error| said("HTTP")(&error))?;
    let connection = tokio::spawn(connection);
    let authority = uri.authority().map(|authority| authority.as_str().to_owned());
    let authority = authority.unwrap_or_default().parse();
    let authority =
        authority.map_err(|error: hyper::header::InvalidHeaderValue| said("no host")(&error))?;
    request.headers_mut().insert(hyper::header::HOST, authority);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse()?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|e| said("HTTP")(&e))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|e| said("HTTP")(&e))?;
        Ok(hyper::Response::from_parts(parts, Full::new(body.to_bytes())).into())
    };
    let answered = answered.await;
    connection.abort();
    answered
}
