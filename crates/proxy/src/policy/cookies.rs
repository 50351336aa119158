//! `cookies`: attributes of the cookies that servers set.

use evenkeel_codec::set_cookie::{self, Changes, Path};
use evenkeel_config::model::{self, CookiePath, SameSite};

use super::{Answered, Passing, Policy, Steps};
use crate::http::exchange::Exchange;

const NAME: &[u8] = b"set-cookie";

pub(super) struct Cookies(pub(super) model::Cookies);

impl Cookies {
    fn changes(&self) -> Changes<'_> {
        let settings = &self.0;
        // Browsers take these only if they are secure.
        let is_secure =
            settings.same_site == Some(SameSite::None) || settings.partitioned == Some(true);
        Changes {
            domain: settings.domain.as_ref().map(|domain| domain.as_bytes()),
            path: settings.path.as_ref().map(|path| match path {
                CookiePath::Set(path) => Path::Set(path.as_bytes()),
                CookiePath::Replace { from, to } => Path::Replace(from.as_bytes(), to.as_bytes()),
            }),
            secure: if is_secure { Some(true) } else { settings.secure },
            http_only: settings.http_only,
            same_site: settings.same_site.map(|same_site| match same_site {
                SameSite::Strict => &b"Strict"[..],
                SameSite::Lax => b"Lax",
                SameSite::None => b"None",
            }),
            partitioned: settings.partitioned,
        }
    }

    fn is_meant(&self, value: &[u8]) -> bool {
        let name = set_cookie::name(value);
        self.0.names.is_empty() || self.0.names.iter().any(|meant| meant.as_bytes() == name)
    }
}

impl Policy for Cookies {
    fn steps(&self) -> Steps {
        Steps { respond: true, ..Steps::default() }
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        if answer.head.is_none() || answer.value(NAME).is_none() {
            return Passing::AsIs;
        }
        let changes = self.changes();
        let edits = &mut exchange.changes().response;
        // One that went before has written them anew.
        let values = match edits.hides(NAME) {
            true => edits.take(NAME),
            false => answer.values(NAME).map(<[u8]>::to_vec).collect(),
        };
        edits.hide(NAME);
        let mut changed = Vec::with_capacity(128);
        for value in values {
            if self.is_meant(&value) {
                changed.clear();
                set_cookie::write(&mut changed, &value, &changes);
                edits.add(NAME, &changed);
            } else {
                edits.add(NAME, &value);
            }
        }
        Passing::AsIs
    }
}
