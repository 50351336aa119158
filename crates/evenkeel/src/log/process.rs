//! The process log: what `tracing` events say, a line each on standard error. The lines pass
//! through a [`Writer`], so that a terminal that was stopped with Ctrl-S stops no worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::writer::{Place, Writer};
use crate::failure::{Exit, Failure};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// The HTTP/2 library warns of each frame that a client should not have sent: a client decides how often.
/// What matters of it is told in words of our own; a filter that names it has its way.
const QUIET: &str = "h2=error";

/// Ends the log when dropped, after the last line.
pub(crate) struct Guard(Option<Writer>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.finish();
        }
    }
}

/// Sends every event at `level` (or as a filter says) to standard error from now on.
pub(crate) fn start(format: Format, level: &str) -> Result<Guard, Failure> {
    let filter = EnvFilter::builder().parse(format!("{QUIET},{level}")).map_err(|e| {
        let message = format!("log level `{level}`: {e}\nhelp: error, warn, info, debug or trace");
        Failure::new(Exit::Usage, message)
    })?;
    let writer = Writer::start(Place::Stderr, |complaint| {
        crate::terminal::print_error(complaint);
    })
    .map_err(|e| Failure::new(Exit::Runtime, format!("cannot start the process log: {e}")))?;
    let lines = fmt::layer()
        .with_writer(Lines { sender: writer.sender(), dropped: Arc::default() })
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        Format::Text => registry.with(lines.with_ansi(false)).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    installed.map_err(|e| Failure::new(Exit::Runtime, format!("process log: {e}")))?;
    Ok(Guard(Some(writer)))
}

#[derive(Clone)]
struct Lines {
    sender: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl io::Write for Lines {
    /// `tracing` hands over a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.dropped.swap(0, Relaxed);
        let mut block = line.to_vec();
        if dropped > 0 {
            block.extend_from_slice(format!("({dropped} lines before this one lost)\n").as_bytes());
        }
        if self.sender.try_send(block).is_err() {
            self.dropped.fetch_add(dropped + 1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
