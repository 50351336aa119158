//! What is kept of an authority's service: accounts, keys and certificates, as files that only this
//! user may read. Owns that a file is whole or as it was, and that of several instances that share a
//! directory one orders at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Store(PathBuf);

/// Nobody else orders as long as it lives.
pub(super) struct Lock(#[allow(dead_code, reason = "what matters is that it is open")] File);

impl Store {
    /// Makes the directory if it is not there.
    pub(super) fn open(storage: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(storage)?;
        Ok(Self(storage.to_path_buf()))
    }

    /// `None` while another instance orders.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What was kept of the account at this authority.
    pub(super) fn account(&self, directory: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(account(directory))) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn keep_account(&self, directory: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(&account(directory), bytes)
    }

    pub(super) fn keep_certificate(&self, name: &str, pem: &str) -> io::Result<()> {
        self.write(&format!("{name}.pem"), pem.as_bytes())
    }

    /// In one step, and for good.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let next = self.0.join(format!("{name}.next"));
        match fs::remove_file(&next) {
            Ok(()) => {} // of one that died on the way
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&next, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }
}

/// Accounts at different authorities have nothing to do with each other.
fn account(directory: &str) -> String {
    let bare = directory.trim_start_matches("https://");
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("account-{}.json", bare.chars().map(safe).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("evenkeel-store-{}-{name}", std::process::id()))
    }

    #[test]
    fn what_is_kept_is_for_this_user_alone_and_replaced_in_one_step() {
        let place = directory("kept");
        let store = Store::open(&place.join("below")).unwrap();
        store.keep_certificate("a.example", "one").unwrap();
        store.keep_certificate("a.example", "two").unwrap();
        let path = crate::certs::issued::path(&place.join("below"), "a.example");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&place.join("below"))), (0o600, 0o700));
        assert_eq!(store.account("https://ca.example/dir").unwrap(), None);
        store.keep_account("https://ca.example/dir", b"{}").unwrap();
        assert_eq!(store.account("https://ca.example/dir").unwrap().unwrap(), b"{}");
        assert_eq!(store.account("https://ca.example/other").unwrap(), None);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn one_orders_at_a_time() {
        let place = directory("lock");
        let (one, other) = (Store::open(&place).unwrap(), Store::open(&place).unwrap());
        let lock = one.lock().unwrap().unwrap();
        assert!(other.lock().unwrap().is_none());
        drop(lock);
        assert!(other.lock().unwrap().is_some());
        fs::remove_dir_all(place).unwrap();
    }
}
