//! What key material is in force, by listener and pool, and when it is made anew. A file that is as it
//! was makes nothing anew: whoever holds on to the old material keeps it, and its sessions.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_config::Config;
use evenkeel_proxy::tls::{Materials, TicketSecret};
use serde::{Deserialize, Serialize};

use super::challenges::Challenges;
use super::listener::{self, ListenerKeys};
use super::pool::{self, PoolKeys};
use super::problem::{Problem, Weight};
use crate::documents::Library;

/// Why material is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// There is none yet.
    Start,
    /// Somebody wants the files read.
    Reload,
    /// Something else changed: only what is new is read.
    Change,
    /// Files may have changed, or keys of our own be old.
    Notice,
}

/// See the module's head. A copy shares what it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring {
    /// By the listener's name.
    listeners: HashMap<String, Arc<ListenerKeys>>,
    /// By the pool's name.
    pools: HashMap<String, Arc<PoolKeys>>,
    /// What an authority is answered now.
    challenges: Arc<Challenges>,
    /// What policies are made of; looked at together with keys.
    pub(crate) documents: Library,
    /// A predecessor's, for listeners that are not among those yet.
    inherited: Vec<OwnTickets>,
}

/// Keys of tickets that a process made for itself, as another that takes over gets them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnTickets {
    listener: String,
    /// In hexadecimal, with the time they were made in seconds since 1970; the first seals.
    keys: Vec<(String, u64)>,
}

impl std::fmt::Debug for OwnTickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnTickets({})", self.listener)
    }
}

impl OwnTickets {
    fn keys(&self) -> Vec<(TicketSecret, SystemTime)> {
        let key = |(text, made): &(String, u64)| {
            let made = UNIX_EPOCH.checked_add(Duration::from_secs(*made))?;
            Some((TicketSecret(evenkeel_config::key_of(text)?), made))
        };
        self.keys.iter().filter_map(key).collect()
    }
}

impl Keyring {
    /// Nothing yet but what a predecessor left.
    pub(crate) fn after(inherited: Vec<OwnTickets>) -> Self {
        Self { inherited, ..Self::default() }
    }

    /// What a successor needs to open the tickets of this process.
    pub(crate) fn own_tickets(&self) -> Vec<OwnTickets> {
        let hexadecimal = |secret: &TicketSecret| {
            secret.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let key = |(secret, made): &(TicketSecret, SystemTime)| {
            let made = made.duration_since(UNIX_EPOCH).unwrap_or_default();
            (hexadecimal(secret), made.as_secs())
        };
        let own = |(name, keys): (&String, &Arc<ListenerKeys>)| OwnTickets {
            listener: name.clone(),
            keys: keys.own.iter().map(key).collect(),
        };
        self.listeners.iter().map(own).collect()
    }

    /// What `config` needs. Where something is wrong, what was in force for the same listener or pool
    /// stays; if that is an error, the problems say so. Reads files: it may take a while.
    pub(crate) fn renewed(
        &self,
        config: &Config,
        occasion: Occasion,
        now: SystemTime,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut next = Self { challenges: self.challenges.clone(), ..Self::default() };
        for listener in config.listeners.iter().filter(|listener| listener.tls.is_some()) {
            let owner = format!("listeners.{}", listener.name);
            let known = self.listeners.get(&listener.name);
            let inherited = self.inherited.iter().find(|own| own.listener == listener.name);
            let own = match known {
                Some(known) => known.own.clone(),
                None => inherited.map(OwnTickets::keys).unwrap_or_default(),
            };
            let mut found = Vec::new();
            let renewed = listener::renewed(
                listener,
                config,
                &self.challenges,
                (known, own),
                occasion,
                now,
                &mut found,
            );
            if let Some(keys) = renewed.or_else(|| known.cloned()) {
                next.listeners.insert(listener.name.clone(), keys);
            }
            problems.extend(
                found.into_iter().map(|problem| Problem { owner: owner.clone(), ..problem }),
            );
        }
        for pool in config.pools.iter().filter(|pool| pool.tls.is_some()) {
            let owner = format!("pools.{}", pool.name);
            let known = self.pools.get(&pool.name);
            let mut found = Vec::new();
            let made = pool::renewed(pool, known, occasion, now, &mut found);
            if let Some(keys) = made.or_else(|| known.cloned()) {
                next.pools.insert(pool.name.clone(), keys);
            }
            problems.extend(
                found.into_iter().map(|problem| Problem { owner: owner.clone(), ..problem }),
            );
        }
        next.documents = self.documents.renewed(config, occasion, &mut problems);
        (next, problems)
    }

    /// With other answers to an authority; [`Self::renewed`] has listeners show them.
    pub(crate) fn answering(&self, challenges: Challenges) -> Self {
        Self { challenges: Arc::new(challenges), ..self.clone() }
    }

    /// With documents that were fetched.
    pub(crate) fn informed(&self, fetched: Vec<(String, Arc<[u8]>)>) -> Self {
        Self { documents: self.documents.with(fetched), ..self.clone() }
    }

    /// For a snapshot.
    pub(crate) fn materials(&self) -> Materials {
        let listeners = self.listeners.iter().map(|(name, keys)| (name.clone(), keys.tls.clone()));
        let pools = self.pools.iter().map(|(name, keys)| (name.clone(), keys.tls.clone()));
        let challenges = self.challenges.http.clone();
        Materials { listeners: listeners.collect(), pools: pools.collect(), challenges }
    }

    /// Whether both lead to the same material.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |(name, keys): (&String, &Arc<ListenerKeys>)| {
            other.listeners.get(name).is_some_and(|other| Arc::ptr_eq(&keys.tls, &other.tls))
        };
        let same_pool = |(name, keys): (&String, &Arc<PoolKeys>)| {
            other.pools.get(name).is_some_and(|other| Arc::ptr_eq(&keys.tls, &other.tls))
        };
        self.listeners.len() == other.listeners.len()
            && Arc::ptr_eq(&self.challenges, &other.challenges)
            && self.documents.is_same(&other.documents)
            && self.listeners.iter().all(same)
            && self.pools.len() == other.pools.len()
            && self.pools.iter().all(same_pool)
    }

    /// The files that it was made of, or could not be.
    pub(crate) fn files(config: &Config) -> Vec<PathBuf> {
        let listeners = config.listeners.iter().filter_map(|l| l.tls.as_ref());
        let pools = config.pools.iter().filter_map(|pool| pool.tls.as_ref());
        listeners
            .flat_map(|tls| listener::files(tls, config.acme.as_ref()))
            .chain(pools.flat_map(pool::files))
            .chain(Library::files(config))
            .collect()
    }
}

/// Whether these keep a configuration from being put in force.
pub(crate) fn prevents(problem: &Problem, occasion: Occasion) -> bool {
    match problem.weight {
        Weight::Error => true,
        Weight::OutOfDate => occasion != Occasion::Start,
        Weight::Warning => false,
    }
}
