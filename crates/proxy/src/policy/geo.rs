//! `geo`: where clients are, by a database of networks, and who comes in by that.

use std::sync::Arc;

use evenkeel_config::model;
use maxminddb::{PathElement, Reader};

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::snapshot::Resolved;

/// See the module's head.
pub(super) struct Geo {
    database: Option<Reader<Arc<[u8]>>>,
    country_field: Option<Box<[u8]>>,
    allow: Vec<[u8; 2]>,
    deny: Vec<[u8; 2]>,
    unknown: bool,
}

/// Whether a document is a database that has countries.
///
/// # Errors
/// Why it is not.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let reader = Reader::from_source(bytes);
    reader.map(drop).map_err(|error| format!("this is no MaxMind database: {error}"))
}

impl Geo {
    pub(super) fn compile(settings: &model::Geo, resolved: &Resolved) -> Self {
        let bytes = resolved.documents.get(&settings.file).cloned();
        let codes = |texts: &[String]| texts.iter().filter_map(|text| code(text)).collect();
        Self {
            // What cannot be read was a diagnostic before.
            database: bytes.and_then(|bytes| Reader::from_source(bytes).ok()),
            country_field: settings.country_field.as_ref().map(|name| name.as_bytes().into()),
            allow: codes(&settings.allow),
            deny: codes(&settings.deny),
            unknown: settings.unknown,
        }
    }

    fn country(&self, exchange: &Exchange<'_>) -> Option<[u8; 2]> {
        let found = self.database.as_ref()?.lookup(exchange.client).ok()?;
        let way = [PathElement::Key("country"), PathElement::Key("iso_code")];
        code(found.decode_path::<&str>(&way).ok()??)
    }

    fn may(&self, country: Option<[u8; 2]>) -> bool {
        match country {
            None => self.unknown,
            Some(country) => {
                let is_allowed = self.allow.is_empty() || self.allow.contains(&country);
                is_allowed && !self.deny.contains(&country)
            }
        }
    }
}

fn code(text: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = text.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_uppercase).then_some(code)
}

impl Policy for Geo {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        let country = self.country(exchange);
        let changes = exchange.changes();
        changes.country = country;
        if let Some(field) = &self.country_field {
            changes.request.claim(field);
            if let Some(country) = country {
                changes.request.add(field, &country);
            }
        }
        match self.may(country) {
            true => Verdict::Pass,
            false => Verdict::Refuse(Failure::new(Reason::CountryDenied)),
        }
    }
}
