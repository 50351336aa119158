//! `security_fields`: the same edits of every answer, made once.

use evenkeel_config::model::{Frame, SecurityFields};

use super::fields::{Edits, Fields};

pub(super) fn compile(settings: &SecurityFields) -> Fields {
    let mut edits = Edits::default();
    settings.remove.iter().for_each(|name| edits.remove(name.as_bytes()));
    let mut say = |name: &[u8], value: &str, only_secure: bool| {
        if value.is_empty() {
            return;
        }
        if settings.replace {
            edits.remove(name);
        }
        edits.set_unless_there(name, value.as_bytes(), only_secure);
    };
    if !settings.hsts.is_zero() {
        let value = format!("max-age={}", settings.hsts.as_secs());
        say(b"strict-transport-security", &value, true); // RFC 6797 §7.2
    }
    say(b"x-content-type-options", if settings.nosniff { "nosniff" } else { "" }, false);
    let frame = match settings.frame {
        Frame::Deny => "DENY",
        Frame::SameOrigin => "SAMEORIGIN",
        Frame::Off => "",
    };
    say(b"x-frame-options", frame, false);
    say(b"referrer-policy", &settings.referrer, false);
    say(b"permissions-policy", &settings.permissions, false);
    say(b"content-security-policy", &settings.csp, false);
    Fields { request: Edits::default(), response: edits }
}
