//! Notices that the configuration's files are others. The kernel's hints make it quick; a look every
//! few seconds makes it sure, whatever the file system, the editor or the orchestrator do: files
//! written in place, renamed over, or behind a symbolic link that is exchanged.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_runtime as runtime;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::{Handle, Message};
use crate::sources;

/// A change is looked at once nothing has happened for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// What never becomes quiet is looked at all the same.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// Hints may be missing (network file systems).
const LOOK: Duration = Duration::from_secs(3);

/// How often key material is looked at though no file changed: keys of our own grow old, and so does
/// what was good until some moment.
const LOOK_AT_KEYS: Duration = Duration::from_secs(60);

/// Asks for a reload whenever the files at `path` change, until it is dropped.
pub(crate) async fn watch(path: PathBuf, handle: Handle) {
    let seen = Fingerprint::of(std::slice::from_ref(&path));
    let tell = || handle.tell(Message::Reload { author: "file watch".into(), reply: None });
    follow(&[path], Some(seen), None, tell).await;
}

/// Has key material looked at whenever one of `paths` changes, and now and then, until it is dropped.
pub(crate) async fn watch_keys(paths: Vec<PathBuf>, handle: Handle) {
    // What was there when they were read is not known any more: so a first look is due.
    follow(&paths, None, Some(LOOK_AT_KEYS), || handle.tell(Message::Keys)).await;
}

async fn follow(
    paths: &[PathBuf],
    mut seen: Option<Fingerprint>,
    remind: Option<Duration>,
    tell: impl Fn() -> bool,
) {
    let (hint, mut hints) = mpsc::channel(1);
    let hinted = move |_: notify::Result<notify::Event>| {
        let _ = hint.try_send(()); // one that waits says it all
    };
    let mut watcher = notify::recommended_watcher(hinted).ok();
    if let Some(watcher) = &mut watcher {
        let mut places: Vec<_> = paths.iter().flat_map(|path| places(path)).collect();
        places.sort();
        places.dedup();
        for place in places {
            if let Err(error) = watcher.watch(&place, RecursiveMode::NonRecursive) {
                tracing::debug!(place = %place.display(), %error, "changes are noticed later");
            }
        }
    }
    let mut told = runtime::now();
    loop {
        let _ = tokio::time::timeout(LOOK, hints.recv()).await;
        let quiet =
            async { while let Ok(Some(())) = tokio::time::timeout(QUIET, hints.recv()).await {} };
        let _ = tokio::time::timeout(QUIET_MAX, quiet).await;
        let now = Some(Fingerprint::of(paths));
        let is_due = remind.is_some_and(|after| runtime::now() >= told + after);
        if (now != seen || is_due) && tell() {
            (seen, told) = (now, runtime::now());
        }
        if watcher.is_none() {
            tokio::time::sleep(LOOK).await; // no hints: `recv` returns at once
        }
    }
}

/// Directories in which something happens when the files change: a file may be replaced, and so may
/// the links that lead to it.
fn places(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut places = vec![if path.is_dir() { path.to_path_buf() } else { parent(path) }];
    if let Ok(real) = path.canonicalize() {
        places.push(if real.is_dir() { real } else { parent(&real) });
    }
    places.dedup();
    places
}

/// What tells one state of the files from another without reading them.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint(Vec<(PathBuf, u64, u64, i64, i64)>);

impl Fingerprint {
    fn of(paths: &[PathBuf]) -> Self {
        let paths = paths.iter().flat_map(|path| sources::paths(path).unwrap_or_default());
        let one = |path: PathBuf| match std::fs::metadata(&path) {
            Ok(m) => (path, m.ino(), m.len(), m.mtime(), m.mtime_nsec()),
            Err(_) => (path, 0, 0, 0, 0),
        };
        Self(paths.map(one).collect())
    }
}
