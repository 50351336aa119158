//! Templates filled in for one exchange. Whatever a value holds, it stays what it stands in: no
//! value ends a line, a string, an element, a path's segment or a parameter.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use evenkeel_codec::{Known, cookie, query};
use evenkeel_config::model::{Part, Plain, Template, Variable};
use evenkeel_runtime as runtime;

use crate::access_log::Stamp;
use crate::http::exchange::Exchange;
use crate::http::forwarded;
use crate::tls::Alpn;

/// What a template is filled in for: decides what is done to values. The text between them is as
/// it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The value of a field.
    Field,
    /// A `Location`.
    Location,
    /// A path.
    Path,
    /// The value of a parameter of a query.
    Parameter,
    /// Plain text.
    Text,
    /// A string in JSON.
    Json,
    /// Text in an element, or a quoted attribute, of HTML or XML.
    Html,
}

impl Place {
    /// Content of this type.
    pub(crate) fn of_content(content_type: &str) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let media = media.to_ascii_lowercase();
        match media.as_str() {
            _ if media.ends_with("/json") || media.ends_with("+json") => Self::Json,
            _ if media.ends_with("html") || media.ends_with("xml") => Self::Html,
            "text/javascript" | "application/javascript" => Self::Json,
            _ => Self::Text,
        }
    }

    /// Writes a value that anybody may have chosen. `is_path`: it is a path or a query as it was
    /// sent, so that its separators and escapes mean what they are.
    fn write(self, out: &mut Vec<u8>, value: &[u8], is_path: bool) {
        match self {
            Self::Field => out.extend(value.iter().filter(|byte| is_visible(**byte))),
            Self::Location | Self::Path if is_path => encode(out, value, is_path_byte),
            Self::Location | Self::Path | Self::Parameter => encode(out, value, is_unreserved),
            Self::Text => out.extend(value.iter().filter(|byte| is_visible(**byte))),
            Self::Json => escape_json(out, value),
            Self::Html => escape_html(out, value),
        }
    }
}

/// What is said of an answer, where one is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
}

/// Writes the template to `out`.
pub(crate) fn write(
    out: &mut Vec<u8>,
    template: &Template,
    exchange: &Exchange<'_>,
    place: Place,
    said: Said<'_>,
) {
    for part in &template.0 {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Variable(variable) => write_variable(out, variable, exchange, place, said),
        }
    }
}

/// Writes the template as the value of a parameter: also the text between its variables is escaped.
pub(crate) fn write_encoded(out: &mut Vec<u8>, template: &Template, exchange: &Exchange<'_>) {
    for part in &template.0 {
        match part {
            Part::Text(text) => encode(out, text.as_bytes(), is_unreserved),
            Part::Variable(variable) => {
                write_variable(out, variable, exchange, Place::Parameter, Said::default());
            }
        }
    }
}

fn write_variable(
    out: &mut Vec<u8>,
    variable: &Variable,
    exchange: &Exchange<'_>,
    place: Place,
    said: Said<'_>,
) {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    match variable {
        Variable::Plain(plain) => write_plain(out, *plain, exchange, place, said),
        Variable::Group(name) => {
            let path = exchange.path();
            let patterns = exchange.route().map(|route| &*route.patterns).unwrap_or_default();
            let matched = patterns.iter().find_map(|pattern| pattern.captures(path));
            let group = matched.as_ref().and_then(|groups| groups.name(name));
            place.write(out, group.map(|group| group.as_bytes()).unwrap_or_default(), true);
        }
        Variable::Parameter(name) => {
            let sent = head.target.query.map(|query| query.of(bytes)).unwrap_or_default();
            let is = |(key, _): &(&[u8], &[u8])| *query::decode(key) == *name.as_bytes();
            let value = query::parameters(sent).find(is).map(|(_, value)| query::decode(value));
            place.write(out, &value.unwrap_or_default(), false);
        }
        Variable::Header(name) => {
            let value = head.named(bytes, name.as_bytes()).next();
            place.write(out, value.unwrap_or_default(), false);
        }
        Variable::Cookie(name) => {
            let mut all = head.values(bytes, Known::Cookie).flat_map(cookie::pairs);
            let found = all.find(|(key, _)| *key == name.as_bytes());
            place.write(out, found.map(|(_, value)| value).unwrap_or_default(), false);
        }
    }
}

