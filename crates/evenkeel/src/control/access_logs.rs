//! The writers of all access logs: one for each place that a policy names, however many policies
//! name it. What is in a line is decided on the data plane.

use evenkeel_config::Config;
use evenkeel_config::model::{LogTarget, PolicyKind};
use evenkeel_proxy::access_log::LogSinks;

use crate::failure::{Exit, Failure};
use crate::log::writer::{Place, Writer};

/// See the module's head.
pub(crate) struct AccessLogs(Vec<(LogTarget, Writer)>);

impl AccessLogs {
    /// Opens every place, or says which cannot be opened.
    pub(crate) fn start(config: &Config) -> Result<Self, Failure> {
        let mut logs: Vec<(LogTarget, Writer)> = Vec::new();
        for policy in &config.policies {
            let PolicyKind::AccessLog(settings) = &policy.kind else { continue };
            if logs.iter().any(|(target, _)| *target == settings.to) {
                continue;
            }
            let place = place(&settings.to);
            let writer = Writer::start(place.clone(), |complaint| tracing::error!("{complaint}"))
                .map_err(|e| {
                let name = &policy.name;
                let message = format!("access log `{name}`: cannot open {place}: {e}");
                Failure::new(Exit::Runtime, message)
            })?;
            logs.push((settings.to.clone(), writer));
        }
        Ok(Self(logs))
    }

    /// Where a worker's lines go.
    pub(crate) fn sinks(&self) -> LogSinks {
        LogSinks(self.0.iter().map(|(to, writer)| (to.clone(), writer.sender())).collect())
    }

    /// Opens files again, under their old names.
    pub(crate) fn reopen(&self) {
        self.0.iter().for_each(|(_, writer)| writer.reopen());
    }

    /// Writes what waits.
    pub(crate) fn finish(self) {
        self.0.into_iter().for_each(|(_, writer)| writer.finish());
    }
}

fn place(target: &LogTarget) -> Place {
    match target {
        LogTarget::Stdout => Place::Stdout,
        LogTarget::Stderr => Place::Stderr,
        LogTarget::File(path) => Place::File(path.into()),
    }
}
