//! The access log's line about a connection that was not HTTP.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use evenkeel_config::model::LogFormat;

use super::{Ending, Session};
use crate::access_log::{Stamp, escape};

/// Writes the session's line, if it is to have one.
pub(super) fn record(session: &Session<'_>, ending: Ending, now: Instant) {
    let Some(listener) = session.listener() else { return };
    let Some(logging) = listener.chain.logging.as_ref() else { return };
    let worker = &session.connection.worker;
    let line = Line { session, ending, listener: &listener.config.name, now };
    logging.write(worker, ending != Ending::Closed, |text, format, time| match format {
        LogFormat::Json => line.json(text, time),
        LogFormat::Text => line.text(text, time),
    });
}

struct Line<'s> {
    session: &'s Session<'s>,
    ending: Ending,
    listener: &'s str,
    now: Instant,
}

impl Line<'_> {
    fn duration(&self) -> Duration {
        self.now.saturating_duration_since(self.session.started)
    }

    fn pool(&self) -> &str {
        let session = self.session;
        let pool = session.pool.and_then(|id| session.generation.snapshot.pool(id));
        pool.map_or("", |pool| &pool.config.name)
    }

    fn json(&self, line: &mut String, time: &Stamp) {
        let session = self.session;
        let connection = session.connection;
        let _ = write!(
            line,
            "{{\"time\":\"{time}\",\"client\":\"{}\",\"client_port\":{},\"protocol\":\"tcp\"",
            connection.peer_ip(),
            connection.peer.port(),
        );
        let mut text = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = write!(line, ",\"{name}\":\"");
                escape(line, value.as_bytes());
                line.push('"');
            }
        };
        text("listener", self.listener);
        text("pool", self.pool());
        text("server", session.server.as_ref().map_or("", |server| &server.target.key));
        let tls = connection.tls.get();
        text("tls", tls.map_or("", |tls| tls.version));
        let name = tls.and_then(|tls| tls.server_name.as_deref());
        text("sni", name.or(session.server_name.as_deref()).unwrap_or_default());
        text("reason", self.ending.word());
        let _ = write!(
            line,
            ",\"tries\":{},\"bytes_in\":{},\"bytes_out\":{}",
            session.tries, session.bytes_in, session.bytes_out
        );
        if let Some(connected) = session.connected {
            let _ = write!(line, ",\"connect_ms\":{:.3}", connected.as_secs_f64() * 1e3);
        }
        let _ = writeln!(line, ",\"duration_ms\":{:.3}}}", self.duration().as_secs_f64() * 1e3);
    }

    fn text(&self, line: &mut String, time: &Stamp) {
        let session = self.session;
        let _ = writeln!(
            line,
            "{time} {} \"tcp {}\" {} {}B/{}B {:.1}ms {}",
            session.connection.peer,
            self.listener,
            self.ending.word(),
            session.bytes_in,
            session.bytes_out,
            self.duration().as_secs_f64() * 1e3,
            session.server.as_ref().map_or("-", |server| &server.target.key),
        );
    }
}
