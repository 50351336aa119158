//! `error_pages` and `maintenance`: what people see when there is no answer, in the form that they like
//! best.

use std::net::IpAddr;

use evenkeel_codec::accept;
use evenkeel_config::model;

use super::template::{self, Place, Said};
use super::{Answered, Passing, Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::http::local_reply::Reply;

/// Fields of a server's answer that mean something without its content.
const KEPT: [&[u8]; 5] =
    [b"www-authenticate", b"proxy-authenticate", b"retry-after", b"allow", b"set-cookie"];

/// One page in several forms.
struct Page {
    /// `type/subtype` of each, and in the same order the whole `Content-Type` and the text.
    kinds: Vec<&'static str>,
    forms: Vec<(&'static str, Place, model::Template)>,
}

impl Page {
    fn compile(page: &model::Page) -> Self {
        let (mut kinds, mut forms) = (Vec::new(), Vec::new());
        for (kind, whole, place, text) in [
            ("text/html", "text/html; charset=utf-8", Place::Html, &page.html),
            ("application/json", "application/json", Place::Json, &page.json),
            ("text/plain", "text/plain; charset=utf-8", Place::Text, &page.text),
        ] {
            if let Some(text) = text {
                kinds.push(kind);
                forms.push((whole, place, text.clone()));
            }
        }
        Self { kinds, forms }
    }

    /// The form that the client likes best; the first if it likes none.
    fn render(&self, exchange: &Exchange<'_>, status: u16) -> Option<Reply> {
        let values = exchange.head.named(exchange.buffer.all(), b"accept");
        let values: Vec<&[u8]> = values.collect();
        let at = accept::choose(values.iter().copied(), &self.kinds).unwrap_or(0);
        let (content_type, place, text) = self.forms.get(at)?;
        let reason = exchange.failure.map_or("", Reason::word);
        let mut body = Vec::with_capacity(512);
        template::write(&mut body, text, exchange, *place, Said { status, reason });
        let fields = if self.forms.len() > 1 { b"vary: accept\r\n".to_vec() } else { Vec::new() };
        Some(Reply { status, content_type: (*content_type).into(), fields, body: body.into() })
    }
}

pub(super) struct ErrorPages {
    /// The narrowest range first.
    pages: Vec<(u16, u16, Page)>,
    servers: bool,
}

impl ErrorPages {
    pub(super) fn compile(settings: &model::ErrorPages) -> Self {
        let page =
            |(first, last, page): &(u16, u16, model::Page)| (*first, *last, Page::compile(page));
        Self { pages: settings.pages.iter().map(page).collect(), servers: settings.servers }
    }
}

impl Policy for ErrorPages {
    fn steps(&self) -> Steps {
        Steps { respond: true, ..Steps::default() }
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        // A call of gRPC reads its status elsewhere.
        if answer.status < 400 || exchange.call.is_some() {
            return Passing::AsIs;
        }
        if answer.head.is_some() && !self.servers {
            return Passing::AsIs;
        }
        let meant =
            |(first, last, _): &&(u16, u16, Page)| (*first..=*last).contains(&answer.status);
        let page = self.pages.iter().find(meant).map(|(_, _, page)| page);
        let Some(mut reply) = page.and_then(|page| page.render(exchange, answer.status)) else {
            return Passing::AsIs;
        };
        if answer.head.is_some() {
            for name in KEPT {
                for value in answer.values(name) {
                    for part in [name, b": ", value, b"\r\n"] {
                        reply.fields.extend_from_slice(part);
                    }
                }
            }
        }
        Passing::Instead(Box::new(reply))
    }
}

pub(super) struct Maintenance {
    settings: model::Maintenance,
    page: Option<Page>,
}

impl Maintenance {
    pub(super) fn compile(settings: &model::Maintenance) -> Self {
        Self { page: settings.page.as_ref().map(Page::compile), settings: settings.clone() }
    }

    fn serves(&self, client: IpAddr) -> bool {
        !self.settings.enabled || self.settings.allow.iter().any(|net| net.contains(&client))
    }
}

impl Policy for Maintenance {
    fn steps(&self) -> Steps {
        let on = self.settings.enabled;
        Steps { admit: on, respond: on && self.page.is_some(), over: false }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if self.serves(exchange.client) {
            return Verdict::Pass;
        }
        let seconds = self.settings.retry_after.as_secs().to_string();
        exchange.changes().response.set(b"retry-after", seconds.as_bytes());
        Verdict::Refuse(Failure::new(Reason::Maintenance))
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        let is_ours = answer.head.is_none() && exchange.failure == Some(Reason::Maintenance);
        let page = self.page.as_ref().filter(|_| is_ours && exchange.call.is_none());
        match page.and_then(|page| page.render(exchange, answer.status)) {
            Some(reply) => Passing::Instead(Box::new(reply)),
            None => Passing::AsIs,
        }
    }
}
