//! `external_auth`: another server says whether a request may go on. Owns what it is told, what of its
//! word is passed on, and how long a word holds.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use evenkeel_codec::Known;
use evenkeel_config::model;
use evenkeel_runtime as runtime;
use quick_cache::sync::Cache;

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::http::local_reply::Reply;
use crate::http::subrequest::{self, Answer, Ask};

/// Words that are remembered, and bytes of one: not more than 80 MB of them in all.
const REMEMBERED_MAX: usize = 10_000;
const WORD_MAX: usize = 8 * 1024;
/// Bytes of a no's content that the client gets.
const BODY_MAX: usize = 64 * 1024;

/// See the module's head.
pub(super) struct ExternalAuth {
    settings: model::ExternalAuth,
    remembered: Cache<[u8; 32], (Instant, Word)>,
}

/// A field's name and value.
type Told = (Box<[u8]>, Box<[u8]>);

/// What was said.
#[derive(Clone)]
enum Word {
    /// Yes, and these fields for servers.
    Yes(Arc<[Told]>),
    No(Arc<Reply>),
}

impl Word {
    fn size(&self) -> usize {
        match self {
            Self::Yes(fields) => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Self::No(reply) => reply.fields.len().saturating_add(reply.body.len()),
        }
    }
}

impl ExternalAuth {
    pub(super) fn compile(settings: &model::ExternalAuth) -> Self {
        Self { settings: settings.clone(), remembered: Cache::new(REMEMBERED_MAX) }
    }

    /// What a word holds for; every part with its length, so that none can be taken for another.
    fn key(&self, exchange: &Exchange<'_>) -> [u8; 32] {
        let (head, bytes) = (&exchange.head, exchange.buffer.all());
        let mut context = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        add(head.method_text.of(bytes));
        add(head.host.of(bytes));
        add(exchange.path());
        add(head.target.query.map(|query| query.of(bytes)).unwrap_or_default());
        // It is told of the client, too.
        add(exchange.client.to_string().as_bytes());
        let session = exchange.connection.tls.get();
        for (_, value) in session.into_iter().flat_map(|session| &session.client.lines) {
            add(value.as_bytes());
        }
        for name in &self.settings.remember_by {
            let values: Vec<_> = head.named(bytes, name.as_bytes()).collect();
            add(&(values.len() as u64).to_be_bytes());
            values.into_iter().for_each(&mut add);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref().get(..32).unwrap_or(&[0; 32]));
        key
    }

    fn apply(exchange: &mut Exchange<'_>, word: &Word) -> Verdict<'static> {
        match word {
            Word::Yes(fields) => {
                for (name, value) in &**fields {
                    exchange.changes().request.add(name, value);
                }
                Verdict::Pass
            }
            Word::No(reply) => Verdict::Answer(Box::new(Reply::clone(reply))),
        }
    }

    fn unanswered(&self) -> Verdict<'static> {
        match self.settings.fail_open {
            true => Verdict::Pass,
            false => Verdict::Refuse(Failure::new(Reason::AuthUnavailable)),
        }
    }

    /// What is said of the request, beside the fields that are sent along.
    fn said(exchange: &Exchange<'_>) -> Vec<u8> {
        let (head, bytes) = (&exchange.head, exchange.buffer.all());
        let mut said = Vec::with_capacity(128);
        let query = head.target.query.map(|query| query.of(bytes));
        let (question, query) = match query {
            Some(query) => (&b"?"[..], query),
            None => (&b""[..], &b""[..]),
        };
        for part in [
            b"x-forwarded-method: ",
            head.method_text.of(bytes),
            b"\r\nx-forwarded-uri: ",
            exchange.path(),
            question,
            query,
            b"\r\n",
        ] {
            said.extend_from_slice(part);
        }
        said
    }

    fn word(&self, answer: &Answer) -> Option<Word> {
        let settings = &self.settings;
        match answer.status {
            200..300 => {
                let fields = settings.copy.iter().flat_map(|name| {
                    let values = answer.values(name.as_bytes());
                    values.map(|value| (name.as_bytes().into(), value.into()))
                });
                Some(Word::Yes(fields.collect()))
            }
            300..500 => {
                let mut fields = Vec::new();
                for name in &settings.answer {
                    for value in answer.values(name.as_bytes()) {
                        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                            fields.extend_from_slice(part);
                        }
                    }
                }
                let kind = answer.values(b"content-type").next().unwrap_or_default();
                Some(Word::No(Arc::new(Reply {
                    status: answer.status,
                    content_type: String::from_utf8_lossy(kind).into_owned().into(),
                    fields,
                    body: answer.body.clone(),
                })))
            }
            _ => None,
        }
    }
}

impl Policy for ExternalAuth {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        let settings = &self.settings;
        for name in &settings.copy {
            exchange.changes().request.claim(name.as_bytes());
        }
        let key = (!settings.remember.is_zero()).then(|| self.key(exchange));
        let now = runtime::now();
        if let Some((until, word)) = key.and_then(|key| self.remembered.get(&key))
            && now < until
        {
            return Self::apply(exchange, &word);
        }
        let (head, bytes) = (&exchange.head, exchange.buffer.all());
        let mut fields = Vec::new();
        for name in &settings.send {
            let lines = head.fields.iter().filter(|field| {
                let is_ours = matches!(
                    field.known,
                    Known::Host | Known::ContentLength | Known::TransferEncoding | Known::Expect
                );
                !field.hop_by_hop
                    && !is_ours
                    && field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())
            });
            for line in lines {
                for part in [name.as_bytes(), b": ", line.value.of(bytes), b"\r\n"] {
                    fields.extend_from_slice(part);
                }
            }
        }
        let said = Self::said(exchange);
        let asked = subrequest::ask(
            exchange,
            &Ask {
                pool: settings.pool,
                method: b"GET",
                target: settings.path.as_bytes(),
                host: head.host.of(bytes),
                fields: &fields,
                said: &said,
                body: b"",
                within: settings.timeout,
                body_max: BODY_MAX,
                discards: true,
            },
        );
        Verdict::Later(Box::pin(async move {
            let word = match asked.await {
                Ok(answer) => {
                    // A cookie is for one client, whoever else has sent the same.
                    let is_general = answer.values(b"set-cookie").next().is_none();
                    let is_kept = is_general && matches!(answer.status, 200..300 | 401 | 403);
                    self.word(&answer).map(|word| (is_kept, word))
                }
                Err(failure) => {
                    tracing::debug!(reason = failure.reason.word(), "nobody says who comes in");
                    None
                }
            };
            let Some((is_kept, word)) = word else { return self.unanswered() };
            if let Some(key) = key.filter(|_| is_kept && word.size() <= WORD_MAX) {
                self.remembered.insert(key, (now + self.settings.remember, word.clone()));
            }
            Self::apply(exchange, &word)
        }))
    }
}
