//! Key material in the actor's hands: read for a draft, or because a file changed. Owns when other
//! material comes into force; what it is made of is `certs`' business.

use std::path::PathBuf;
use std::sync::Arc;

use evenkeel_config::Config;
use evenkeel_runtime as runtime;

use super::{Actor, Order};
use crate::certs::{self, Challenges, Keyring, Occasion, Problem};
use crate::control::wanted::File;
use crate::control::{Refused, watch};

/// The files that are watched, and what was said about them.
#[derive(Default)]
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    task: Option<tokio::task::JoinHandle<()>>,
    told: Vec<Problem>,
}

impl Watched {
    /// Watches no more.
    pub(super) fn end(&mut self) {
        self.files.clear();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Actor {
    /// What a draft needs; what is doubtful about it goes to the order's warnings.
    pub(super) async fn keys(
        &self,
        config: &Config,
        file: &File,
        order: &mut Order<'_>,
    ) -> Result<Keyring, Refused> {
        let (keyring, problems) = self.read_keys(config, order.keys).await;
        let (errors, doubts): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| certs::prevents(problem, order.keys));
        order.warnings.extend(doubts.iter().map(ToString::to_string));
        match errors.is_empty() {
            true => Ok(keyring),
            false => Err(Refused::Invalid(certs::report(&errors, &file.places, &file.sources))),
        }
    }

    /// Takes over files that changed, each listener and pool by itself: what is wrong with one is no
    /// reason to keep the others from theirs.
    pub(super) async fn renew_keys(&mut self) {
        let config = self.plane.config.clone();
        let (keyring, problems) = self.read_keys(&config, Occasion::Notice).await;
        for problem in problems.iter().filter(|problem| !self.keys.told.contains(problem)) {
            let owner = problem.owner.as_str();
            match certs::prevents(problem, Occasion::Notice) {
                true => {
                    tracing::error!(owner, "not taken over, what was in force stays: {problem}");
                }
                false => tracing::warn!(owner, "{problem}"),
            }
        }
        self.keys.told = problems;
        if !keyring.is_same(&self.plane.keyring) {
            let is_same = keyring.documents.is_same(&self.plane.keyring.documents);
            self.plane.rekey(keyring).await;
            let what = match is_same {
                true => "certificates or keys",
                false => "documents",
            };
            tracing::info!("{what} changed and are in force");
            self.show(|_| {});
        }
    }

    /// Answers an authority this, and nothing else.
    pub(super) async fn answer(&mut self, challenges: Challenges) {
        let keyring = self.plane.keyring.answering(challenges);
        let config = self.plane.config.clone();
        let renew = move || keyring.renewed(&config, Occasion::Change, runtime::wall_clock());
        let Ok((keyring, _)) = tokio::task::spawn_blocking(renew).await else { return };
        self.plane.rekey(keyring).await;
        self.plane.await_adoption().await;
        self.show(|_| {});
    }

    /// Serves with a document that was fetched.
    pub(super) async fn fetched(&mut self, place: String, bytes: Arc<[u8]>) {
        if self.plane.keyring.documents.document(&place) == Some(&bytes) {
            return;
        }
        tracing::info!(document = %place, "fetched and in force");
        self.plane.rekey(self.plane.keyring.informed(vec![(place, bytes)])).await;
        self.show(|_| {});
    }

    /// Watches the files that key material is made of.
    pub(super) fn follow_keys(&mut self) {
        let files = Keyring::files(&self.plane.config);
        if files == self.keys.files {
            return;
        }
        self.keys.end();
        if !files.is_empty() {
            let task = watch::watch_keys(files.clone(), self.handle.clone());
            self.keys.task = Some(tokio::task::spawn_local(task));
            self.keys.files = files;
        }
    }

    async fn read_keys(&self, config: &Config, occasion: Occasion) -> (Keyring, Vec<Problem>) {
        let (config, keyring) = (config.clone(), self.plane.keyring.clone());
        let read = move || keyring.renewed(&config, occasion, runtime::wall_clock());
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| (self.plane.keyring.clone(), Vec::new())) // the process ends
    }
}
