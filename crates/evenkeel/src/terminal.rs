//! Standard output and error as people and scripts meet them: whether colour is wanted, and
//! writing that does not panic when the reader (`| head`) has gone.

use std::io::{IsTerminal, Write};

/// Whether colour may be written to this stream: only to a terminal that knows it, and not when
/// `NO_COLOR` is set to anything.
pub(crate) fn has_colour(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused && !dumb
}

/// Writes `text` and a line end (unless it has one) to standard output.
pub(crate) fn print(text: &str) {
    write_line(&mut std::io::stdout().lock(), text);
}

/// Writes `text` and a line end (unless it has one) to standard error.
pub(crate) fn print_error(text: &str) {
    write_line(&mut std::io::stderr().lock(), text);
}

/// A reader that has gone wants no more, so failing to write is not a failure of the command.
fn write_line(to: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(to, "{text}{end}").and_then(|()| to.flush());
}
