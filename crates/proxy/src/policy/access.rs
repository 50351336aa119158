//! `access`: lets clients in, or not, by their network.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_config::model;

use super::network_table::{self, NetworkTable};
use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;

/// See the module's head.
pub(super) struct Access {
    /// Whether a network may.
    networks: NetworkTable<bool>,
    others: bool,
}

impl Access {
    pub(super) fn compile(access: &model::Access, documents: &HashMap<String, Arc<[u8]>>) -> Self {
        let listed = |file: &Option<String>| {
            let bytes = file.as_ref().and_then(|file| documents.get(file));
            // What cannot be read was a diagnostic before.
            bytes.and_then(|bytes| network_table::read(bytes).ok()).unwrap_or_default()
        };
        let allowed = access.allow.iter().copied().chain(listed(&access.allow_file));
        let denied = access.deny.iter().copied().chain(listed(&access.deny_file));
        // The last of the same network counts.
        let all = allowed.map(|network| (network, true)).chain(denied.map(|n| (n, false)));
        Self { networks: NetworkTable::new(all), others: access.others }
    }
}

impl Policy for Access {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        match self.networks.find(exchange.client).unwrap_or(self.others) {
            true => Verdict::Pass,
            false => Verdict::Refuse(Failure::new(Reason::AddressDenied)),
        }
    }
}
