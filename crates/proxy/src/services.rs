//! What workers have done for them by others, since it would block them: asked without waiting, through
//! bounded queues that may be full.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use evenkeel_runtime::mailbox;

/// Who can be asked. By default nobody can.
#[derive(Clone, Default)]
pub struct Services {
    /// Compares passwords with hashes, which is meant to take long.
    pub passwords: Option<SyncSender<PasswordCheck>>,
    /// Fetches the document of this place anew.
    pub documents: Option<mailbox::Sender<String>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
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
