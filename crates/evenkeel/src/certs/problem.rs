//! What is wrong with a file that the configuration names, in the configuration's words: at the place
//! that names it.

use std::path::{Path, PathBuf};

use evenkeel_config::{Diagnostic, Places, Report, Severity, Source};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The file cannot be used.
    Error,
    /// It can, but a client will refuse it, by the clock: no reason not to start with it when it was
    /// in order once, and none to change to it.
    OutOfDate,
    /// It can, but probably is not meant so.
    Warning,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// As in [`Places`]: `listeners.web`.
    pub(crate) owner: String,
    /// As written.
    pub(crate) path: PathBuf,
    pub(crate) weight: Weight,
    /// Stable, for scripts.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

impl Problem {
    pub(crate) fn error(code: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self {
            owner: String::new(),
            path: path.to_path_buf(),
            weight: Weight::Error,
            code,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn warning(code: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(code, path, message) }
    }

    pub(crate) fn out_of_date(path: &Path, message: impl Into<String>) -> Self {
        Self { weight: Weight::OutOfDate, ..Self::error("out-of-date", path, message) }
    }

    pub(crate) fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }

    /// What is only out of date is no more than told of.
    pub(crate) fn tolerate(&mut self) {
        if self.weight == Weight::OutOfDate {
            self.weight = Weight::Warning;
        }
    }

    /// Where it is written in the configuration.
    pub(crate) fn diagnostic(&self, places: &Places) -> Diagnostic {
        let span = places.of(&self.owner, &self.path);
        let mut diagnostic =
            Diagnostic::error(self.code, span.unwrap_or_default(), self.to_string());
        diagnostic.span = span;
        diagnostic.help = self.help.map(str::to_owned);
        if self.weight == Weight::Warning {
            diagnostic.severity = Severity::Warning;
        }
        diagnostic
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

/// All of them, at their places.
pub(crate) fn report(problems: &[Problem], places: &Places, sources: &[Source]) -> Report {
    let diagnostics = problems.iter().map(|problem| problem.diagnostic(places)).collect();
    Report::new(diagnostics, sources)
}
