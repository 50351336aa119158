//! `jwt`: lets in who has a token that is good (RFC 7519, RFC 8725). Owns where it is looked for, what is
//! remembered of good ones, what servers and routes are told, and when keys are fetched anew.

mod claims;
mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use evenkeel_config::model::{self, KeySource, TokenKeys};
use evenkeel_runtime as runtime;
use quick_cache::sync::Cache;

use self::claims::Rules;
pub(super) use self::keys::check;
use self::keys::{Keys, Refused};
use super::api_key::value_at;
use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::route::claim;
use crate::services::Services;
use crate::snapshot::Resolved;

/// Claims, as a token has them.
pub(crate) type Claims = serde_json::Map<String, serde_json::Value>;

/// Tokens that are remembered, and the longest of them: not more than 160 MB in all.
const REMEMBERED_MAX: usize = 10_000;
const REMEMBERED_LENGTH_MAX: usize = 4096;
/// Longest token looked at.
const TOKEN_MAX: usize = 16 * 1024;
/// Keys are asked for anew so often at most, because of a token that names one that is not known.
const REFRESH_AFTER: Duration = Duration::from_secs(10);
/// So long after that, requests with such tokens wait for them, at most so long.
const REFRESH_MAX: Duration = Duration::from_secs(2);
/// How often they look.
const REFRESH_LOOK: Duration = Duration::from_millis(20);

/// See the module's head.
pub(super) struct Jwt {
    settings: model::Jwt,
    rules: Rules,
    /// None as long as they have not been fetched.
    keys: Option<Keys>,
    /// What they were made of.
    document: Option<Arc<[u8]>>,
    /// Good tokens by their SHA-256; their times are looked at again.
    remembered: Cache<[u8; 32], Arc<Claims>>,
    services: Services,
    begun: Instant,
    /// When keys were last asked for, in milliseconds since `begun`, plus one; 0 is never.
    asked: AtomicU64,
}

impl Jwt {
    pub(super) fn compile(settings: &model::Jwt, resolved: &Resolved) -> Self {
        let document = match &settings.keys {
            TokenKeys::Set(place) | TokenKeys::Public(place, _) => resolved.documents.get(place),
            TokenKeys::Shared(..) => None,
        };
        let none = Arc::from([]);
        let bytes = match &settings.keys {
            TokenKeys::Shared(..) => Some(&none),
            _ => document,
        };
        // What cannot be read was a diagnostic before.
        let keys = bytes.and_then(|bytes| Keys::read(&settings.keys, bytes).ok());
        Self {
            rules: Rules::new(settings),
            settings: settings.clone(),
            keys,
            document: document.cloned(),
            remembered: Cache::new(REMEMBERED_MAX),
            services: resolved.services.clone(),
            begun: runtime::now(),
            asked: AtomicU64::new(0),
        }
    }

    /// The token of a request. `Err`: there is something, but it cannot be one.
    fn token(&self, exchange: &Exchange<'_>) -> Result<Option<Vec<u8>>, ()> {
        let KeySource::Header(name) = &self.settings.from else {
            return Ok(value_at(&self.settings.from, exchange));
        };
        let mut lines = exchange.head.named(exchange.buffer.all(), name.as_bytes());
        let Some(line) = lines.next() else { return Ok(None) };
        // Of two, nobody can say which one servers would believe.
        if lines.next().is_some() || line.len() > TOKEN_MAX {
            return Err(());
        }
        let bearer = line.split_at_checked(7).filter(|(b, _)| b.eq_ignore_ascii_case(b"bearer "));
        match bearer {
            Some((_, token)) => Ok(Some(token.trim_ascii().to_vec())),
            None if name == "authorization" => Err(()),
            None => Ok(Some(line.to_vec())),
        }
    }

