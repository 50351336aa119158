//! A window of load: wrk on the other core, what it saw, and what the balancer used meanwhile.

use std::io;
use std::process::Command;

use evenkeel_tools::peer::Peer;

/// Connections that repeat one request.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The path asked for.
    pub(crate) path: String,
    /// The host asked for, if not the address.
    pub(crate) host: Option<String>,
    /// How many connections.
    pub(crate) connections: usize,
    /// A new connection for each request.
    pub(crate) close: bool,
    /// What is spoken.
    pub(crate) speaks: Speaks,
}

/// What a load speaks to a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    /// HTTP/1.1 over TLS, this far above the port without.
    Tls(u16),
    /// HTTP/2 over TLS, this far above, with so many streams on each connection.
    Http2(u16, usize),
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// CPU microseconds of the balancer for each request.
    pub(crate) micros: f64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Milliseconds within which half of the requests were answered.
    pub(crate) p50: f64,
    /// Milliseconds within which 99 of 100 were.
    pub(crate) p99: f64,
    /// Requests without an answer, or with another than 2xx.
    pub(crate) lost: u64,
}

impl Load {
    /// Kept connections that ask for `path`.
    pub(crate) fn of(path: &str, connections: usize) -> Self {
        Self { path: path.to_owned(), host: None, connections, close: false, speaks: Speaks::Http }
    }

    /// Loads a balancer for some seconds.
    pub(crate) fn window(&self, peer: &Peer, seconds: u64) -> io::Result<Window> {
        if let Speaks::Http2(above, streams) = self.speaks {
            return self.multiplexed(peer, seconds, above, streams);
        }
        let before = peer.cpu();
        let mut command = Command::new("taskset");
        command.args(["-c", "1", "wrk", "-t1", "--latency"]);
        command.args([format!("-c{}", self.connections), format!("-d{seconds}s")]);
        if self.close {
            command.args(["-H", "Connection: close"]);
        }
        if let Some(host) = &self.host {
            command.args(["-H", &format!("Host: {host}")]);
        }
        let (scheme, above) = match self.speaks {
            Speaks::Http => ("http", 0),
            Speaks::Tls(above) | Speaks::Http2(above, _) => ("https", above),
        };
        let url = format!("{scheme}://127.0.0.1:{}{}", peer.port + above, self.path);
        let output = command.arg(url).output()?;
        let used = peer.cpu() - before;
        Ok(read(&String::from_utf8_lossy(&output.stdout), used, seconds))
    }

    /// The same over HTTP/2, which wrk does not speak: h2load.
    fn multiplexed(
        &self,
        peer: &Peer,
        seconds: u64,
        above: u16,
        streams: usize,
    ) -> io::Result<Window> {
        let before = peer.cpu();
        let mut command = Command::new("taskset");
        command.args(["-c", "1", "h2load", "-t1"]);
        command.args([format!("-c{}", self.connections), format!("-m{streams}")]);
        command.args([format!("-D{seconds}")]);
        command.arg(format!("https://127.0.0.1:{}{}", peer.port + above, self.path));
        let output = command.output()?;
        let used = peer.cpu() - before;
        Ok(read_h2load(&String::from_utf8_lossy(&output.stdout), used, seconds))
    }
}

/// Makes sense of what wrk printed.
fn read(text: &str, used: u64, seconds: u64) -> Window {
    let first = |line: &str| line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let requests = text.lines().find(|l| l.contains("requests in")).and_then(first).unwrap_or(0);
    let percentile = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|value| millis(value.trim())).unwrap_or(f64::NAN)
    };
    let is_loss = |line: &&str| line.contains("Non-2xx") || line.contains("Socket errors");
    let lost =
        text.lines().filter(is_loss).filter_map(|line| line.split_once(':')).map(|(_, all)| {
            let numbers =
                all.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
            numbers.sum::<u64>()
        });
    Window {
        micros: used as f64 / 1e3 / requests.max(1) as f64,
        rate: requests as f64 / seconds as f64,
        p50: percentile("50%"),
        p99: percentile("99%"),
        // Nothing at all is no success either.
        lost: lost.sum::<u64>() + u64::from(requests == 0),
    }
}

/// Makes sense of what h2load printed; it tells no percentiles.
fn read_h2load(text: &str, used: u64, seconds: u64) -> Window {
    let count = |what: &str| {
        let line = text.lines().find(|line| line.starts_with("requests: ")).unwrap_or_default();
        let part = line.split([',', ':']).find(|part| part.trim_end().ends_with(what));
        part.and_then(|part| part.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let status = text.lines().find(|line| line.starts_with("status codes: ")).unwrap_or_default();
    let good = status.split([',', ':']).find(|part| part.trim_end().ends_with("2xx"));
    let good = good.and_then(|part| part.split_whitespace().next()?.parse::<u64>().ok());
    let (succeeded, good) = (count("succeeded"), good.unwrap_or(0));
    Window {
        micros: used as f64 / 1e3 / good.max(1) as f64,
        rate: good as f64 / seconds as f64,
        p50: f64::NAN,
        p99: f64::NAN,
        lost: count("failed") + succeeded.saturating_sub(good) + u64::from(good == 0),
    }
}

/// `1.25ms` and the like.
fn millis(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number = text.get(..unit)?.parse::<f64>().ok()?;
    match text.get(unit..)? {
        "us" => Some(number / 1e3),
        "ms" => Some(number),
        "s" => Some(number * 1e3),
        "m" => Some(number * 60e3),
        _ => None,
    }
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Running 1s test @ http://127.0.0.1:42102/128
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.31ms  398.24us   9.82ms   91.71%
  Latency Distribution
     50%  980.00us
     75%    1.33ms
     90%    1.61ms
     99%    1.20s
  48795 requests in 1.00s, 12.00MB read
  Socket errors: connect 1, read 2, write 0, timeout 4
  Non-2xx or 3xx responses: 8
";

    #[test]
    fn what_wrk_prints_is_understood() {
        let window = read(PRINTED, 48_795_000_000, 2);
        assert_eq!((window.micros, window.rate), (1000.0, 24_397.5));
        assert_eq!((window.p50, window.p99, window.lost), (0.98, 1200.0, 15));
    }

    const PRINTED_BY_H2LOAD: &str = "\
finished in 2.00s, 48795.00 req/s, 7.29MB/s
requests: 97600 total, 97601 started, 97592 done, 97590 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 97586 2xx, 0 3xx, 0 4xx, 4 5xx
";

    #[test]
    fn what_h2load_prints_is_understood() {
        let window = read_h2load(PRINTED_BY_H2LOAD, 97_586_000_000, 2);
        assert_eq!((window.micros, window.rate, window.lost), (1000.0, 48_793.0, 6));
    }

    #[test]
    fn a_window_without_an_answer_counts_as_lost() {
        assert_eq!(read("unable to connect to 127.0.0.1:42102", 0, 1).lost, 1);
    }
}
