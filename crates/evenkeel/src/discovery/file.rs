//! Servers listed in a file of their own. Its directory is watched, so that a file put in place by
//! a rename, or behind a link that moves, is noticed; a slow look besides notices what is missed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_config::model::{FileSource, Server};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::source::{Coming, Look, Looking, Source};

/// A list of servers is not longer.
const SIZE_MAX: u64 = 4 << 20;
/// How often the file is read though nothing was noticed.
const LOOK: Duration = Duration::from_secs(5);
/// A file is written in several steps; what is read after this silence is whole.
const SETTLE: Duration = Duration::from_millis(50);

/// See the module's head.
pub(super) struct File {
    path: PathBuf,
    /// What was last read, and what it came to: an unchanged file is not read twice.
    last: Option<Read>,
    changes: mpsc::Receiver<()>,
    tell: mpsc::Sender<()>,
    watcher: Option<RecommendedWatcher>,
}

struct Read {
    bytes: Vec<u8>,
    servers: Result<Vec<Server>, String>,
}

impl File {
    pub(super) fn new(settings: &FileSource) -> Self {
        let (tell, changes) = mpsc::channel(1);
        Self { path: settings.path.clone().into(), last: None, changes, tell, watcher: None }
    }

    /// Watches, if it can and does not yet.
    fn watch(&mut self) {
        if self.watcher.is_some() {
            return;
        }
        let tell = self.tell.clone();
        let noticed = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = tell.try_send(()); // full: it is known already
            }
        };
        let directory = match self.path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        let watching = notify::recommended_watcher(noticed).and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(e) => tracing::debug!("{} is looked at every {LOOK:?}: {e}", self.path.display()),
        }
    }

    async fn servers(&mut self) -> Result<Vec<Server>, String> {
        self.watch();
        let file = tokio::fs::File::open(&self.path).await.map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        let read = file.take(SIZE_MAX + 1).read_to_end(&mut bytes).await;
        read.map_err(|e| e.to_string())?;
        if bytes.len() as u64 > SIZE_MAX {
            return Err(format!("it is longer than {} MiB", SIZE_MAX >> 20));
        }
        if let Some(last) = self.last.as_ref().filter(|last| last.bytes == bytes) {
            return last.servers.clone();
        }
        let servers = parse(&self.path, &bytes);
        self.last = Some(Read { bytes, servers: servers.clone() });
        servers
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Server>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?.to_string();
    let source = evenkeel_config::Source { name: path.display().to_string(), text };
    let read = evenkeel_config::servers(&source);
    read.map_err(|report| report.compact().trim_end().replace('\n', "; "))
}

impl Source for File {
    type Item = Server;

    fn name(&self) -> String {
        format!("file `{}`", self.path.display())
    }

    fn pace(&self) -> (Duration, Duration) {
        (LOOK, LOOK)
    }

    fn look(&mut self) -> Looking<'_, Server> {
        Box::pin(async move { Ok(Look { found: self.servers().await?, ttl: LOOK }) })
    }

    fn changed(&mut self) -> Coming<'_> {
        Box::pin(async move {
            self.changes.recv().await; // never closed: we hold a sender
            tokio::time::sleep(SETTLE).await;
            while self.changes.try_recv().is_ok() {}
        })
    }
}
