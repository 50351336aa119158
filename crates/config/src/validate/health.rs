//! Active health checks.

use std::ops::RangeInclusive;

use super::matching::{is_token, regex};
use super::{empty, upstream_tls};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    BodyTest, CommandProbe, Exchange, GrpcProbe, HealthCheck, HttpProbe, JsonStep, JsonTest,
    PoolTls, Probe,
};
use crate::option::{
    COMMAND_PROBE, EXPECTATION, GRPC_PROBE, HEALTH, HEALTH_WORDS, HTTP_PROBE, HTTPS_PROBE, Kind,
    TCP_PROBE, UDP_PROBE,
};
use crate::read::{
    Findings, Options, choice_of, count_of, first_line, list, map, one_or_many, text,
};
use crate::tree::{Node, Value};

/// How a pool's servers are spoken to, which its checks follow.
#[derive(Clone, Copy)]
struct Encryption<'p> {
    pool: Option<&'p PoolTls>,
    owner: &'p str,
}

const PROBES: &[&str] = &["http", "https", "tcp", "grpc", "udp", "command"];

/// `pool`: how its servers are spoken to over TLS; `owner` names it.
pub(super) fn read(
    node: &Node,
    pool: Option<&PoolTls>,
    owner: &str,
    found: &mut Findings,
) -> Option<HealthCheck> {
    let pool = Encryption { pool, owner };
    if let Value::Scalar { text, .. } = &node.value {
        let probe = short(text, node.span, pool, found)?;
        return Some(check(&Options::defaults(&HEALTH, node.span), probe, found));
    }
    let options = Options::read(node, &HEALTH, found);
    let probe = options.only_of(PROBES, found).and_then(|(key, node)| match key.text.as_str() {
        "http" => http(node, false, pool, found),
        "https" => http(node, true, pool, found),
        "tcp" => Some(Probe::Tcp(exchange(&Options::read(node, &TCP_PROBE, found), found))),
        "grpc" => Some(Probe::Grpc(grpc(node, pool, found))),
        "udp" => Some(Probe::Udp(exchange(&Options::read(node, &UDP_PROBE, found), found))),
        _ => command(node, found).map(Probe::Command),
    });
    // The rest is read all the same, for what may be wrong in it.
    Some(check(&options, probe.unwrap_or(Probe::Tcp(Exchange::default())), found))
}

/// `/healthz`, `tcp`, `grpc`.
fn short(written: &str, span: Span, pool: Encryption<'_>, found: &mut Findings) -> Option<Probe> {
    if written.starts_with('/') {
        let options = Options::defaults(&HTTP_PROBE, span);
        return http_probe(&options, Some((written, span)), pool, found);
    }
    let Kind::Choice(words) = HEALTH_WORDS else { return None };
    if PROBES.contains(&written) && !words.iter().any(|(word, _)| *word == written) {
        found.push(
            Diagnostic::error("bad-value", span, format!("a check by `{written}` needs options"))
                .help(format!("write `health: {{ {written}: … }}`, or a path, `tcp`, `grpc`")),
        );
        return None;
    }
    match choice_of(written, words, span, found)? {
        "grpc" => {
            let tls = pool.pool.cloned();
            Some(Probe::Grpc(GrpcProbe { tls, ..GrpcProbe::default() }))
        }
        _ => Some(Probe::Tcp(Exchange::default())),
    }
}

fn check(options: &Options<'_>, probe: Probe, found: &mut Findings) -> HealthCheck {
    let check = HealthCheck {
        probe,
        interval: options.duration("interval", found),
        timeout: options.duration("timeout", found),
        rise: options.small("rise", found),
        fall: options.small("fall", found),
        interval_changing: options.duration("interval_changing", found),
        interval_down_max: options.duration("interval_down_max", found),
        port: options.count("port", found).and_then(|port| u16::try_from(port).ok()),
    };
    if check.timeout > check.interval {
        found.push(
            Diagnostic::warning(
                "long-timeout",
                options.span_of("timeout"),
                "`timeout` is longer than `interval`: a slow server is checked less often than that",
            )
            .help("a check begins when the one before has ended"),
        );
    }
    for (key, value) in [
        ("interval_changing", check.interval_changing <= check.interval),
        ("interval_down_max", check.interval_down_max >= check.interval),
    ] {
        if !value && options.node(key).is_some() {
            let (span, is) =
                (options.span_of(key), if key.ends_with("max") { "shorter" } else { "longer" });
            let message = format!("`{key}` is {is} than `interval`, which is used instead");
            found.push(Diagnostic::warning("no-effect", span, message));
        }
    }
    HealthCheck {
        interval_changing: check.interval_changing.min(check.interval),
        interval_down_max: check.interval_down_max.max(check.interval),
        ..check
    }
}

