//! What is wanted, with its history: the file's texts, what was changed at runtime, what discovery
//! found. Pure: every change makes a draft, which is taken over or forgotten whole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use evenkeel_config::model::Server;
use evenkeel_config::{Config, Places, Report, Source};

use super::Refused;
use super::intent::{self, CommandLine, Inert, Inputs, Intent, Seen};
use super::op::Op;
use super::overlay::{Ground, Objection, Overlay};

/// Texts, and what they say.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) sources: Arc<[Source]>,
    pub(crate) config: Arc<Config>,
    /// Where it names files.
    pub(crate) places: Arc<Places>,
}

impl File {
    /// Reads texts; all mistakes, or what they say and what is doubtful about it.
    pub(crate) fn read(sources: Vec<Source>) -> Result<(Self, Report), Report> {
        let loaded = intent::load(&sources)?;
        let file = Self {
            sources: sources.into(),
            config: Arc::new(loaded.config),
            places: Arc::new(loaded.places),
        };
        Ok((file, loaded.warnings))
    }

    /// Whether these are its texts.
    pub(crate) fn is(&self, sources: &[Source]) -> bool {
        let pairs = self.sources.iter().zip(sources);
        self.sources.len() == sources.len()
            && pairs.into_iter().all(|(a, b)| a.name == b.name && a.text == b.text)
    }
}

/// A version that was in force.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) at: SystemTime,
    pub(crate) author: String,
    /// What it changed.
    pub(crate) changes: Vec<String>,
    /// The texts alone: what they say takes many times the memory, and is read again on the way back.
    pub(crate) sources: Arc<[Source]>,
    pub(crate) overlay: Overlay,
}

/// See the module's head.
pub(crate) struct Wanted {
    pub(crate) version: u64,
    pub(crate) file: File,
    pub(crate) overlay: Overlay,
    pub(crate) discovered: BTreeMap<String, Vec<Server>>,
    pub(crate) command_line: CommandLine,
    pub(crate) inert: Vec<Inert>,
    /// The latest last.
    pub(crate) history: VecDeque<Entry>,
    seen: Seen,
}

/// What would be wanted.
pub(crate) struct Draft {
    pub(crate) file: File,
    pub(crate) overlay: Overlay,
    pub(crate) intent: Intent,
}

impl Wanted {
    /// At the start.
    pub(crate) fn new(
        file: File,
        overlay: Overlay,
        version: u64,
        command_line: CommandLine,
    ) -> (Self, Config) {
        let mut wanted = Self {
            version,
            file,
            overlay,
            discovered: BTreeMap::new(),
            command_line,
            inert: Vec::new(),
            history: VecDeque::new(),
            seen: Seen::default(),
        };
        let draft = wanted.draft(wanted.file.clone(), wanted.overlay.clone());
        wanted.inert = draft.intent.inert;
        (wanted, draft.intent.config)
    }

    /// What it comes to with what discovery found before the start.
    pub(crate) fn with_first(&mut self, found: Vec<(String, Vec<Server>)>) -> Config {
        self.discovered.extend(found);
        let draft = self.draft(self.file.clone(), self.overlay.clone());
        self.inert = draft.intent.inert;
        draft.intent.config
    }

    /// What another file and other changes would come to.
    pub(crate) fn draft(&mut self, file: File, overlay: Overlay) -> Draft {
        let intent = intent::intend(
            Inputs {
                sources: &file.sources,
                file: &file.config,
                overlay: &overlay,
                discovered: &self.discovered,
                command_line: &self.command_line,
            },
            &mut self.seen,
        );
        Draft { file, overlay, intent }
    }

    /// What these changes would come to; all of them, or why none.
    pub(crate) fn changed(&mut self, ops: &[Op]) -> Result<Draft, Refused> {
        let mut overlay = self.overlay.clone();
        let ground = Ground { file: &self.file.config, discovered: &self.discovered };
        for (at, op) in ops.iter().enumerate() {
            let nth = |why: String| match ops.len() {
                1 => why,
                _ => format!("change {}: {why}", at + 1),
            };
            overlay.apply(op, ground).map_err(|objection| match objection {
                Objection::NotFound(why) => Refused::NotFound(nth(why)),
                Objection::Impossible(why) => Refused::Impossible(nth(why)),
                Objection::Invalid(report) => Refused::Invalid(report),
            })?;
        }
        let draft = self.draft(self.file.clone(), overlay);
        // What did not fit before is no reason to refuse; what does not fit now is.
        let before: Vec<&String> = self.inert.iter().map(|inert| &inert.what).collect();
        let new = draft.intent.inert.iter().find(|inert| !before.contains(&&inert.what));
        match new {
            Some(inert) => Err(Refused::Impossible(format!("{}: {}", inert.what, inert.why))),
            None => Ok(draft),
        }
    }

    /// What going back would come to.
    pub(crate) fn rolled_back(&mut self, to: u64) -> Result<Draft, Refused> {
        let entry = self.history.iter().find(|entry| entry.version == to).cloned();
        let entry = entry.ok_or_else(|| {
            let first = self.history.front().map_or(self.version, |entry| entry.version);
            Refused::NotFound(format!("version {to} is not kept; the oldest is {first}"))
        })?;
        // Registrations are facts about who is there, not settings.
        let overlay = Overlay { leases: self.overlay.leases.clone(), ..entry.overlay };
        let file = match self.file.is(&entry.sources) {
            true => self.file.clone(),
            // It may refer to the environment, which is read anew.
            false => File::read(entry.sources.to_vec()).map_err(Refused::Invalid)?.0,
        };
        Ok(self.draft(file, overlay))
    }

    /// Takes a draft over as the next version.
    pub(crate) fn accept(
        &mut self,
        draft: Draft,
        author: &str,
        changes: Vec<String>,
        at: SystemTime,
    ) {
        self.version += 1;
        self.file = draft.file;
        self.overlay = draft.overlay;
        self.inert = draft.intent.inert;
        self.note(author, changes, at);
    }

    /// Enters the present version into the history.
    pub(crate) fn note(&mut self, author: &str, changes: Vec<String>, at: SystemTime) {
        self.history.push_back(Entry {
            version: self.version,
            at,
            author: author.to_owned(),
            changes,
            sources: self.file.sources.clone(),
            overlay: self.overlay.clone(),
        });
        // The present one, and those before it that can be gone back to.
        let most = self.file.config.admin.history as usize + 1;
        while self.history.len() > most {
            self.history.pop_front();
        }
    }
}
