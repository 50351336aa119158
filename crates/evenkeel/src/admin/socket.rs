//! The places where the admin API listens: a Unix socket that only this user may open, or a TCP
//! address. A socket that a dead process left is replaced, one of a living process is not. Who may
//! do what there is the business of `guard`.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use evenkeel_config::model::AdminBind;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Where it listens if the configuration says nothing, and the user may.
const SYSTEM_DIRECTORY: &str = "/run/evenkeel";
/// The socket's name in its directory.
const NAME: &str = "admin.sock";

/// A socket that listens.
pub(crate) enum Socket {
    /// The path, and whose inode it is.
    Unix(UnixListener, Place),
    Tcp(TcpListener),
}

/// A socket in the file system, which is removed at the end if it is still ours.
pub(crate) struct Place {
    path: PathBuf,
    inode: u64,
}

impl Place {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a socket of a living process may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Living {
    /// It keeps its place.
    Stays,
    /// It is the process that this one succeeds.
    Yields,
}

/// Why there is no socket, in words that follow "admin API: ".
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Another process listens there.
    Living(String),
    /// Anything else.
    Cannot(String),
}

/// Where the socket is by default: in the system's directory if that is there and writable or can
/// be made, else in the user's. The same for those who ask.
pub(crate) fn default_paths() -> Vec<PathBuf> {
    let user = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty());
    let user = user.map(|directory| PathBuf::from(directory).join("evenkeel"));
    let all = [Some(PathBuf::from(SYSTEM_DIRECTORY)), user];
    all.into_iter().flatten().map(|directory| directory.join(NAME)).collect()
}

/// Listens at `bind`; `None` if it is off.
///
/// # Errors
/// Why not.
pub(crate) async fn open(bind: &AdminBind, living: Living) -> Result<Option<Socket>, Refusal> {
    match bind {
        AdminBind::Off => Ok(None),
        AdminBind::Unix(path) => open_unix(path, living).await.map(Some),
        AdminBind::Tcp(address) => match TcpListener::bind(address).await {
            Ok(listener) => Ok(Some(Socket::Tcp(listener))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(Refusal::Living(format!("another process listens on {address}")))
            }
            Err(error) => Err(Refusal::Cannot(format!("cannot listen on {address}: {error}"))),
        },
        AdminBind::Default => {
            let mut refused = Vec::new();
            for path in default_paths() {
                match open_unix(&path, living).await {
                    Ok(socket) => return Ok(Some(socket)),
                    Err(Refusal::Cannot(why)) => refused.push(why),
                    Err(living) => return Err(living), // asked there, that one would answer
                }
            }
            Err(Refusal::Cannot(refused.join("; ")))
        }
    }
}

async fn open_unix(path: &Path, living: Living) -> Result<Socket, Refusal> {
    let cannot = |what: &str, error: io::Error| {
        Refusal::Cannot(format!("cannot listen on {}: {what}{error}", path.display()))
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        make_private(directory).map_err(|error| cannot("its directory: ", error))?;
    }
    match std::fs::symlink_metadata(path) {
        Err(_) => {}
        Ok(found) if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
            let why = format!("{} is there and is no socket", path.display());
            return Err(Refusal::Cannot(why));
        }
        Ok(_) if living == Living::Stays && UnixStream::connect(path).await.is_ok() => {
            let why = format!("another process listens on {}", path.display());
            return Err(Refusal::Living(why));
        }
        Ok(_) => {}
    }
    // Under a name of its own until only this user may open it, then in one step where others find
    // it: whoever asks meets the old socket or the new one, never none.
    let mut made = path.as_os_str().to_owned();
    made.push(format!(".{}", std::process::id()));
    let made = PathBuf::from(made);
    let _ = std::fs::remove_file(&made);
    let listener = UnixListener::bind(&made).map_err(|error| cannot("", error))?;
    let placed = std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::symlink_metadata(&made))
        .and_then(|found| std::fs::rename(&made, path).map(|()| found.ino()));
    match placed {
        Ok(inode) => Ok(Socket::Unix(listener, Place { path: path.to_owned(), inode })),
        Err(error) => {
            let _ = std::fs::remove_file(&made);
            Err(cannot("", error))
        }
    }
}

/// A directory that is made here is this user's alone; one that is there is left as it is.
fn make_private(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("evenkeel-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_and_a_directory_made_for_it_are_this_users_alone() {
        let directory = scratch("private");
        let path = directory.join("admin.sock");
        let socket = open(&AdminBind::Unix(path.clone()), Living::Stays).await.unwrap().unwrap();
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        drop(socket);
        assert!(!path.exists(), "it is removed at the end");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_a_living_one_and_other_files_are_not() {
        let directory = scratch("stale");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // leaves the file
        let bind = AdminBind::Unix(path.clone());
        let first = open(&bind, Living::Stays).await.unwrap();
        let refused = open(&bind, Living::Stays).await.err().unwrap();
        assert!(matches!(refused, Refusal::Living(_)), "{refused:?}");
        let second = open(&bind, Living::Yields).await.unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).await.is_ok(), "a predecessor leaves its successor's");
        drop(second);
        std::fs::write(&path, "precious").unwrap();
        assert!(open(&bind, Living::Yields).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
