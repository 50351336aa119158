//! What workers have done for them by others, since it would block them: asked without waiting, through
//! bounded queues that may be full.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use evenkeel_balancer::limit::Decision;
use evenkeel_config::model::LimitStore;
use evenkeel_runtime::mailbox;

/// Who can be asked. By default nobody can.
#[derive(Clone, Default)]
pub struct Services {
    /// Compares passwords with hashes, which is meant to take long.
    pub passwords: Option<SyncSender<PasswordCheck>>,
    /// Fetches the document of this place anew.
    pub documents: Option<mailbox::Sender<String>>,
    /// Decides by limits that several instances share.
    pub limits: Option<mailbox::Sender<SharedTake>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

/// One request of a key, to be counted by several instances together.
pub struct SharedTake {
    /// Where.
    pub store: Arc<LimitStore>,
    /// The name of the key there.
    pub key: Vec<u8>,
    /// Time for one request.
    pub interval: Duration,
    /// Most at once.
    pub burst: u32,
    /// Told once; dropped if nobody knows.
    pub reply: mailbox::Sender<Decision>,
}

/// A password to be compared with a hash.
pub struct PasswordCheck {
    /// As stored: in the format of argon2id or bcrypt.
    pub hash: Arc<str>,
    /// As the client has given it.
    pub password: Vec<u8>,
    /// Told once whether they match; nobody may be left to hear it.
    pub reply: mailbox::Sender<bool>,
}
