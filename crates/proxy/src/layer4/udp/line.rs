//! The access log's line about a session of datagrams.

use std::fmt::Write as _;
use std::time::Instant;

use evenkeel_config::model::LogFormat;

use super::Key;
use super::session::{Ended, Session};
use super::settings::Settings;
use crate::access_log::{Stamp, escape};
use crate::worker::Worker;

/// Writes the line, if the listener's sessions are to have one.
pub(super) fn record(
    worker: &Worker,
    settings: &Settings,
    key: &Key,
    session: &Session,
    why: Ended,
    now: Instant,
) {
    let Some(listener) = settings.listener() else { return };
    let Some(logging) = listener.chain.logging.as_ref() else { return };
    let line = Line { listener: &listener.config.name, key, session, why, now };
    let has_failed = matches!(why, Ended::Failed | Ended::Evicted);
    logging.write(worker, has_failed, |text, format, time| match format {
        LogFormat::Json => line.json(text, time),
        LogFormat::Text => line.text(text, time),
    });
}

struct Line<'s> {
    listener: &'s str,
    key: &'s Key,
    session: &'s Session,
    why: Ended,
    now: Instant,
}

impl Line<'_> {
    fn millis(&self) -> f64 {
        self.now.saturating_duration_since(self.session.begun()).as_secs_f64() * 1e3
    }

    fn json(&self, line: &mut String, time: &Stamp) {
        let client = self.key.client;
        let _ = write!(
            line,
            "{{\"time\":\"{time}\",\"client\":\"{}\",\"client_port\":{},\"protocol\":\"udp\"",
            client.ip().to_canonical(),
            client.port(),
        );
        let known = self.session.known();
        let texts = [
            ("listener", self.listener),
            ("pool", &known.pool),
            ("server", &known.target.key),
            ("reason", self.why.word()),
        ];
        for (name, value) in texts {
            let _ = write!(line, ",\"{name}\":\"");
            escape(line, value.as_bytes());
            line.push('"');
        }
        let moved = self.session.moved();
        let _ = writeln!(
            line,
            ",\"datagrams_in\":{},\"datagrams_out\":{},\"bytes_in\":{},\"bytes_out\":{},\"duration_ms\":{:.3}}}",
            moved.datagrams_in,
            moved.datagrams_out,
            moved.bytes_in,
            moved.bytes_out,
            self.millis(),
        );
    }

    fn text(&self, line: &mut String, time: &Stamp) {
        let moved = self.session.moved();
        let _ = writeln!(
            line,
            "{time} {} \"udp {}\" {} {}B/{}B {:.1}ms {}",
            self.key.client,
            self.listener,
            self.why.word(),
            moved.bytes_in,
            moved.bytes_out,
            self.millis(),
            self.session.known().target.key,
        );
    }
}
