//! What an operator wants of a server, told to the workers: they see it at their next choice.

use std::time::Instant;

use evenkeel_balancer::Admin;
use evenkeel_proxy::shared::ServerShared;

use super::overlay::Wish;

/// Nothing happens where that is what holds.
pub(crate) fn set(server: &ServerShared, wish: Option<Wish>, now: Instant) {
    let admin = match wish {
        None => Admin::Enabled,
        Some(Wish::Draining) => Admin::Draining,
        Some(Wish::Disabled) => Admin::Disabled,
    };
    server.standing.set_admin(admin, now);
}

/// Forgets what failures said about it.
pub(crate) fn clear(server: &ServerShared, now: Instant) {
    server.standing.clear(now);
}
