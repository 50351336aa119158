//! Finding and reading configuration files: one file, standard input, or every file of a
//! directory. What is in them is the business of `evenkeel-config`.

use std::io::Read;
use std::path::{Path, PathBuf};

use evenkeel_config::Source;

use crate::failure::{Exit, Failure};

/// Where a configuration is looked for when none is given.
pub(crate) const DEFAULT_PATHS: [&str; 2] = ["evenkeel.yaml", "/etc/evenkeel/evenkeel.yaml"];

/// Bytes of one file: far above 10,000 routes, far below what would hurt to read by mistake.
const FILE_MAX: u64 = 64 << 20;
/// Files of one directory.
const FILES_MAX: usize = 10_000;

/// Reads what `path` names: a file, `-` (standard input), or a directory, of which every
/// `*.yaml`, `*.yml` and `*.json` is read in the order of their names.
pub(crate) fn read(path: &Path) -> Result<Vec<Source>, Failure> {
    if path == Path::new("-") {
        let text = read_text(std::io::stdin().lock()).map_err(|e| unreadable(path, &e))?;
        return Ok(vec![Source { name: "<stdin>".into(), text }]);
    }
    if !path.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let paths = list(path)?;
    if paths.is_empty() {
        let place = path.display();
        let message = format!("{place}: no *.yaml, *.yml or *.json in this directory");
        return Err(Failure::new(Exit::Config, message));
    }
    paths.iter().map(|path| read_file(path)).collect()
}

/// The files that [`read`] reads.
pub(crate) fn paths(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_dir() { list(path) } else { Ok(vec![path.to_path_buf()]) }
}

/// The configuration to run when none is given: the first of [`DEFAULT_PATHS`] that exists.
pub(crate) fn find() -> Result<PathBuf, Failure> {
    let found = DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_path_buf).ok_or_else(|| {
        let [here, system] = DEFAULT_PATHS;
        let message = format!(
            "no configuration: neither ./{here} nor {system} exists\n\
             \n\
             Without a file:  evenkeel run --to http://127.0.0.1:3001 --to http://127.0.0.1:3002\n\
             With a file:     evenkeel run -c FILE\n\
             \n\
             These three lines in {here} are enough:\n\
             \n\
             listeners: {{ web: {{ bind: 0.0.0.0:8080 }} }}\n\
             pools: {{ app: {{ servers: [127.0.0.1:3001, 127.0.0.1:3002] }} }}\n\
             routes: [ {{ to: app }} ]\n"
        );
        Failure::new(Exit::Config, message)
    })
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(directory).map_err(|e| unreadable(directory, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(directory, &e))?.path();
        if is_source(&path) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            let message = format!("{}: more than {FILES_MAX} files", directory.display());
            return Err(Failure::new(Exit::Config, message));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Hidden files are left out: editors keep their copies in them.
fn is_source(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !hidden && matches!(extension, Some("yaml" | "yml" | "json")) && path.is_file()
}

fn read_file(path: &Path) -> Result<Source, Failure> {
    let file = std::fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let text = read_text(file).map_err(|e| unreadable(path, &e))?;
    Ok(Source { name: path.display().to_string(), text })
}

fn read_text(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    let length = from.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if length as u64 > FILE_MAX {
        return Err(std::io::Error::other("larger than 64 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::InvalidData => "not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Exit::Config, format!("cannot read {}: {reason}", path.display()))
}
