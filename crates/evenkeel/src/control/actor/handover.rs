//! How the actor lets a new process take over: what is changed meanwhile would be lost, so it is
//! refused. Owns no part of the conversation with the new process.

use evenkeel_runtime as runtime;
use serde_json::Value;

use super::{Actor, Answer};
use crate::control::Message;
use crate::control::carried::{self, Carried};
use crate::control::past::Past;
use crate::upgrade::{self, Order, Upgraded};

impl Actor {
    /// Hands over to a new process, if nothing speaks against it.
    pub(super) fn upgrade(&mut self, order: Order, reply: Option<Answer>) {
        let (events, handle) = (self.events.clone(), self.handle.clone());
        let done = move |result: Result<Upgraded, upgrade::Refused>| {
            let upgraded = result.clone().ok();
            handle.tell_surely(Message::UpgradeOver(result)); // told before the end begins
            if let Some(upgraded) = upgraded {
                events.handed_over(upgraded);
            }
        };
        let servers = carried::known(&self.plane.publication, runtime::now());
        let tickets = self.plane.keyring.own_tickets();
        let past = Past::of(&self.wanted.history);
        let carried = Carried { kept: self.kept(), servers, past, tickets };
        let carried = serde_json::to_value(carried).unwrap_or(Value::Null);
        let begun = match &self.held {
            Some(why) => Err(upgrade::Refused::at_start(why.clone())),
            None => self.upgrading.begin(order, &self.plane.sockets, carried, done),
        };
        match begun {
            // What is changed now would be lost.
            Ok(()) => {
                self.held = Some("an upgrade is under way".into());
                self.upgrade_reply = reply;
            }
            Err(refused) => {
                tracing::warn!("upgrade refused: {refused}");
                if let Some(reply) = reply {
                    let _ = reply.send(Err(refused));
                }
            }
        }
    }

    pub(super) fn upgraded(&mut self, result: Result<Upgraded, upgrade::Refused>) {
        self.upgrading.is_over();
        match &result {
            Ok(Upgraded { pid, version }) => {
                tracing::info!(pid, %version, "upgraded: the new process serves");
            }
            Err(refused) => {
                tracing::error!("upgrade failed, nothing has changed: {refused}");
                self.plane.sockets.udp.steer(); // it may have served for a moment
                if !self.stand.borrow().draining {
                    self.held = None;
                }
            }
        }
        if let Some(reply) = self.upgrade_reply.take() {
            let _ = reply.send(result);
        }
    }
}
