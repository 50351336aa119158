//! One line for each exchange, in JSON or for people. Lines are gathered by the worker and handed
//! to a writer in blocks; a writer that cannot keep up costs lines (counted), never time.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use evenkeel_codec::Known;
use evenkeel_config::model::{AccessLog, LogFormat, LogTarget};
use evenkeel_runtime as runtime;

use crate::counters::WorkerCounters;
use crate::http::exchange::Exchange;
use crate::tls::Alpn;
use crate::worker::Worker;

/// A block is handed over when it is this long, or a moment later.
const BLOCK: usize = 32 * 1024;
/// Longest path, host or agent in a line; the rest is cut.
const TEXT_MAX: usize = 2048;

/// The writers, by where they write.
#[derive(Clone, Default)]
pub struct LogSinks(pub Vec<(LogTarget, SyncSender<Vec<u8>>)>);

/// Whether and how exchanges are logged.
pub(crate) struct Logging {
    format: LogFormat,
    to: LogTarget,
    sample: f64,
}

impl Logging {
    pub(crate) fn compile(settings: &AccessLog) -> Self {
        Self { format: settings.format, to: settings.to.clone(), sample: settings.sample }
    }

    /// Writes one line, if it is among those that are to be written: all about what failed are.
    pub(crate) fn write(
        &self,
        worker: &Worker,
        has_failed: bool,
        line: impl FnOnce(&mut String, LogFormat, &Stamp),
    ) {
        let is_chosen =
            has_failed || self.sample >= 1.0 || worker.rng.borrow_mut().unit_f64() < self.sample;
        if is_chosen {
            let time = Stamp::of(runtime::wall_clock());
            worker.logs.write(&self.to, |out| {
                let mut text = String::with_capacity(512);
                line(&mut text, self.format, &time);
                out.extend_from_slice(text.as_bytes());
            });
        }
    }
}

/// A worker's lines that have not been handed over yet.
pub(crate) struct LogBuffers {
    sinks: RefCell<Vec<Sink>>,
    counters: Arc<WorkerCounters>,
}

struct Sink {
    to: LogTarget,
    writer: SyncSender<Vec<u8>>,
    block: Vec<u8>,
}

impl LogBuffers {
    pub(crate) fn new(sinks: LogSinks, counters: Arc<WorkerCounters>) -> Self {
        let buffers = Self { sinks: RefCell::default(), counters };
        buffers.replace(sinks);
        buffers
    }

    /// Writes to these from now on.
    pub(crate) fn replace(&self, sinks: LogSinks) {
        self.flush();
        let sink = |(to, writer)| Sink { to, writer, block: Vec::new() };
        self.sinks.replace(sinks.0.into_iter().map(sink).collect());
    }

    fn write(&self, to: &LogTarget, line: impl FnOnce(&mut Vec<u8>)) {
        let mut sinks = self.sinks.borrow_mut();
        let Some(sink) = sinks.iter_mut().find(|sink| sink.to == *to) else { return };
        line(&mut sink.block);
        if sink.block.len() >= BLOCK {
            self.hand_over(sink);
        }
    }

    /// Hands over whatever is there.
    pub(crate) fn flush(&self) {
        for sink in self.sinks.borrow_mut().iter_mut().filter(|sink| !sink.block.is_empty()) {
            self.hand_over(sink);
        }
    }

    fn hand_over(&self, sink: &mut Sink) {
        if sink.writer.try_send(std::mem::take(&mut sink.block)).is_err() {
            self.counters.log_blocks_dropped.add(1);
        }
    }
}

/// Writes the exchange's line, if it is to have one.
pub(crate) fn record(exchange: &Exchange<'_>, now: Instant) {
    // The route's policy overrides the listener's.
    let Some(logging) = exchange.chains().filter_map(|chain| chain.logging.as_ref()).last() else {
        return;
    };
    let worker = &exchange.connection.worker;
    logging.write(worker, exchange.failure.is_some(), |line, format, time| match format {
        LogFormat::Json => write_json(line, exchange, time, now),
        LogFormat::Text => write_text(line, exchange, time, now),
    });
}

