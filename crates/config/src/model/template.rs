//! Texts with variables in them: `${client.ip}`. What a variable is worth is known when an exchange
//! is served, not here.

/// A text, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(String),
    /// What this is for the exchange.
    Variable(Variable),
}

/// Something known about an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// One whose name says all.
    Plain(Plain),
    /// `${path.NAME}`: what the group of this name in the regular expression of the route's path
    /// has matched.
    Group(String),
    /// `${query.NAME}`: the first parameter of this name, decoded.
    Parameter(String),
    /// `${header.NAME}`: the first field of the request of this name (lower case).
    Header(String),
    /// `${cookie.NAME}`: the first cookie of this name.
    Cookie(String),
}

/// Variables without a name chosen by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// `${client.ip}`: the client's address, after trusted proxies.
    ClientIp,
    /// `${client.port}`: the port of the connection's peer.
    ClientPort,
    /// `${request.id}`.
    RequestId,
    /// `${host}`: the host asked for, without port.
    Host,
    /// `${method}`.
    Method,
    /// `${scheme}`: `http` or `https`, as the client reached this process.
    Scheme,
    /// `${protocol}`: `HTTP/1.1`, `HTTP/2`, …
    Protocol,
    /// `${path}`: the normalised path, as the client asked for it.
    Path,
    /// `${path.rest}`: what follows the matched prefix; begins with `/` or is empty.
    PathRest,
    /// `${query}`: `?` and the query, or nothing.
    Query,
    /// `${listener}`.
    Listener,
    /// `${route}`.
    Route,
    /// `${pool}`.
    Pool,
    /// `${server}`: the one that the request is sent to, or was last.
    Server,
    /// `${tls.version}`.
    TlsVersion,
    /// `${tls.cipher}`.
    TlsCipher,
    /// `${tls.sni}`: the name asked for in the handshake.
    TlsName,
    /// `${tls.alpn}`.
    TlsAlpn,
    /// `${time}`: now, as RFC 3339 has it, in UTC.
    Time,
    /// `${time.unix}`: now, in seconds since 1970.
    TimeUnix,
    /// `${time.ms}`: the same in milliseconds.
    TimeMillis,
    /// `${duration.ms}`: since the request has come, in milliseconds.
    DurationMillis,
    /// `${status}`: of the answer; in what is answered only.
    Status,
    /// `${status.text}`: the registered phrase for it.
    StatusText,
    /// `${reason}`: why this process answers by itself; as in `x-evenkeel-reason`.
    Reason,
}

/// All [`Plain`] ones by the name they are written with.
pub const PLAIN: &[(&str, Plain)] = &[
    ("client.ip", Plain::ClientIp),
    ("client.port", Plain::ClientPort),
    ("request.id", Plain::RequestId),
    ("host", Plain::Host),
    ("method", Plain::Method),
    ("scheme", Plain::Scheme),
    ("protocol", Plain::Protocol),
    ("path", Plain::Path),
    ("path.rest", Plain::PathRest),
    ("query", Plain::Query),
    ("listener", Plain::Listener),
    ("route", Plain::Route),
    ("pool", Plain::Pool),
    ("server", Plain::Server),
    ("tls.version", Plain::TlsVersion),
    ("tls.cipher", Plain::TlsCipher),
    ("tls.sni", Plain::TlsName),
    ("tls.alpn", Plain::TlsAlpn),
    ("time", Plain::Time),
    ("time.unix", Plain::TimeUnix),
    ("time.ms", Plain::TimeMillis),
    ("duration.ms", Plain::DurationMillis),
    ("status", Plain::Status),
    ("status.text", Plain::StatusText),
    ("reason", Plain::Reason),
];

impl Plain {
    /// As it is written.
    pub fn name(self) -> &'static str {
        PLAIN.iter().find(|(_, plain)| *plain == self).map_or("", |(name, _)| name)
    }

    /// It is known of answers only.
    pub fn is_of_answer(self) -> bool {
        matches!(self, Self::Status | Self::StatusText | Self::Reason)
    }
}

impl Template {
    /// A template that is this text.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] })
    }

    /// The text that it is, if it has no variables.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }
}

/// As it is written, with `$$` for a `$`.
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('$', "$$"))?,
                Part::Variable(Variable::Plain(plain)) => write!(f, "${{{}}}", plain.name())?,
                Part::Variable(Variable::Group(name)) => write!(f, "${{path.{name}}}")?,
                Part::Variable(Variable::Parameter(name)) => write!(f, "${{query.{name}}}")?,
                Part::Variable(Variable::Header(name)) => write!(f, "${{header.{name}}}")?,
                Part::Variable(Variable::Cookie(name)) => write!(f, "${{cookie.{name}}}")?,
            }
        }
        Ok(())
    }
}
