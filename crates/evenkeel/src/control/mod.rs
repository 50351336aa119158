//! The control plane: what is wanted (files, changes at runtime, what discovery found) and what is
//! (sockets, workers, drains). Owns every change of the running process; no request waits for it.
//! This file is its door: what can be asked, and what is answered.

pub(crate) mod access_logs;
pub(crate) mod actor;
mod bind;
pub(crate) mod carried;
pub(crate) mod diff;
pub(crate) mod drains;
pub(crate) mod intent;
pub(crate) mod lookout;
pub(crate) mod op;
pub(crate) mod origin;
pub(crate) mod overlay;
pub(crate) mod past;
pub(crate) mod plane;
pub(crate) mod readings;
pub(crate) mod sockets;
pub(crate) mod standing;
pub(crate) mod state;
pub(crate) mod udp_sockets;
pub(crate) mod view;
pub(crate) mod wanted;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use evenkeel_config::Report;
use evenkeel_config::model::{Address, Server};
use tokio::sync::{mpsc, oneshot, watch as latest};

use self::actor::Stand;
use self::intent::Inert;
use self::op::Op;
use self::view::View;
use crate::admin::Living;
use crate::certs::Challenges;
use crate::upgrade::{self, Order, Upgraded};

/// Requests that may wait for the actor; more are refused, since each may take milliseconds.
const WAITING_MAX: usize = 256;
/// Changes in one request.
pub(crate) const OPS_MAX: usize = 10_000;

/// Changes that belong together: all of them, or none.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// In this order.
    pub(crate) ops: Vec<Op>,
    /// Only if this is the version.
    pub(crate) if_version: Option<u64>,
    /// Only say what would become of it.
    pub(crate) dry_run: bool,
    /// For the log and the history.
    pub(crate) author: String,
}

/// Back to an earlier version.
#[derive(Clone, Debug)]
pub(crate) struct Rollback {
    /// Of those in [`View::history`].
    pub(crate) to: u64,
    /// Only if this is the version.
    pub(crate) if_version: Option<u64>,
    /// Only say what would become of it.
    pub(crate) dry_run: bool,
    /// For the log and the history.
    pub(crate) author: String,
}

/// What became of a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// The version now (after a dry run: still).
    pub(crate) version: u64,
    /// Whether anything differs.
    pub(crate) changed: bool,
    /// What, a sentence each.
    pub(crate) changes: Vec<String>,
    /// What is allowed but probably not meant, in the file.
    pub(crate) warnings: Vec<String>,
    /// Earlier changes at runtime that do not apply (any more).
    pub(crate) inert: Vec<Inert>,
    /// Whether a restart finds it.
    pub(crate) kept: Kept,
}

/// Whether a change survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// There is no `admin.state`, or nothing to keep.
    #[default]
    NotAsked,
    /// It does.
    Surely,
    /// It could not be written; the change is in force all the same.
    Failed(String),
}

/// Why nothing changed.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// The version is another one.
    Conflict { version: u64 },
    /// What was read is wrong.
    Invalid(Report),
    /// It names something that is not there.
    NotFound(String),
    /// It cannot be done; the text says what to do instead.
    Impossible(String),
    /// Not now; the same later may succeed.
    Busy(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict { version } => write!(f, "the version is {version} by now"),
            Self::Invalid(report) => f.write_str(&report.compact()),
            Self::NotFound(why) | Self::Impossible(why) | Self::Busy(why) => f.write_str(why),
        }
    }
}

/// What became of a request.
pub(crate) type Reply = Result<Applied, Refused>;

/// What the actor is asked.
pub(crate) enum Message {
    Reload {
        author: String,
        reply: Option<oneshot::Sender<Reply>>,
    },
    Change(Change, oneshot::Sender<Reply>),
    Rollback(Rollback, oneshot::Sender<Reply>),
    Discovered {
        pool: String,
        servers: Vec<Server>,
    },
    Resolved(Vec<(Address, Vec<SocketAddr>)>),
    /// Key material may have changed, or grown old.
    Keys,
    /// A document of the network was fetched and is good.
    Fetched(String, Arc<[u8]>),
    /// An authority is answered this from now on, and nothing else. Told once all workers do.
    #[cfg_attr(not(feature = "acme"), allow(dead_code, reason = "nobody orders"))]
    Challenges(Challenges, oneshot::Sender<()>),
    Reopen,
    /// Start accepting what was bound.
    Listen(SyncSender<Result<(), String>>),
    /// Hand over to a new process.
    Upgrade {
        order: Order,
        reply: Option<oneshot::Sender<Result<Upgraded, upgrade::Refused>>>,
    },
    /// It has, or nothing has changed.
    UpgradeOver(Result<Upgraded, upgrade::Refused>),
    /// The predecessor has left everything to this process.
    TakeCharge,
    /// Operators may look and change from now on.
    OpenAdmin(Living),
    /// Changes are refused with this text, or no more.
    Hold(Option<String>),
    /// The process drains: sockets are closed, changes refused. Answered once that is so.
    Close(SyncSender<()>),
    /// The process ends: what waits in logs is written.
    End,
}