    /// Refuses as RFC 6750 §3 has it.
    fn refuse(exchange: &mut Exchange<'_>, is_bad: bool) -> Verdict<'static> {
        let challenge: &[u8] = if is_bad { b"Bearer error=\"invalid_token\"" } else { b"Bearer" };
        exchange.changes().response.set(b"www-authenticate", challenge);
        Verdict::Refuse(Failure::new(Reason::NoCredentials))
    }

    /// The claims of a good token.
    fn verify(&self, keys: &Keys, token: &[u8]) -> Result<Arc<Claims>, Refused> {
        let claims = keys.verify(token)?;
        self.rules.hold(&claims, runtime::wall_clock()).map_err(|()| Refused::Bad)?;
        Ok(Arc::new(claims))
    }

    fn let_in(&self, exchange: &mut Exchange<'_>, claims: Arc<Claims>) -> Verdict<'static> {
        let changes = exchange.changes();
        for (name, field) in &self.settings.claims {
            if let Some(value) = claim::find(&claims, name).and_then(claims::told) {
                changes.request.add(field.as_bytes(), value.as_bytes());
            }
        }
        changes.claims = Some(claims);
        if let (KeySource::Header(name), false) = (&self.settings.from, self.settings.pass) {
            changes.request.remove(name.as_bytes());
        }
        Verdict::Pass
    }

    /// Whether keys are on their way: asked for now, or a moment ago.
    fn refreshes(&self) -> bool {
        let TokenKeys::Set(place) = &self.settings.keys else { return false };
        let now = runtime::now().saturating_duration_since(self.begun);
        let stamp = (now.as_millis() as u64).saturating_add(1);
        let last = self.asked.load(Relaxed);
        let since = Duration::from_millis(stamp.saturating_sub(last));
        if last != 0 && since < REFRESH_AFTER {
            return since < REFRESH_MAX;
        }
        if self.asked.compare_exchange(last, stamp, Relaxed, Relaxed).is_err() {
            return true; // another worker was faster
        }
        let asked = self.services.documents.as_ref();
        asked.is_some_and(|documents| documents.try_send(place.clone()).is_ok())
    }

    /// Waits for other keys and looks once more.
    async fn wait(&self, exchange: &mut Exchange<'_>, token: Vec<u8>) -> Verdict<'static> {
        let TokenKeys::Set(place) = &self.settings.keys else {
            return Self::refuse(exchange, true);
        };
        let until = runtime::now() + REFRESH_MAX;
        while runtime::now() < until {
            runtime::sleep(REFRESH_LOOK).await;
            let generation = exchange.connection.worker.generation();
            let Some(document) = generation.snapshot.document(place) else { continue };
            if self.document.as_ref() == Some(document) {
                continue;
            }
            let keys = Keys::read(&self.settings.keys, document);
            return match keys.ok().and_then(|keys| self.verify(&keys, &token).ok()) {
                Some(claims) => self.let_in(exchange, claims),
                None => Self::refuse(exchange, true),
            };
        }
        match self.keys {
            Some(_) => Self::refuse(exchange, true),
            None => Verdict::Refuse(Failure::new(Reason::AuthUnavailable)),
        }
    }
}

impl Policy for Jwt {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        if let Some(old) = (old as &dyn std::any::Any).downcast_ref::<Self>() {
            self.begun = old.begun;
            self.asked = AtomicU64::new(old.asked.load(Relaxed));
        }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        for (_, field) in &self.settings.claims {
            exchange.changes().request.claim(field.as_bytes());
        }
        let token = match self.token(exchange) {
            Ok(Some(token)) => token,
            Ok(None) if !self.settings.required => return Verdict::Pass,
            Ok(None) => return Self::refuse(exchange, false),
            Err(()) => return Self::refuse(exchange, true),
        };
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, &token).as_ref().get(..32).unwrap_or(&[0; 32]));
        if let Some(claims) = self.remembered.get(&key) {
            return match self.rules.hold(&claims, runtime::wall_clock()) {
                Ok(()) => self.let_in(exchange, claims),
                Err(()) => Self::refuse(exchange, true),
            };
        }
        let verified = match &self.keys {
            Some(keys) => self.verify(keys, &token),
            None => Err(Refused::UnknownKey),
        };
        match verified {
            Ok(claims) => {
                if token.len() <= REMEMBERED_LENGTH_MAX {
                    self.remembered.insert(key, claims.clone());
                }
                self.let_in(exchange, claims)
            }
            Err(Refused::UnknownKey) if self.refreshes() => {
                Verdict::Later(Box::pin(self.wait(exchange, token)))
            }
            Err(_) if self.keys.is_none() => Verdict::Refuse(Failure::new(Reason::AuthUnavailable)),
            Err(_) => Self::refuse(exchange, true),
        }
    }
}
