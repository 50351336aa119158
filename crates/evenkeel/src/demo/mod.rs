//! `evenkeel demo`: three servers, Evenkeel in front of them and some traffic, all in this
//! process, and a view of who gets what. Owns the order in which they start and end.
#![cfg_attr(not(feature = "tui"), allow(dead_code, reason = "the plain view shows less"))]

mod board;
mod dice;
mod figures;
mod plain;
mod server;
mod traffic;
#[cfg(feature = "tui")]
mod view;
mod wire;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use evenkeel_config::{Loaded, Source};

use self::board::{Board, LANES};
use self::figures::Figures;
use crate::cli::refused;
use crate::control::intent::CommandLine;
use crate::control::origin::Origin;
use crate::control::overlay::Overlay;
use crate::control::wanted::{File, Wanted};
use crate::failure::{Exit, Failure};
use crate::log::process::{self, Format};
use crate::signals::{self, Request};
use crate::supervisor::{self, Event, Running, Start};
use crate::terminal;
use crate::upgrade::Inherited;

const CONFIG: &str = include_str!("demo.yaml");
/// How long the demo's end waits for requests in progress.
const DRAIN: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
While it runs, try:
  curl -i http://127.0.0.1:8080/            one of three, the fast ones more often
  curl -i http://127.0.0.1:8080/item/17     always the same server
  curl -i http://127.0.0.1:8080/fixed       answered by Evenkeel itself
  curl -i http://127.0.0.1:8080/old/page    a redirect
  curl -i http://127.0.0.1:8080/status/503  a server that fails")]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A line a second instead of the live view; so it is too when the output is no terminal
    #[arg(long)]
    plain: bool,
    /// End by itself after this many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plain = arguments.plain || !cfg!(feature = "tui") || !std::io::stdout().is_terminal();
    // The live view has the whole screen: a log line would tear it.
    let level = if plain { "warn" } else { "off" };
    let log = process::start(Format::Text, level)?;
    let ended = play(arguments, plain);
    drop(log);
    ended
}

fn play(arguments: &Arguments, plain: bool) -> Result<(), Failure> {
    let board = Arc::new(Board::default());
    let cannot = |e: std::io::Error| Failure::new(Exit::Runtime, format!("cannot start: {e}"));
    let mut servers = server::start(board.clone()).map_err(cannot)?;
    let file = file(arguments.listen, servers.addresses())?;
    let (events, inbox) = supervisor::events();
    let deliver = events.clone();
    signals::listen(move |request| deliver.request(request)).map_err(cannot)?;
    let (wanted, config) = Wanted::new(file, Overlay::default(), 1, CommandLine::default());
    let start = Start::new(Origin::Text(Vec::new()), wanted, config);
    let running = supervisor::start(start, events, &mut Inherited::default())
        .map_err(|f| f.with_help("another port: evenkeel demo --listen 127.0.0.1:8081"))?;
    running.accept()?;
    let address = running.addresses().first().copied().unwrap_or(arguments.listen);
    servers.send_traffic_to(address);
    let seconds = arguments.seconds;
    let show = Show { board: board.clone(), running: &running, inbox: &inbox, address, seconds };
    let shown = if plain { plain::show(&show) } else { show_live(&show) };
    board.stop_traffic();
    let last = Figures::read(&running);
    let ended = running.end(&inbox, DRAIN);
    terminal::print(&plain::farewell(&last, &board));
    shown.and(ended)
}

#[cfg(feature = "tui")]
fn show_live(show: &Show<'_>) -> Result<(), Failure> {
    view::show(show)
}

#[cfg(not(feature = "tui"))]
fn show_live(show: &Show<'_>) -> Result<(), Failure> {
    plain::show(show)
}

/// What the views look at.
struct Show<'s> {
    board: Arc<Board>,
    running: &'s Running,
    inbox: &'s Receiver<Event>,
    address: SocketAddr,
    seconds: Option<u64>,
}

impl Show<'_> {
    /// Waits for `wait` and says whether it is over: asked for by a signal, by `--seconds`, or
    /// because a worker failed.
    fn is_over(&self, shown_for: Duration, wait: Duration) -> Result<bool, Failure> {
        let is_time = self.seconds.is_some_and(|seconds| shown_for.as_secs() >= seconds);
        match self.inbox.recv_timeout(wait) {
            Ok(Event::Request(Request::End | Request::EndBy(_)))
            | Err(RecvTimeoutError::Disconnected) => Ok(true),
            Ok(Event::Request(_) | Event::HandedOver(_) | Event::InCharge)
            | Err(RecvTimeoutError::Timeout) => Ok(is_time),
            Ok(Event::Ended(index, result)) => {
                let why = result.err().unwrap_or_else(|| "it ended by itself".into());
                Err(Failure::new(Exit::Runtime, format!("worker {index} failed: {why}")))
            }
        }
    }
}

fn file(listen: SocketAddr, servers: [SocketAddr; LANES]) -> Result<File, Failure> {
    let [red, green, blue] = servers;
    let variable = |name: &str| match name {
        "LISTEN" => Some(listen.to_string()),
        "RED" => Some(red.to_string()),
        "GREEN" => Some(green.to_string()),
        "BLUE" => Some(blue.to_string()),
        _ => None,
    };
    let sources = [Source { name: "demo.yaml".into(), text: CONFIG.into() }];
    let Loaded { config, .. } =
        evenkeel_config::load(&sources, &variable).map_err(|report| refused(&report))?;
    Ok(File { sources: sources.into(), config: Arc::new(config), places: Arc::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_has_no_mistake() {
        let servers = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let config = file(SocketAddr::from(([127, 0, 0, 1], 8080)), servers).unwrap().config;
        assert_eq!(config.pools.len(), 2);
        assert!(config.pools.iter().all(|pool| pool.servers.len() == LANES));
    }
}