/// Asks the control plane; anyone's.
#[derive(Clone)]
pub(crate) struct Handle {
    sender: mpsc::Sender<Message>,
    stand: latest::Receiver<Arc<Stand>>,
}

impl Handle {
    pub(crate) fn new(stand: latest::Receiver<Arc<Stand>>) -> (Self, mpsc::Receiver<Message>) {
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        (Self { sender, stand }, inbox)
    }

    /// Reads the configuration again and takes over what differs.
    pub(crate) async fn reload(&self, author: &str) -> Reply {
        let author = author.to_owned();
        self.ask(|reply| Message::Reload { author, reply: Some(reply) }).await
    }

    /// Makes all of these changes, or none.
    pub(crate) async fn change(&self, change: Change) -> Reply {
        if change.ops.len() > OPS_MAX {
            let most = format!("at most {OPS_MAX} changes in a request");
            return Err(Refused::Impossible(most));
        }
        self.ask(|reply| Message::Change(change, reply)).await
    }

    /// Goes back to an earlier version; that is a new one.
    pub(crate) async fn rollback(&self, rollback: Rollback) -> Reply {
        self.ask(|reply| Message::Rollback(rollback, reply)).await
    }

    /// Everything there is to see, as of now; never waits for a change.
    pub(crate) fn view(&self) -> View {
        View::of(&self.stand.borrow().clone())
    }

    /// What serves at the moment, and what was the last change.
    pub(crate) fn stand(&self) -> Arc<Stand> {
        self.stand.borrow().clone()
    }

    /// Tells of every publication.
    pub(crate) fn follow(&self) -> latest::Receiver<Arc<Stand>> {
        self.stand.clone()
    }

    /// These are the servers of a pool beside those of the file.
    pub(crate) async fn discovered(&self, pool: &str, servers: Vec<Server>) {
        let pool = pool.to_owned();
        let _ = self.sender.send(Message::Discovered { pool, servers }).await;
    }

    /// Names of servers have these addresses.
    pub(crate) async fn resolved(&self, found: Vec<(Address, Vec<SocketAddr>)>) {
        let _ = self.sender.send(Message::Resolved(found)).await;
    }

    /// A document of the network is this now.
    pub(crate) async fn fetched(&self, place: &str, bytes: Arc<[u8]>) {
        let _ = self.sender.send(Message::Fetched(place.to_owned(), bytes)).await;
    }

    /// Has all workers answer an authority this, and nothing else; ends once they do.
    #[cfg(feature = "acme")]
    pub(crate) async fn challenges(&self, challenges: Challenges) {
        let (done, told) = oneshot::channel();
        let _ = self.sender.send(Message::Challenges(challenges, done)).await;
        let _ = told.await;
    }

    /// Hands over to a new process; on success this one drains and ends.
    pub(crate) async fn upgrade(&self, order: Order) -> Result<Upgraded, upgrade::Refused> {
        let (reply, answer) = oneshot::channel();
        let ends = || upgrade::Refused::at_start("this process ends".into());
        let message = Message::Upgrade { order, reply: Some(reply) };
        self.sender.try_send(message).map_err(|_| ends())?;
        answer.await.unwrap_or_else(|_| Err(ends()))
    }

    /// Leaves a message, from a thread that may wait.
    pub(crate) fn tell_surely(&self, message: Message) {
        let _ = self.sender.blocking_send(message);
    }

    /// Leaves a message without waiting, from any thread; `false` when it is lost.
    pub(crate) fn tell(&self, message: Message) -> bool {
        self.sender.try_send(message).is_ok()
    }

    async fn ask(&self, message: impl FnOnce(oneshot::Sender<Reply>) -> Message) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(message(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refused::Busy(format!("{WAITING_MAX} changes wait already"))
            }
            mpsc::error::TrySendError::Closed(_) => Refused::Busy("the process ends".into()),
        })?;
        answer.await.unwrap_or_else(|_| Err(Refused::Busy("the process ends".into())))
    }
}

#[cfg(test)]
mod tests;
