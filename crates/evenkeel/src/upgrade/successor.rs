//! The new process's side of an upgrade: says hello, receives the sockets, and waits until it may
//! serve. Owns the conversation; what is done with the sockets is the supervisor's.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use evenkeel_config::model::SecretKey;
use evenkeel_runtime::{self as runtime, descriptors};

use super::TIMEOUT_MAX;
use super::fault::{self, Point};
use super::launch::VARIABLE;
use super::message::{Line, Manifest, Message, PROTOCOL, SOCKETS_MAX, Trouble};
use super::sockets::Inherited;
use crate::failure::{Exit, Failure};

/// A predecessor that is alive sends everything within this.
const SENDING: Duration = Duration::from_secs(30);
/// How much longer than its predecessor says this process waits for it: whoever gives up first is
/// the old one, which kills the new one.
const GRACE: Duration = Duration::from_secs(10);

/// How long the end of this process waits for the old one to hear of it.
const LEAVE: Duration = Duration::from_millis(100);

/// A process that is being started to take over from another.
pub(crate) struct Succession {
    line: Line,
    patience: Duration,
    /// What the old process's control plane knew beyond its files.
    pub(crate) carried: serde_json::Value,
}

/// What this process takes over, if it was started for that.
///
/// To be called before standard input is used.
pub(crate) fn begin() -> Result<Option<(Succession, Inherited)>, Failure> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(None);
    }
    if fault::is_at(Point::ExitsAtOnce) {
        std::process::exit(0);
    }
    assert!(!fault::is_at(Point::PanicsBeforeHello), "planted");
    fault::hangs_at(Point::HangsBeforeHello);
    let input = descriptors::take_standard_input().map(UnixStream::from);
    let line = input.and_then(|stream| stream.peer_addr().and(Line::new(stream)));
    let mut line = line.map_err(|_| {
        let message =
            format!("{VARIABLE} is set, but standard input is no process to take over from");
        Failure::new(Exit::Usage, message).with_help("unset it: `evenkeel upgrade` sets it")
    })?;
    #[cfg(feature = "fault-injection")]
    if fault::is_at(Point::Garbage) {
        line.say_raw(b"HTTP/1.1 200 OK\r\n\r\n");
        fault::hangs_at(Point::Garbage);
    }
    let (manifest, sockets) = receive(&mut line).map_err(|trouble| lost(&trouble))?;
    let Manifest { pid, version, carried, patience_ms, sockets: entries, sticky_key } = manifest;
    if let Ok(key) = <[u8; 32]>::try_from(sticky_key.0) {
        evenkeel_proxy::continue_process_key(SecretKey::new(key, None));
    }
    tracing::info!(pid, %version, sockets = entries.len(), "taking over from the old process");
    let patience = Duration::from_millis(patience_ms).min(TIMEOUT_MAX) + GRACE;
    let inherited = Inherited::from_predecessor(entries, sockets);
    Ok(Some((Succession { line, patience, carried }, inherited)))
}

fn receive(line: &mut Line) -> Result<(Manifest, Vec<OwnedFd>), Trouble> {
    let until = runtime::now() + SENDING;
    let protocol = if fault::is_at(Point::WrongProtocol) { PROTOCOL + 1 } else { PROTOCOL };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    line.say(&Message::Hello { protocol, version, pid: std::process::id() }, &[], until)?;
    let Message::Manifest(manifest) = line.hear(until)?.0 else {
        return Err(Trouble::Garbage("no manifest".into()));
    };
    let wanted = manifest.sockets.len();
    if wanted > SOCKETS_MAX {
        return Err(Trouble::Garbage(format!("{wanted} sockets")));
    }
    let mut sockets = Vec::with_capacity(wanted);
    while sockets.len() < wanted {
        let (Message::Sockets, mut batch) = line.hear(until)? else {
            return Err(Trouble::Garbage("no sockets".into()));
        };
        if batch.is_empty() {
            return Err(Trouble::Garbage("sockets without sockets".into()));
        }
        sockets.append(&mut batch);
        if sockets.len() >= wanted.div_ceil(2) {
            fault::ends_at(Point::EndsWithHalfTheSockets);
        }
    }
    fault::ends_at(Point::EndsAfterManifest);
    Ok((*manifest, sockets))
}