fn write_plain(
    out: &mut Vec<u8>,
    plain: Plain,
    exchange: &Exchange<'_>,
    place: Place,
    said: Said<'_>,
) {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    let session = exchange.connection.tls.get();
    let mut number = |number: u64| forwarded::write_number(out, number);
    let text = match plain {
        Plain::ClientPort => return number(exchange.connection.peer_port().into()),
        Plain::TimeUnix => return number(since_1970().as_secs()),
        Plain::TimeMillis => return number(millis(since_1970())),
        Plain::DurationMillis => {
            let now = runtime::now();
            return number(millis(now.saturating_duration_since(exchange.started)));
        }
        Plain::Status => return number(said.status.into()),
        Plain::ClientIp => {
            let mut text = String::with_capacity(40);
            let _ = write!(text, "{}", exchange.client);
            return place.write(out, text.as_bytes(), false);
        }
        Plain::Time => {
            let text = Stamp::of(runtime::wall_clock()).to_string();
            return place.write(out, text.as_bytes(), false);
        }
        Plain::Path => return place.write(out, exchange.path_from(0), true),
        Plain::PathRest => return place.write(out, exchange.path_from(exchange.prefix_len), true),
        Plain::Query => {
            let Some(query) = head.target.query else { return };
            out.push(b'?');
            return place.write(out, query.of(bytes), true);
        }
        // A name or an address, which the parser has looked at.
        Plain::Host => return place.write(out, head.host_name.of(bytes), true),
        Plain::RequestId => exchange.request_id.text().as_bytes(),
        Plain::Method => head.method_text.of(bytes),
        Plain::Scheme => forwarded::scheme(exchange).as_bytes(),
        Plain::Protocol => exchange.protocol().as_bytes(),
        Plain::Listener => exchange.listener().map_or("", |l| &l.config.name).as_bytes(),
        Plain::Route => exchange.route().map_or("", |route| &route.name).as_bytes(),
        Plain::Pool => {
            let pool = exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id));
            return place.write(out, pool.map_or("", |pool| &pool.config.name).as_bytes(), false);
        }
        Plain::Server => exchange.server.as_ref().map_or("", |s| &s.target.key).as_bytes(),
        Plain::TlsVersion => session.map_or("", |session| session.version).as_bytes(),
        Plain::TlsCipher => session.map_or("", |session| session.cipher).as_bytes(),
        Plain::TlsName => session.and_then(|s| s.server_name.as_deref()).unwrap_or("").as_bytes(),
        Plain::TlsAlpn => session.and_then(|s| s.alpn).map_or("", Alpn::name).as_bytes(),
        Plain::StatusText => forwarded::phrase(said.status).as_bytes(),
        Plain::Reason => said.reason.as_bytes(),
    };
    place.write(out, text, false);
}

fn since_1970() -> std::time::Duration {
    runtime::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// No control character: none ends a line, or does worse to who looks at it.
fn is_visible(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 3986 §2.3.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a path or in a query as it was sent: visible ASCII that begins no fragment.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Writes what may not stand there as escapes.
pub(crate) fn encode(out: &mut Vec<u8>, value: &[u8], may_stand: fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value {
        if may_stand(*byte) {
            out.push(*byte);
        } else {
            let digit = |at: u8| DIGITS.get(usize::from(at & 15)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
}

/// RFC 8259 §7; `<` and `>` too, since JSON is put into pages.
fn escape_json(out: &mut Vec<u8>, value: &[u8]) {
    let mut text = String::with_capacity(value.len());
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0'..='\u{1f}' | '\u{7f}' | '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn escape_html(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'`' => out.extend_from_slice(b"&#96;"),
            byte if is_visible(*byte) => out.push(*byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(place: Place, value: &str, is_path: bool) -> String {
        let mut out = Vec::new();
        place.write(&mut out, value.as_bytes(), is_path);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn no_value_ends_the_line_it_stands_in() {
        for place in [Place::Field, Place::Location, Place::Path, Place::Parameter, Place::Text] {
            for is_path in [false, true] {
                let text = written(place, "a\r\nset-cookie: x\0\u{7f}b", is_path);
                let ends = |c: char| matches!(c, '\r' | '\n' | '\0' | '\u{7f}');
                assert!(!text.contains(ends), "{place:?}: {text:?}");
            }
        }
    }

    #[test]
    fn rfc3986_2_1_what_a_path_or_a_parameter_cannot_hold_is_escaped() {
        assert_eq!(written(Place::Path, "a/b?c#d e%", false), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(written(Place::Path, "/a%20b/c\u{e9}#", true), "/a%20b/c%C3%A9%23");
        assert_eq!(written(Place::Parameter, "a&b=c+d", false), "a%26b%3Dc%2Bd");
    }

    #[test]
    fn rfc8259_7_a_value_stays_in_its_string() {
        let text = written(Place::Json, "\"}</script>\\\n", false);
        assert_eq!(text, "\\\"}\\u003c/script\\u003e\\\\\\u000a");
        let parsed: serde_json::Value = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        assert_eq!(parsed, "\"}</script>\\\n");
    }

    #[test]
    fn a_value_stays_in_its_element_or_attribute() {
        assert_eq!(written(Place::Html, "\"><b>&'`", false), "&quot;&gt;&lt;b&gt;&amp;&#39;&#96;");
    }

    #[test]
    fn content_types_say_what_is_done_to_values() {
        for (content_type, place) in [
            ("text/html; charset=utf-8", Place::Html),
            ("application/problem+json", Place::Json),
            ("application/xhtml+xml", Place::Html),
            ("image/svg+xml", Place::Html),
            ("text/plain", Place::Text),
            ("", Place::Text),
        ] {
            assert_eq!(Place::of_content(content_type), place, "{content_type}");
        }
    }
}
