//! Certificates that come by themselves (RFC 8555): which names need one, when, and when to ask again
//! after trouble. What comes is a file like others, which whoever watches files takes over; nobody
//! waits for it.

mod client;
mod order;
mod store;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use evenkeel_config::Config;
use evenkeel_config::model::{Acme, AcmeChallenge};
use evenkeel_runtime as runtime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use self::order::Trouble;
use self::store::Store;
use super::{files, issued};
use crate::control::{Handle, Message};

/// An authority that cannot be reached is asked again after this, then twice as long, and so on.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(3600);
/// One that refuses: authorities count what fails, and shut out who fails too often.
const REFUSED: Duration = Duration::from_secs(120);
const REFUSED_MAX: Duration = Duration::from_secs(12 * 3600);
/// How long an order may take, all in all.
const ORDER_MAX: Duration = Duration::from_secs(600);
/// How often another instance's work is looked at, and the clock: it may be set.
const LOOK_AT_OTHERS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(3600);

/// How it went with a name so far.
#[derive(Default)]
struct Record {
    failures: u32,
    not_before: Option<Instant>,
}

/// Keeps certificates fresh until the process ends.
pub(crate) async fn run(handle: Handle) {
    let mut stand = handle.follow();
    let mut records: HashMap<String, Record> = HashMap::new();
    let chance = RandomState::new();
    loop {
        let now = stand.borrow_and_update().clone();
        let wait = match &now.config.acme {
            Some(acme) if !now.draining => {
                look(&now.config, acme, &mut records, &chance, &handle).await
            }
            _ => LOOK,
        };
        tokio::select! {
            changed = stand.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Orders for every name whose time has come; how long to wait until the next look.
async fn look(
    config: &Config,
    acme: &Acme,
    records: &mut HashMap<String, Record>,
    chance: &RandomState,
    handle: &Handle,
) -> Duration {
    let mut wait = LOOK;
    for name in names(config) {
        let record = records.entry(name.to_owned()).or_default();
        let due = until_due(&acme.storage, name, chance);
        let pause = record.not_before.map(|at| at.saturating_duration_since(runtime::now()));
        let left = due.max(pause.unwrap_or_default());
        if left > Duration::ZERO {
            wait = wait.min(left);
            continue;
        }
        let left = match attempt(config, acme, name, handle).await {
            Ok(Attempt::Done) => {
                *record = Record::default();
                until_due(&acme.storage, name, chance).max(Duration::from_secs(1))
            }
            Ok(Attempt::AnotherOrders) => LOOK_AT_OTHERS,
            Err(trouble) => record.fail(name, &trouble, chance),
        };
        wait = wait.min(left);
    }
    wait
}

enum Attempt {
    Done,
    AnotherOrders,
}

async fn attempt(
    config: &Config,
    acme: &Acme,
    name: &str,
    handle: &Handle,
) -> Result<Attempt, Trouble> {
    let kept = |error: std::io::Error| {
        Trouble::Unreachable(format!("{}: {error}", acme.storage.display()))
    };
    let store = Store::open(&acme.storage).map_err(kept)?;
    let before = std::fs::metadata(issued::path(&acme.storage, name));
    let Some(_lock) = store.lock().map_err(kept)? else { return Ok(Attempt::AnotherOrders) };
    // Another instance may have been here a moment ago.
    let after = std::fs::metadata(issued::path(&acme.storage, name));
    if let (Ok(after), before) = (after, before)
        && before.ok().and_then(|before| before.modified().ok()) != after.modified().ok()
    {
        handle.tell(Message::Keys);
        return Ok(Attempt::AnotherOrders);
    }
    let how = way(config, acme, name);
    tracing::info!(name, challenge = ?how, "acme: a certificate is ordered");
    let ordered = order::certificate(acme, &store, name, how, handle);
    let pem = match tokio::time::timeout(ORDER_MAX, ordered).await {
        Ok(ordered) => ordered?,
        Err(_) => return Err(Trouble::Unreachable(format!("nothing within {ORDER_MAX:?}"))),
    };
    store.keep_certificate(name, &pem).map_err(kept)?;
    handle.tell(Message::Keys);
    tracing::info!(name, "acme: there is a new certificate");
    Ok(Attempt::Done)
}

impl Record {
    /// Notes and tells of a failure; how long to wait.
    fn fail(&mut self, name: &str, trouble: &Trouble, chance: &RandomState) -> Duration {
        let (first, most) = match trouble {
            Trouble::Unreachable(_) => (AGAIN, AGAIN_MAX),
            Trouble::Refused(_) => (REFUSED, REFUSED_MAX),
        };
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(most);
        // Many names that failed together do not come back together.
        let wait = wait.mul_f64(0.8 + 0.4 * share(chance, &(name, self.failures)));
        self.failures += 1;
        self.not_before = Some(runtime::now() + wait);
        tracing::error!(
            name,
            failures = self.failures,
            "acme: no certificate; what there is stays in use; next try in {wait:.0?}: {trouble}"
        );
        wait
    }
}

/// Every name that a listener wants, once.
fn names(config: &Config) -> Vec<&str> {
    let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let mut names: Vec<&str> = tls.flat_map(|tls| &tls.acme).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How the authority can find us: it asks at port 443 or 80, whatever the listeners are bound to.
fn way(config: &Config, acme: &Acme, name: &str) -> AcmeChallenge {
    if let Some(challenge) = acme.challenge {
        return challenge;
    }
    let has = |name: &str, tls: &evenkeel_config::model::ListenerTls| {
        tls.acme.iter().any(|known| known == name)
    };
    let at = |port: u16, listener: &evenkeel_config::model::Listener| {
        listener.bind.iter().any(|address| address.port() == port)
    };
    let is_at_443 = config
        .listeners
        .iter()
        .any(|l| at(443, l) && l.tls.as_ref().is_some_and(|tls| has(name, tls)));
    let mut plain = config.listeners.iter().filter(|listener| listener.tls.is_none()).peekable();
    let is_plain = plain.peek().is_some();
    match (is_at_443, is_plain) {
        (true, _) | (_, false) => AcmeChallenge::TlsAlpn01,
        // At port 80, or behind something that maps ports.
        (false, true) => AcmeChallenge::Http01,
    }
}

/// How long until the certificate for `name` is to be replaced: when two thirds of its time are over,
/// and not at the same moment as all others (RFC 8555 says nothing; authorities ask for it).
fn until_due(storage: &Path, name: &str, chance: &RandomState) -> Duration {
    let Some((from, to)) = validity(&issued::path(storage, name)) else {
        return Duration::ZERO;
    };
    let lifetime = to.saturating_sub(from);
    let due = from + lifetime.mul_f64(0.66 + 0.04 * share(chance, &name));
    let now = runtime::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    due.saturating_sub(now)
}

/// From when to when the certificate in a file holds, since 1970; `None` if there is none.
fn validity(path: &Path) -> Option<(Duration, Duration)> {
    let chain = files::certificates(path, &files::read(path).ok()?).ok()?;
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let validity = certificate.validity();
    let since = |at: i64| Duration::from_secs(u64::try_from(at).unwrap_or(0));
    Some((since(validity.not_before.timestamp()), since(validity.not_after.timestamp())))
}

/// A number from 0 to 1 that stays the same for the same thing in this process.
fn share(chance: &RandomState, of: &impl std::hash::Hash) -> f64 {
    chance.hash_one(of) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listeners: &str, acme: &str) -> Config {
        let text = format!(
            "listeners: {{ {listeners} }}\nroutes: [ {{ respond: {{}} }} ]\nacme: {{ storage: d, {acme} }}\n"
        );
        let source = evenkeel_config::Source { name: "f".into(), text };
        match evenkeel_config::load(&[source], &|_| None) {
            Ok(loaded) => loaded.config,
            Err(report) => panic!("{}", report.compact()),
        }
    }

    #[test]
    fn the_authority_is_answered_where_it_can_find_us() {
        let tls = |port: u16| format!("s: {{ bind: \":{port}\", tls: {{ acme: [a.example] }} }}");
        let plain = |port: u16| format!(", p: {{ bind: \":{port}\" }}");
        for (listeners, acme, expected) in [
            (tls(443) + &plain(80), "", AcmeChallenge::TlsAlpn01),
            (tls(443), "", AcmeChallenge::TlsAlpn01),
            (tls(8443) + &plain(80), "", AcmeChallenge::Http01),
            (tls(8443) + &plain(8080), "", AcmeChallenge::Http01),
            (tls(8443), "", AcmeChallenge::TlsAlpn01),
            (tls(443) + &plain(80), "challenge: http-01", AcmeChallenge::Http01),
        ] {
            let config = config(&listeners, acme);
            let acme = config.acme.as_ref().unwrap();
            assert_eq!(way(&config, acme, "a.example"), expected, "{listeners}");
        }
    }

    #[test]
    fn trouble_is_answered_with_patience_and_more_of_it_where_we_are_refused() {
        let chance = RandomState::new();
        let wait = |trouble: &Trouble, failures: u32| {
            let mut record = Record { failures, not_before: None };
            record.fail("a.example", trouble, &chance).as_secs()
        };
        let unreachable = Trouble::Unreachable("x".into());
        let refused = Trouble::Refused("x".into());
        assert!((4..=6).contains(&wait(&unreachable, 0)));
        assert!((8..=12).contains(&wait(&unreachable, 1)));
        assert!((2880..=4320).contains(&wait(&unreachable, 1000)));
        assert!((96..=144).contains(&wait(&refused, 0)));
        assert!(wait(&refused, 1000) <= 52_000);
    }
}
