//! The file in which changes at runtime survive a restart (`admin.state`). Written whole, beside its
//! place and renamed into it, so that it is never half there. Owns its format and where it is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use evenkeel_config::Source;
use serde::{Deserialize, Serialize};

use super::overlay::Overlay;

/// Another number is another format.
const FORMAT: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    format: u32,
    /// The last version: later ones go on counting.
    pub(crate) version: u64,
    /// What was changed at runtime.
    pub(crate) overlay: Overlay,
    /// Gone back to: serves as long as the file is the one that was gone back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pinned: Option<Pinned>,
}

/// Texts that serve instead of the file's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pinned {
    pub(crate) instead_of: Vec<Text>,
    pub(crate) serves: Vec<Text>,
}

/// A text and its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
    name: String,
    text: String,
}

impl Text {
    pub(crate) fn all(sources: &[Source]) -> Vec<Self> {
        let one = |source: &Source| Self { name: source.name.clone(), text: source.text.clone() };
        sources.iter().map(one).collect()
    }

    pub(crate) fn sources(texts: &[Self]) -> Vec<Source> {
        let one = |text: &Self| Source { name: text.name.clone(), text: text.text.clone() };
        texts.iter().map(one).collect()
    }
}

impl Kept {
    pub(crate) fn new(version: u64, overlay: Overlay, pinned: Option<Pinned>) -> Self {
        Self { format: FORMAT, version, overlay, pinned }
    }
}

/// What is kept at `path`; `None` if there is nothing yet. What cannot be understood is moved aside,
/// and said: `Err`.
pub(crate) fn read(path: &Path) -> Result<Option<Kept>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read the state {}: {error}", path.display())),
    };
    let kept = serde_json::from_slice::<Kept>(&text).map_err(|error| error.to_string());
    let kept = kept.and_then(|kept| match kept.format {
        FORMAT => Ok(kept),
        other => Err(format!("format {other} is of another version of Evenkeel")),
    });
    kept.map(Some).map_err(|why| {
        let aside = beside(path, "broken");
        let place = match std::fs::rename(path, &aside) {
            Ok(()) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("nor can it be moved aside: {error}"),
        };
        let path = path.display();
        format!(
            "the state {path} cannot be understood ({why}): its changes are not in force; {place}"
        )
    })
}

/// Writes `kept` to `path`; when this returns, a crash finds it. Blocks.
pub(crate) fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(kept)?;
    let next = beside(path, "next");
    if let Some(directory) = path.parent().filter(|at| !at.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // may carry secrets of routes
    let mut file = options.open(&next)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    let directory = path.parent().filter(|at| !at.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::overlay::{PoolChanges, Wish};

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("evenkeel-state-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory.join(name)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let path = scratch("round.json");
        assert_eq!(read(&path), Ok(None));
        let mut overlay = Overlay::default();
        let mut changes = PoolChanges::default();
        changes.standing.insert("a:1".into(), Wish::Draining);
        overlay.servers.insert("app".into(), changes);
        let kept = Kept::new(7, overlay, None);
        write(&path, &kept).unwrap();
        assert_eq!(read(&path), Ok(Some(kept)));
    }

    #[test]
    fn what_cannot_be_understood_is_moved_aside_and_said() {
        for (name, text) in [
            ("half.json", "{\"format\":1,"),
            ("later.json", "{\"format\":9,\"version\":1,\"overlay\":{}}"),
        ] {
            let path = scratch(name);
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err();
            assert!(said.contains("broken"), "{said}");
            assert!(!path.exists());
            assert_eq!(std::fs::read_to_string(beside(&path, "broken")).unwrap(), text);
            assert_eq!(read(&path), Ok(None));
        }
    }
}
