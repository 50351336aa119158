//! Where servers are found while the process runs, and where those with names listen. Owns the
//! looking; what is found goes to the control plane as whole sets, which decides what follows.

mod addresses;
mod dns;
mod file;
mod resolver;
mod source;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_balancer::Rng;
use evenkeel_config::Config;
use evenkeel_config::model::{Address, Discover, Server};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use self::source::{Source, Told, follow};

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// All servers that the source of this pool has.
    Servers {
        /// Its name.
        pool: String,
        /// In an order that does not change by itself.
        servers: Vec<Server>,
    },
    /// All addresses of a name that servers have, best first.
    Addresses {
        /// Without a port.
        name: String,
        /// At least one.
        addresses: Vec<IpAddr>,
    },
}

/// Look-ups at a time: a resolver is not flooded, however many names there are.
const AT_A_TIME: usize = 32;
/// What was found and waits for the control plane.
const WAITING_MAX: usize = 256;

/// What is found out about: the servers of a pool, or the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Pool(String),
    Name(String),
}

/// All sources that are looked at, each in a task of its own that ends with this.
pub(crate) struct Discovery {
    followed: HashMap<Subject, Followed>,
    events: mpsc::Receiver<Event>,
    tell: mpsc::Sender<Event>,
    turns: Arc<Semaphore>,
    /// Who is asked for the names of servers; the system's if none.
    resolvers: Vec<SocketAddr>,
    rng: Rng,
    serial: u64,
}

struct Followed {
    serial: u64,
    settings: Option<Discover>,
    /// It has not been looked at even once.
    is_pending: bool,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Something a source has told; `None` if its first look has failed.
struct Event {
    subject: Subject,
    serial: u64,
    found: Option<Found>,
}

impl Discovery {
    /// Follows nothing yet.
    pub(crate) fn new(seed: u64) -> Self {
        let (tell, events) = mpsc::channel(WAITING_MAX);
        Self {
            followed: HashMap::new(),
            events,
            tell,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            resolvers: Vec::new(),
            rng: Rng::from_seed(seed),
            serial: 0,
        }
    }

    /// Follows what this configuration asks for; sources that stay as they are notice nothing. Call
    /// it within the control plane's runtime.
    pub(crate) fn set(&mut self, config: &Config) {
        let mut before = std::mem::take(&mut self.followed);
        if self.resolvers != config.resolvers {
            self.resolvers.clone_from(&config.resolvers);
            before.retain(|subject, _| matches!(subject, Subject::Pool(_)));
        }
        for pool in &config.pools {
            let Some(discover) = &pool.discover else { continue };
            let subject = Subject::Pool(pool.name.clone());
            let kept = before.remove(&subject);
            match kept.filter(|kept| kept.settings.as_ref() == Some(discover)) {
                Some(kept) => drop(self.followed.insert(subject, kept)),
                None => self.open(&pool.name, discover),
            }
        }
        for name in names(config) {
            let subject = Subject::Name(name.to_string());
            match before.remove(&subject) {
                Some(kept) => drop(self.followed.insert(subject, kept)),
                None if self.followed.contains_key(&subject) => {}
                None => self.open_name(name),
            }
        }
    }

    /// Follows these names too, asking these resolvers, the system's if there are none.
    pub(crate) fn follow_names<'a>(
        &mut self,
        resolvers: &[SocketAddr],
        addresses: impl Iterator<Item = &'a Address>,
    ) {
        self.resolvers = resolvers.to_vec();
        for address in addresses {
            if let Address::Name(name, _) = address
                && !self.followed.contains_key(&Subject::Name(name.clone()))
            {
                self.open_name(name);
            }
        }
    }

    /// What is found next, as much as is there; may be dropped and asked for again.
    pub(crate) async fn next(&mut self) -> Vec<Found> {
        loop {
            let found = self.some().await;
            if !found.is_empty() {
                return found;
            }
        }
    }

    /// What is found until every source was looked at once, or this much time has passed: a source
    /// that does not answer holds up nobody for longer.
    pub(crate) async fn first(&mut self, limit: Duration) -> Vec<Found> {
        let mut found = Vec::new();
        let all = async {
            while self.followed.values().any(|followed| followed.is_pending) {
                found.extend(self.some().await);
            }
        };
        let _ = tokio::time::timeout(limit, all).await;
        found
    }

    async fn some(&mut self) -> Vec<Found> {
        let mut events = Vec::new();
        self.events.recv_many(&mut events, WAITING_MAX).await; // never closed: we hold a sender
        events.into_iter().filter_map(|event| self.admit(event)).collect()
    }

    /// What is not followed any more may still have told something.
    fn admit(&mut self, Event { subject, serial, found }: Event) -> Option<Found> {
        let followed = self.followed.get_mut(&subject).filter(|f| f.serial == serial)?;
        followed.is_pending = false;
        found
    }

    /// Follows the source of a pool. A new kind of source is a line here.
    fn open(&mut self, pool: &str, discover: &Discover) {
        let (subject, settings) = (Subject::Pool(pool.into()), Some(discover.clone()));
        let pool = pool.to_string();
        let wrap = move |servers| Found::Servers { pool: pool.clone(), servers };
        match discover {
            Discover::Dns(dns) => {
                self.follow(subject, settings, dns::Dns::new(dns, self.turns.clone()), wrap);
            }
            Discover::File(file) => self.follow(subject, settings, file::File::new(file), wrap),
        }
    }

    fn open_name(&mut self, name: &str) {
        let source = dns::ServerName::new(name, &self.resolvers, self.turns.clone());
        let subject = Subject::Name(name.into());
        let name = name.to_string();
        let wrap = move |addresses| Found::Addresses { name: name.clone(), addresses };
        self.follow(subject, None, source, wrap);
    }

    fn follow<S: Source + 'static>(
        &mut self,
        subject: Subject,
        settings: Option<Discover>,
        source: S,
        wrap: impl Fn(Vec<S::Item>) -> Found + Send + 'static,
    ) {
        self.serial += 1;
        let (serial, tell, about) = (self.serial, self.tell.clone(), subject.clone());
        let tell = move |told: Told<S::Item>| {
            let (tell, subject) = (tell.clone(), about.clone());
            let found = match told {
                Told::Found(items) => Some(wrap(items)),
                Told::NotYet => None,
            };
            async move { drop(tell.send(Event { subject, serial, found }).await) }
        };
        let rng = Rng::from_seed(self.rng.next_u64());
        let task = tokio::spawn(follow(source, rng, tell)).abort_handle();
        self.followed.insert(subject, Followed { serial, settings, is_pending: true, task });
    }
}

/// The names that servers have, also those where they are checked.
fn names(config: &Config) -> impl Iterator<Item = &str> {
    let servers = config.pools.iter().flat_map(|pool| &pool.servers);
    servers.flat_map(|server| server.check.iter().chain([&server.address])).filter_map(|address| {
        match address {
            Address::Name(name, _) => Some(name.as_str()),
            Address::Socket(_) => None,
        }
    })
}

#[cfg(test)]
mod tests;
