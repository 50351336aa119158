//! A client of the admin API, on a Unix socket or an address, and a check of JSON against the
//! schemas of the OpenAPI document: as much of JSON Schema as they use. Shares no code with the
//! product.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::{LIMIT, Proxy, field_values};

/// Where an API is, and who asks.
#[derive(Clone, Debug)]
pub struct Admin {
    pub place: Place,
    pub token: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What it said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        field_values(&self.head, name).first().copied()
    }

    /// The version in the `ETag`.
    pub fn version(&self) -> u64 {
        let tag = self.field("etag").unwrap_or_else(|| panic!("an ETag: {self:?}"));
        tag.trim_matches('"').parse().unwrap_or_else(|_| panic!("a version: {self:?}"))
    }

    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

impl Admin {
    /// The socket that the harness gave this process.
    pub fn of(proxy: &Proxy) -> Self {
        Self { place: Place::Unix(proxy.admin_socket()), token: None }
    }

    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// As `--admin` takes it.
    pub fn argument(&self) -> String {
        match &self.place {
            Place::Unix(path) => format!("unix:{}", path.display()),
            Place::Tcp(address) => format!("http://{address}"),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, path, &[], &text)
    }

    pub fn ask(&self, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for field in fields {
            head.push_str(&format!("{field}\r\n"));
        }
        let raw = self.raw(format!("{head}\r\n{body}").as_bytes());
        Answer::read(&raw).unwrap_or_else(|| {
            panic!("no answer to {method} {path}: {:?}", String::from_utf8_lossy(&raw))
        })
    }

    /// These bytes, and everything that comes back.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        match &self.place {
            Place::Unix(path) => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let _ = stream.write_all(bytes);
                let _ = stream.read_to_end(&mut answer);
            }
            Place::Tcp(address) => {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let _ = stream.write_all(bytes);
                let _ = stream.read_to_end(&mut answer);
            }
        }
        answer
    }
}

impl Answer {
    /// The one answer that these bytes are; its body must be as long as it says.
    pub fn read(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length: usize = field_values(&head, "content-length").first()?.parse().ok()?;
        let body = raw.get(end..end + length)?;
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        Some(Self { status, head, body })
    }
}

/// What of `value` is not as `schema` of `document` says.
pub fn violations(value: &Value, schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    validate(value, schema, document, "", &mut found);
    found
}

fn validate(value: &Value, schema: &Value, document: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        let target = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return validate(value, target, document, at, found);
    }
    let mut say = |what: &str| found.push(format!("{at}: {what}: {value}"));
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    match &schema["type"] {
        Value::Null => {}
        Value::String(kind) => {
            if !is(kind) {
                return say(&format!("not a {kind}"));
            }
        }
        Value::Array(kinds) => {
            if !kinds.iter().any(|kind| is(kind.as_str().unwrap())) {
                return say("of no allowed type");
            }
        }
        other => panic!("type {other}"),
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        say("none of the words");
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().is_some_and(|n| n < least)) {
        say("too small");
    }
    if schema["maximum"].as_f64().is_some_and(|most| value.as_f64().is_some_and(|n| n > most)) {
        say("too large");
    }
    if let Some(kinds) = schema["anyOf"].as_array()
        && !kinds.iter().any(|kind| violations(value, kind, document).is_empty())
    {
        say("none of the alternatives");
    }
    if let Value::Array(items) = value
        && schema["items"].is_object()
    {
        for (index, item) in items.iter().enumerate() {
            validate(item, &schema["items"], document, &format!("{at}/{index}"), found);
        }
    }
    let Value::Object(members) = value else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let place = format!("{at}/{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => found.push(format!("{place} is not documented")),
            (Value::Null, more) if more.is_object() => {
                validate(member, more, document, &place, found);
            }
            (Value::Null, _) => {}
            (known, _) => validate(member, known, document, &place, found),
        }
    }
}