fn write_json(line: &mut String, exchange: &Exchange<'_>, time: &Stamp, now: Instant) {
    let bytes = exchange.buffer.all();
    let head = &exchange.head;
    let _ = write!(line, "{{\"time\":\"{time}\",\"client\":\"{}\"", exchange.client);
    let mut text = |name: &str, value: &[u8]| {
        if !value.is_empty() {
            let _ = write!(line, ",\"{name}\":\"");
            escape(line, value);
            line.push('"');
        }
    };
    text("request_id", exchange.request_id.text().as_bytes());
    text("protocol", exchange.protocol().as_bytes());
    text("method", head.method_text.of(bytes));
    text("host", head.host.of(bytes));
    let understood = !head.method_text.is_empty();
    text("path", if understood { exchange.path() } else { b"" });
    text("query", head.target.query.map(|query| query.of(bytes)).unwrap_or_default());
    text("user_agent", head.field(bytes, Known::UserAgent).unwrap_or_default());
    text("listener", exchange.listener().map(|l| l.config.name.as_bytes()).unwrap_or_default());
    text("route", exchange.route().map(|r| r.name.as_bytes()).unwrap_or_default());
    let pool = exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id));
    text("pool", pool.map(|p| p.config.name.as_bytes()).unwrap_or_default());
    text("server", exchange.server.as_ref().map(|s| s.target.key.as_bytes()).unwrap_or_default());
    if let Some(session) = exchange.connection.tls.get() {
        text("tls", session.version.as_bytes());
        text("cipher", session.cipher.as_bytes());
        text("sni", session.server_name.as_deref().unwrap_or_default().as_bytes());
        text("alpn", session.alpn.map_or("", Alpn::name).as_bytes());
    }
    text("reason", exchange.failure.map(|reason| reason.word().as_bytes()).unwrap_or_default());
    let _ = write!(
        line,
        ",\"status\":{},\"tries\":{},\"reused\":{},\"bytes_in\":{},\"bytes_out\":{},\"duration_ms\":{:.3}",
        exchange.status,
        exchange.tries,
        exchange.reused,
        exchange.body_bytes_in,
        exchange.bytes_out,
        now.saturating_duration_since(exchange.started).as_secs_f64() * 1e3,
    );
    if let Some(session) = exchange.connection.tls.get() {
        let _ = write!(line, ",\"resumed\":{}", session.resumed);
    }
    if let Some(first) = exchange.first_byte {
        let _ = write!(line, ",\"first_byte_ms\":{:.3}", first.as_secs_f64() * 1e3);
    }
    line.push_str("}\n");
}

fn write_text(line: &mut String, exchange: &Exchange<'_>, time: &Stamp, now: Instant) {
    let bytes = exchange.buffer.all();
    let _ = write!(line, "{time} {} \"", exchange.client);
    escape(line, exchange.head.method_text.of(bytes));
    line.push(' ');
    escape(line, exchange.head.host.of(bytes));
    escape(line, exchange.path());
    let _ = write!(
        line,
        "\" {} {}B {:.1}ms {}",
        exchange.status,
        exchange.bytes_out,
        now.saturating_duration_since(exchange.started).as_secs_f64() * 1e3,
        exchange.server.as_ref().map_or("-", |server| &server.target.key),
    );
    if let Some(reason) = exchange.failure {
        let _ = write!(line, " {}", reason.word());
    }
    let _ = writeln!(line, " {}", exchange.request_id.text());
}

/// Whatever a client sends, a line stays one line of plain ASCII: control characters, quotes and
/// everything beyond ASCII (which may turn text around on a terminal) are escaped as JSON does.
pub(crate) fn escape(line: &mut String, value: &[u8]) {
    let value = value.get(..TEXT_MAX).unwrap_or(value);
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            ' '..='~' => line.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// A moment in UTC, written as RFC 3339 has it, to the millisecond.
pub(crate) struct Stamp {
    day: u64,
    millis: u64,
}

impl Stamp {
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(0);
        Self { day: millis / 86_400_000, millis: millis % 86_400_000 }
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Days counted from 0000-03-01, so that the leap day is a year's last.
        let day = self.day + 719_468;
        let (era, of_era) = (day / 146_097, day % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let date = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        let (seconds, millis) = (self.millis / 1000, self.millis % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_written_in_utc() {
        let at = |seconds| Stamp::of(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_219_199), "2026-11-20T23:59:59.000Z");
    }

    #[test]
    fn nothing_a_client_sends_leaves_the_line_or_the_string() {
        let mut line = String::new();
        escape(&mut line, "a\"b\\c\r\n\u{1b}[2J\u{202e}ü".as_bytes());
        assert_eq!(line, "a\\\"b\\\\c\\u000d\\u000a\\u001b[2J\\u202e\\u00fc");
        line.clear();
        escape(&mut line, b"\xff\xfe");
        assert_eq!(line, "\\ufffd\\ufffd");
    }
}
