//! Why a command ends without success: the exit code a script relies on, and the text a person
//! reads. Owns the table of exit codes; does not decide when they apply.

use std::process::ExitCode;

/// What went wrong, as a script sees it. The numbers are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed while running.
    Runtime = 1,
    /// The command line is wrong; `clap` uses the same number.
    Usage = 2,
    /// `EX_UNAVAILABLE`: a listener's address cannot be bound, or no process answers.
    Bind = 69,
    /// `EX_NOPERM`: the process lets nobody in without a (better) token.
    Permission = 77,
    /// `EX_CONFIG`: the configuration is missing, unreadable or has mistakes.
    Config = 78,
}

/// The table as `--help` shows it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
   0  ended as asked
   1  failed while running
   2  wrong command line
  69  a listener's address cannot be bound, or no process answers
  77  the running process wants another token
  78  the configuration is missing, unreadable or has mistakes";

/// An end without success.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Complete, with its own `error: ` lines; may be empty when all has been said.
    text: String,
}

impl Failure {
    /// A failure told in one sentence; `help: ` lines may follow it.
    pub(crate) fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, text: format!("error: {message}") }
    }

    /// The same, with another way out for the person who reads it.
    pub(crate) fn with_help(mut self, help: &str) -> Self {
        self.text.push_str("\nhelp: ");
        self.text.push_str(help);
        self
    }

    /// The same with another exit code.
    pub(crate) fn ending(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// A failure whose text is complete as it is.
    pub(crate) fn told(exit: Exit, text: String) -> Self {
        Self { exit, text }
    }

    /// What a person reads.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same for a log or an answer.
    pub(crate) fn said(&self) -> String {
        self.text.strip_prefix("error: ").unwrap_or(&self.text).trim_end().to_owned()
    }

    /// Prints the text on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            crate::terminal::print_error(&self.text);
        }
        ExitCode::from(self.exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_of_the_help() {
        for exit in [Exit::Runtime, Exit::Usage, Exit::Bind, Exit::Permission, Exit::Config] {
            let line = format!("\n{:>4}  ", exit as u8);
            assert!(EXIT_CODES.contains(&line), "{exit:?}");
        }
    }
}