fn http(node: &Node, is_tls: bool, pool: Encryption<'_>, found: &mut Findings) -> Option<Probe> {
    let object = if is_tls { &HTTPS_PROBE } else { &HTTP_PROBE };
    let Value::Scalar { text, .. } = &node.value else {
        return http_probe(&Options::read(node, object, found), None, pool, found);
    };
    http_probe(&Options::defaults(object, node.span), Some((text, node.span)), pool, found)
}

fn http_probe(
    options: &Options<'_>,
    path: Option<(&str, Span)>,
    pool: Encryption<'_>,
    found: &mut Findings,
) -> Option<Probe> {
    let (path, span) = match path {
        Some((path, span)) => (path.to_owned(), span),
        None => (options.text("path", found)?, options.span_of("path")),
    };
    if !path.starts_with('/') || !path.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'#') {
        found.push(
            Diagnostic::error("bad-value", span, format!("`{path}` is not a path"))
                .help("it begins with `/`; other characters than visible ASCII are written as escapes (`%C3%A9`)"),
        );
    }
    let method = options.text("method", found).unwrap_or_default();
    if !is_token(&method) {
        let message = format!("`{method}` is not a method");
        found.error("bad-value", options.span_of("method"), message);
    }
    let host = options.text("host", found);
    if let Some(host) = &host
        && !is_authority(host)
    {
        let message = format!("`{host}` is not a host name");
        found.error("bad-value", options.span_of("host"), message);
    }
    let empty = empty();
    let expect = Options::read(options.node("expect").unwrap_or(&empty), &EXPECTATION, found);
    let is_tls = options.object.name == HTTPS_PROBE.name;
    Some(Probe::Http(Box::new(HttpProbe {
        tls: upstream_tls::of_probe(options, is_tls, pool.pool, pool.owner, found),
        method,
        path,
        host,
        headers: headers(options, found),
        status: statuses(&expect, found),
        body: body_tests(&expect, found),
        body_max: expect
            .size("body_max", found)
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
    })))
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
}

fn headers(options: &Options<'_>, found: &mut Findings) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (key, node) in options.node("headers").map(|node| map(node, found)).unwrap_or_default() {
        let Some(value) = text(node, found) else { continue };
        let is_framing = ["content-length", "transfer-encoding", "connection", "host"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&key.text));
        if !is_token(&key.text) {
            found.error("bad-value", key.span, format!("`{}` is not a field name", key.text));
        } else if is_framing {
            found.push(
                Diagnostic::error(
                    "untouchable-field",
                    key.span,
                    format!("`{}` cannot be set", key.text),
                )
                .help("it frames the message or belongs to the connection; `host` sets the Host"),
            );
        } else if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            let message = "a field value is one line without control characters";
            found.error("bad-value", node.span, message);
        } else {
            all.push((key.text.clone(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }
    all
}

fn statuses(options: &Options<'_>, found: &mut Findings) -> Vec<RangeInclusive<u16>> {
    let default = Node {
        value: Value::Scalar { text: "200-299".into(), plain: true, variable: None },
        span: options.span,
    };
    let mut all = Vec::new();
    for node in one_or_many(options.node("status").unwrap_or(&default)) {
        let Some(written) = text(node, found) else { continue };
        let (first, last) = written.split_once('-').unwrap_or((written, written));
        let status = |text: &str| count_of(text.trim(), 100, 599).map(|status| status as u16);
        match (status(first), status(last)) {
            (Ok(first), Ok(last)) if first <= last => all.push(first..=last),
            _ => found.push(
                Diagnostic::error("bad-value", node.span, format!("`{written}` is no status"))
                    .help("write it like `200`, `200-299` or `[200, 301-302]`"),
            ),
        }
    }
    if options.is_empty_of("status") && options.node("status").is_some() {
        found.error("bad-value", options.span_of("status"), "no status is a success");
    }
    all
}

fn body_tests(options: &Options<'_>, found: &mut Findings) -> Vec<BodyTest> {
    let mut all = Vec::new();
    if let Some(part) = options.text("contains", found) {
        all.push(BodyTest::Contains(part));
    }
    if let Some(node) = options.node("regex") {
        let pattern = text(node, found).and_then(|written| regex(written, node.span, found));
        all.extend(pattern.map(BodyTest::Regex));
    }
    for (key, node) in options.node("json").map(|node| map(node, found)).unwrap_or_default() {
        let path = json_path(&key.text);
        if path.is_none() {
            found.push(
                Diagnostic::error(
                    "bad-value",
                    key.span,
                    format!("`{}` is no path into JSON", key.text),
                )
                .help("write it like `$.db` or `\"$.pools[0].name\"`"),
            );
        }
        if let (Some(path), Some(equals)) = (path, json_value(node, found)) {
            all.push(BodyTest::Json(JsonTest { path, equals }));
        }
    }
    all
}

/// `$.pools[0].name`
fn json_path(written: &str) -> Option<Vec<JsonStep>> {
    let mut rest = written.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(JsonStep::Index(index.parse().ok()?));
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(JsonStep::Member(name.to_owned()));
            rest = after;
        }
    }
    Some(steps)
}