impl Succession {
    /// Whether anything speaks against taking over: nothing but a planted fault.
    pub(crate) fn consider(&self) -> Result<(), Failure> {
        match fault::is_at(Point::RefusesConfiguration) {
            true => Err(Failure::new(Exit::Config, "planted")),
            false => Ok(()),
        }
    }

    /// Tells the old process why this one cannot take over; it ends then.
    pub(crate) fn refuse(self, why: &str) {
        let refused = Message::Refused { why: why.to_owned() };
        // If it does not hear it, it sees that this process ends.
        let _ = self.line.say(&refused, &[], runtime::now() + SENDING);
    }

    /// Everything is there to serve; waits for the call to do so. Also when the old process has
    /// ended: then nobody else serves.
    pub(crate) fn ready(&mut self, adopted: usize) -> Result<(), Failure> {
        fault::hangs_at(Point::HangsBeforeReady);
        fault::ends_at(Point::KilledBeforeReady);
        let until = runtime::now() + self.patience;
        let heard = self
            .line
            .say(&Message::Ready { adopted }, &[], until)
            .inspect(|()| fault::ends_at(Point::KilledAfterReady))
            .and_then(|()| self.line.hear(until));
        match heard {
            Ok((Message::Serve, _)) => {
                fault::hangs_at(Point::HangsBeforeServing);
                fault::ends_at(Point::KilledBeforeServing);
                Ok(())
            }
            Ok((other, _)) => Err(lost(&Trouble::Garbage(other.name().into()))),
            Err(Trouble::Closed) => Ok(()),
            Err(trouble) => Err(lost(&trouble)),
        }
    }

    /// This process accepts. `in_charge` is called, on another thread, when it is the only one that
    /// should.
    pub(crate) fn serving(self, in_charge: impl FnOnce() + Send + 'static) -> Tether {
        let leaving = Arc::new(AtomicBool::new(false));
        let tether = Tether { voice: self.line.second_voice().ok(), leaving: leaving.clone() };
        let patience = self.patience;
        let mut line = self.line;
        let said = line.say(&Message::Serving, &[], runtime::now() + patience);
        fault::ends_at(Point::KilledAfterServing);
        if fault::is_at(Point::SpeaksOutOfTurn) {
            let _ = line.say(&Message::Sockets, &[], runtime::now() + patience);
        }
        let wait = move || {
            let mut silent = Some(runtime::now() + patience);
            let mut heard = said.map(|()| None);
            while let Ok(None) = heard {
                if leaving.load(Relaxed) {
                    return;
                }
                // It lives (its end would be heard), so it may still change its mind.
                if silent.take_if(|until| runtime::now() >= *until).is_some() {
                    tracing::warn!("the old process is silent: both serve");
                }
                heard = line.hear_a_little();
            }
            fault::ends_at(Point::KilledWhenInCharge);
            if let Err(trouble) = heard {
                tracing::warn!("the old process has gone: {trouble}");
            }
            in_charge();
        };
        if let Err(error) = std::thread::Builder::new().name("upgrade".into()).spawn(wait) {
            tracing::error!(%error, "cannot wait for the old process");
        }
        tether
    }
}

/// What a process that is not yet in charge owes the old one.
pub(crate) struct Tether {
    voice: Option<Line>,
    leaving: Arc<AtomicBool>,
}

impl Tether {
    /// This process was asked to end: the old one goes on.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Relaxed);
        let why = "it was asked to end".to_owned();
        if let Some(voice) = &self.voice {
            // If it does not hear it, it sees that this process ends.
            let _ = voice.say(&Message::Leaving { why }, &[], runtime::now() + LEAVE);
        }
    }
}

fn lost(trouble: &Trouble) -> Failure {
    Failure::new(Exit::Runtime, format!("cannot take over from the old process: {trouble}"))
}
