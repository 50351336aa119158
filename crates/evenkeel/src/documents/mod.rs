//! Documents that policies are made of: lists of networks, keys of authorities, password files. Files
//! are read with key material and watched like it; what is on the network is fetched and kept fresh.
//! Owns what is held of them; who may read what is in one says whether it is good.

mod fetch;
mod follow;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::Config;
use evenkeel_config::model::Document;
use evenkeel_proxy::policy::document;

pub(crate) use self::follow::follow;
use crate::certs::{self, Occasion, Problem};

/// How long the start waits for what is fetched.
const FIRST_MAX: Duration = Duration::from_secs(3);

/// Documents in force, by path or URL as configured. A copy shares what it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library(HashMap<String, Arc<[u8]>>);

impl Library {
    /// What `config` needs. A file that cannot be used is a problem, and what was held of it stays.
    /// Reads files: it may take a while.
    pub(crate) fn renewed(
        &self,
        config: &Config,
        occasion: Occasion,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut next = HashMap::new();
        for policy in &config.policies {
            for document in policy.documents() {
                let known = self.0.get(&document.place);
                let is_kept = document.is_remote() || occasion == Occasion::Change;
                if let Some(known) = known.filter(|_| is_kept) {
                    next.insert(document.place, known.clone());
                } else if !document.is_remote() {
                    let read = read(&document, known).or_else(|problem| {
                        problems.push(Problem {
                            owner: format!("policies.{}", policy.name),
                            ..problem
                        });
                        known.cloned().ok_or(())
                    });
                    next.extend(read.ok().map(|bytes| (document.place, bytes)));
                }
            }
        }
        Self(next)
    }

    /// With what was fetched.
    pub(crate) fn with(&self, fetched: Vec<(String, Arc<[u8]>)>) -> Self {
        let mut next = self.clone();
        next.0.extend(fetched);
        next
    }

    /// What is held of a place.
    pub(crate) fn document(&self, place: &str) -> Option<&Arc<[u8]>> {
        self.0.get(place)
    }

    /// For a snapshot.
    pub(crate) fn all(&self) -> HashMap<String, Arc<[u8]>> {
        self.0.clone()
    }

    /// Whether both hold the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The files that it is made of.
    pub(crate) fn files(config: &Config) -> Vec<PathBuf> {
        let documents = config.policies.iter().flat_map(|policy| policy.documents());
        documents.filter(|document| !document.is_remote()).map(|d| d.place.into()).collect()
    }
}

/// The bytes of a file that can be used; the same as before if they are.
fn read(document: &Document, known: Option<&Arc<[u8]>>) -> Result<Arc<[u8]>, Problem> {
    let path = Path::new(&document.place);
    let bytes = certs::read(path)?;
    if let Some(known) = known.filter(|known| ***known == *bytes) {
        return Ok(known.clone());
    }
    match document::check(document.kind, &bytes) {
        Ok(()) => Ok(bytes.into()),
        Err(why) => Err(Problem::error("bad-document", path, why)),
    }
}

/// What is on the network, each once.
fn remote(config: &Config) -> Vec<Document> {
    let documents = config.policies.iter().flat_map(|policy| policy.documents());
    let mut remote: Vec<Document> = documents.filter(Document::is_remote).collect();
    remote.sort_by(|a, b| a.place.cmp(&b.place));
    remote.dedup();
    remote
}

/// Fetches what is on the network, before the first request; what does not come soon is fetched later.
pub(crate) async fn first(config: &Config) -> Vec<(String, Arc<[u8]>)> {
    let mut fetches = tokio::task::JoinSet::new();
    for document in remote(config) {
        fetches.spawn(async move { (fetch::fetch(&document).await, document.place) });
    }
    let mut fetched = Vec::new();
    let all = async {
        while let Some(one) = fetches.join_next().await {
            if let Ok((Ok(good), place)) = one {
                fetched.push((place, good.bytes));
            }
        }
    };
    let _ = tokio::time::timeout(FIRST_MAX, all).await; // the rest comes later
    fetched
}
