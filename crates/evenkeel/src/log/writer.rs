//! One place that log lines go to (standard output, standard error or a file) and the thread that
//! writes there. Whoever has lines offers blocks of them over a bounded channel and never waits;
//! a block that finds the channel full is theirs to drop and to count. Does not know what a line
//! says.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Blocks that may wait for one place: with blocks of 32 KiB, 8 MiB.
const WAITING_MAX: usize = 256;
/// How long the end waits for a place that takes nothing.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The end of this file.
    File(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Stderr => f.write_str("standard error"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What the thread is asked beside writing. Set first, then an empty block wakes the thread; when
/// the channel is too full even for that, it is awake.
#[derive(Debug, Default)]
struct Wishes {
    reopen: AtomicBool,
    end: AtomicBool,
}

/// The thread of one place.
pub(crate) struct Writer {
    sender: SyncSender<Vec<u8>>,
    wishes: Arc<Wishes>,
    thread: JoinHandle<()>,
    finished: Receiver<()>,
}

impl Writer {
    /// Opens `place`, and starts its thread. `complain` is told what goes wrong later: once for
    /// each row of failures.
    pub(crate) fn start(
        place: Place,
        complain: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let output = open(&place)?;
        let (sender, inbox) = sync_channel(WAITING_MAX);
        let (finish, finished) = sync_channel(0);
        let wishes = Arc::new(Wishes::default());
        let desk = Desk { place, output, wishes: wishes.clone(), failed: false, complain };
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
            desk.write(&inbox);
            drop(finish);
        })?;
        Ok(Self { sender, wishes, thread, finished })
    }

    /// Takes blocks of whole lines for this place.
    pub(crate) fn sender(&self) -> SyncSender<Vec<u8>> {
        self.sender.clone()
    }

    /// Opens the file again, under its old name; lines that wait may go to either.
    pub(crate) fn reopen(&self) {
        self.wish(&self.wishes.reopen);
    }

    /// Writes what waits and ends the thread; gives up on a place that takes nothing for a second.
    pub(crate) fn finish(self) {
        self.wish(&self.wishes.end);
        if let Err(RecvTimeoutError::Disconnected) = self.finished.recv_timeout(FINISH_MAX) {
            let _ = self.thread.join();
        }
    }

    /// The same without waiting.
    pub(crate) fn close(self) {
        self.wish(&self.wishes.end);
    }

    fn wish(&self, wish: &AtomicBool) {
        wish.store(true, Relaxed);
        let _ = self.sender.try_send(Vec::new());
    }
}

/// What the writing thread owns.
struct Desk<C> {
    place: Place,
    output: Output,
    wishes: Arc<Wishes>,
    failed: bool,
    complain: C,
}

impl<C: Fn(&str)> Desk<C> {
    fn write(mut self, inbox: &Receiver<Vec<u8>>) {
        while let Ok(lines) = inbox.recv() {
            self.append(&lines);
            if self.wishes.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            if self.wishes.end.load(Relaxed) {
                inbox.try_iter().for_each(|lines| self.append(&lines));
                break;
            }
        }
    }

    /// Complains at the first of a row of failures only: a full disk fails every line.
    fn append(&mut self, lines: &[u8]) {
        let written = self.output.append(lines);
        if let (Err(error), false) = (&written, self.failed) {
            (self.complain)(&format!("cannot write log lines to {}: {error}", self.place));
        }
        self.failed = written.is_err();
    }

    /// Keeps the old file if the new one cannot be opened.
    fn reopen(&mut self) {
        match open(&self.place) {
            Ok(output) => self.output = output,
            Err(e) => (self.complain)(&format!("cannot open {} again: {e}", self.place)),
        }
    }
}

enum Output {
    Stdout,
    Stderr,
    File(File),
}

impl Output {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File(file) => file.write_all(lines),
        }
    }
}

fn open(place: &Place) -> io::Result<Output> {
    Ok(match place {
        Place::Stdout => Output::Stdout,
        Place::Stderr => Output::Stderr,
        Place::File(path) => Output::File(OpenOptions::new().append(true).create(true).open(path)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("evenkeel-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn what_was_offered_before_the_end_is_in_the_file() {
        let directory = scratch("writer");
        let path = directory.join("access.log");
        let writer = Writer::start(Place::File(path.clone()), |_| ()).unwrap();
        writer.sender().try_send(b"one\n".to_vec()).unwrap();
        writer.sender().try_send(b"two\n".to_vec()).unwrap();
        writer.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn after_reopening_lines_go_to_a_new_file_of_the_same_name() {
        let directory = scratch("reopen");
        let (path, moved) = (directory.join("access.log"), directory.join("access.log.1"));
        let writer = Writer::start(Place::File(path.clone()), |_| ()).unwrap();
        writer.sender().try_send(b"before\n".to_vec()).unwrap();
        while std::fs::read(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        writer.sender().try_send(b"after\n".to_vec()).unwrap();
        writer.finish();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "before\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_at_the_start() {
        let place = Place::File("/nonexistent/access.log".into());
        assert!(Writer::start(place, |_| ()).is_err());
    }
}
