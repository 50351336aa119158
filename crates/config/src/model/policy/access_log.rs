//! `access_log`: a line for each exchange.

/// A line for each exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// How it is written.
    pub format: LogFormat,
    /// Where to.
    pub to: LogTarget,
    /// Share of exchanges that are logged, 0.0 to 1.0; failures always are.
    pub sample: f64,
}

/// How an access log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line (the default).
    Json,
    /// One line for people.
    Text,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// Standard output (the default).
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to this file.
    File(String),
}
