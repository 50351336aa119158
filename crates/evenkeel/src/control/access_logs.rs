//! The writers of all access logs: one for each place that a policy names, however many policies
//! name it. What is in a line is decided on the data plane.

use std::time::Instant;

use evenkeel_config::Config;
use evenkeel_config::model::{LogTarget, PolicyKind};
use evenkeel_proxy::access_log::LogSinks;

use crate::failure::{Exit, Failure};
use crate::log::writer::{Place, Writer};

/// See the module's head.
#[derive(Default)]
pub(crate) struct AccessLogs(Vec<Log>);

struct Log {
    target: LogTarget,
    writer: Writer,
    /// No policy names it any more: exchanges that began before may still write, until then.
    until: Option<Instant>,
}

/// Places that a configuration names and that were not open; they are now.
pub(crate) struct NewLogs {
    opened: Vec<(LogTarget, Writer)>,
    wanted: Vec<LogTarget>,
}

impl AccessLogs {
    /// Opens every place that is not open, or says which cannot be opened.
    pub(crate) fn prepare(&self, config: &Config) -> Result<NewLogs, Failure> {
        let mut new = NewLogs { opened: Vec::new(), wanted: Vec::new() };
        for policy in &config.policies {
            let PolicyKind::AccessLog(settings) = &policy.kind else { continue };
            if new.wanted.contains(&settings.to) {
                continue;
            }
            new.wanted.push(settings.to.clone());
            if self.0.iter().any(|log| log.target == settings.to) {
                continue;
            }
            let place = place(&settings.to);
            let writer = Writer::start(place.clone(), |complaint| tracing::error!("{complaint}"))
                .map_err(|e| {
                let name = &policy.name;
                let message = format!("access log `{name}`: cannot open {place}: {e}");
                Failure::new(Exit::Runtime, message)
            })?;
            new.opened.push((settings.to.clone(), writer));
        }
        Ok(new)
    }

    /// Takes what was prepared; closes what nobody can write to any more, and lets what is named no
    /// more be written to until `until`.
    pub(crate) fn commit(&mut self, new: NewLogs, now: Instant, until: Instant) {
        let (over, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|log| log.until.is_some_and(|until| until <= now));
        self.0 = kept;
        for Log { writer, .. } in over {
            writer.close();
        }
        for log in &mut self.0 {
            log.until = match new.wanted.contains(&log.target) {
                true => None,
                false => log.until.or(Some(until)),
            };
        }
        let opened = new.opened.into_iter();
        self.0.extend(opened.map(|(target, writer)| Log { target, writer, until: None }));
    }

    /// Where a worker's lines go.
    pub(crate) fn sinks(&self) -> LogSinks {
        LogSinks(self.0.iter().map(|log| (log.target.clone(), log.writer.sender())).collect())
    }

    /// Opens files again, under their old names.
    pub(crate) fn reopen(&self) {
        self.0.iter().for_each(|log| log.writer.reopen());
    }

    /// Writes what waits.
    pub(crate) fn finish(self) {
        self.0.into_iter().for_each(|log| log.writer.finish());
    }
}

fn place(target: &LogTarget) -> Place {
    match target {
        LogTarget::Stdout => Place::Stdout,
        LogTarget::Stderr => Place::Stderr,
        LogTarget::File(path) => Place::File(path.into()),
    }
}
