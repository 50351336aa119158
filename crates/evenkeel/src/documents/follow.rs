//! Keeps documents of the network fresh: fetches those that are new, that have become old, or that a
//! worker wants anew since something is signed by a key that it does not know. Owns when; one that
//! cannot be had stays what it was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::model::Document;
use evenkeel_runtime::{self as runtime, mailbox};
use tokio::task::JoinSet;

use super::fetch::{self, Fetched};
use super::remote;
use crate::control::Handle;

/// After a failure: at first, and at most.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// A document that is wanted anew is fetched so often at most.
const WANTED_AFTER: Duration = Duration::from_secs(10);

/// One document.
struct State {
    document: Document,
    due: Instant,
    begun: Option<Instant>,
    is_fetching: bool,
    failures: u32,
}

/// Follows what is in force until the process ends. `wanted` are places that are to be fetched anew.
pub(crate) async fn follow(handle: Handle, mut wanted: mailbox::Receiver<String>) {
    let mut stand = handle.follow();
    let mut states: HashMap<String, State> = HashMap::new();
    let mut fetches = JoinSet::new();
    let mut is_open = true;
    loop {
        let (config, snapshot) = {
            let now = stand.borrow_and_update();
            (now.config.clone(), now.publication.snapshot.clone())
        };
        let documents = remote(&config);
        states.retain(|place, _| documents.iter().any(|document| document.place == *place));
        for document in documents {
            let now = runtime::now();
            // One that came at the start is looked at soon, since how long it is fresh is forgotten.
            let due = now + snapshot.document(&document.place).map_or(Duration::ZERO, |_| AGAIN);
            let place = document.place.clone();
            let fresh = State { document, due, begun: None, is_fetching: false, failures: 0 };
            states.entry(place).or_insert(fresh);
        }
        drop((config, snapshot));
        for state in states.values_mut() {
            if !state.is_fetching && state.due <= runtime::now() {
                (state.is_fetching, state.begun) = (true, Some(runtime::now()));
                let document = state.document.clone();
                fetches.spawn(async move { (fetch::fetch(&document).await, document.place) });
            }
        }
        let idle = states.values().filter(|state| !state.is_fetching);
        let next = idle.map(|state| state.due).min();
        let next = next.unwrap_or_else(|| runtime::now() + AGAIN_MAX);
        tokio::select! {
            changed = stand.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(next.into()) => {}
            place = wanted.recv(), if is_open => match place {
                None => is_open = false,
                Some(place) => if let Some(state) = states.get_mut(&place) { hurry(state) },
            },
            Some(Ok((fetched, place))) = fetches.join_next(), if !fetches.is_empty() => {
                if let Some(state) = states.get_mut(&place) {
                    settle(state, fetched, &handle).await;
                }
            }
        }
    }
}

fn hurry(state: &mut State) {
    let now = runtime::now();
    let is_recent = state.begun.is_some_and(|begun| now < begun + WANTED_AFTER);
    if !is_recent {
        state.due = now;
    }
}

async fn settle(state: &mut State, fetched: Result<Fetched, String>, handle: &Handle) {
    let now = runtime::now();
    let place = &state.document.place;
    state.is_fetching = false;
    match fetched {
        Ok(Fetched { bytes, fresh }) => {
            if state.failures > 0 {
                tracing::info!(document = %place, "fetched again");
            }
            (state.failures, state.due) = (0, now + fresh);
            handle.fetched(place, Arc::clone(&bytes)).await;
        }
        Err(why) => {
            let again = AGAIN.saturating_mul(1 << state.failures.min(6)).min(AGAIN_MAX);
            (state.failures, state.due) = (state.failures.saturating_add(1), now + again);
            tracing::warn!(document = %place, again_in = ?again, "not fetched, what was known of it stays: {why}");
        }
    }
}