/// What is not quoted is a number, a boolean or null if it looks like one.
fn json_value(node: &Node, found: &mut Findings) -> Option<serde_json::Value> {
    match &node.value {
        Value::Null => Some(serde_json::Value::Null),
        Value::Scalar { text, plain: true, .. } if text == "true" || text == "false" => {
            Some((text == "true").into())
        }
        Value::Scalar { text, plain: true, .. } => Some(
            serde_json::from_str::<serde_json::Number>(text)
                .map_or_else(|_| text.as_str().into(), serde_json::Value::Number),
        ),
        _ => text(node, found).map(Into::into),
    }
}

fn exchange(options: &Options<'_>, found: &mut Findings) -> Exchange {
    let mut bytes = |key: &str| {
        let written = options.text(key, found)?;
        let bytes = unescape(&written);
        if bytes.is_none() {
            found.push(
                Diagnostic::error("bad-value", options.span_of(key), "an escape here is not known")
                    .help("there is `\\r`, `\\n`, `\\t`, `\\0`, `\\\\` and `\\xHH`"),
            );
        }
        bytes
    };
    Exchange { send: bytes("send"), expect: bytes("expect") }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

fn grpc(node: &Node, pool: Encryption<'_>, found: &mut Findings) -> GrpcProbe {
    let options = Options::read(node, &GRPC_PROBE, found);
    let authority = options.text("authority", found);
    if let Some(name) = authority.as_ref().filter(|name| !is_authority(name)) {
        let message = format!("`{name}` is not a host name");
        found.error("bad-value", options.span_of("authority"), message);
    }
    GrpcProbe {
        service: options.text("service", found).unwrap_or_default(),
        authority,
        tls: upstream_tls::of_probe(&options, false, pool.pool, pool.owner, found),
    }
}

fn command(node: &Node, found: &mut Findings) -> Option<CommandProbe> {
    let (run, env) = match &node.value {
        Value::List(_) => (node, Vec::new()),
        Value::Scalar { text, .. } => {
            found.push(
                Diagnostic::error(
                    "wrong-kind",
                    node.span,
                    "a program and its arguments are a list",
                )
                .help(format!("there is no shell; write `[{text}]`")),
            );
            return None;
        }
        _ => {
            let options = Options::read(node, &COMMAND_PROBE, found);
            let entries = options.node("env").map(|node| map(node, found)).unwrap_or_default();
            let env = entries
                .iter()
                .filter_map(|(key, node)| Some((key.text.clone(), text(node, found)?.to_owned())))
                .collect();
            for (key, _) in entries {
                if key.text.is_empty() || key.text.contains(['=', '\0']) {
                    let message = format!("`{}` is not a name of a variable", key.text);
                    found.error("bad-value", key.span, message);
                }
            }
            (options.node("run")?, env)
        }
    };
    let argv: Vec<String> =
        list(run, found).iter().filter_map(|node| text(node, found).map(str::to_owned)).collect();
    if argv.first().is_none_or(String::is_empty) {
        found.error("bad-value", first_line(run.span), "a program is needed here");
        return None;
    }
    if argv.iter().chain(env.iter().map(|(_, value)| value)).any(|part| part.contains('\0')) {
        found.error("bad-value", first_line(run.span), "a program is given no NUL");
    }
    Some(CommandProbe { argv, env })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_what_they_are_in_c() {
        assert_eq!(
            unescape(r"PING\r\n\t\0\\\x7Fé").as_deref(),
            Some("PING\r\n\t\0\\\x7fé".as_bytes())
        );
        for text in [r"\", r"\q", r"\x", r"\x1", r"\xzz"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    #[test]
    fn paths_into_json_are_members_and_indices() {
        let member = |name: &str| JsonStep::Member(name.into());
        let steps = vec![member("pools"), JsonStep::Index(10), member("name x")];
        assert_eq!(json_path("$.pools[10].name x"), Some(steps));
        assert_eq!(json_path("$"), Some(Vec::new()));
        assert_eq!(json_path("$[0]"), Some(vec![JsonStep::Index(0)]));
        for text in ["", "db", "$db", "$.", "$..a", "$[", "$[]", "$[x]", "$[0", "$.a[-1]"] {
            assert_eq!(json_path(text), None, "{text}");
        }
    }
}
