//! Debian packages that a measurement needs: installed if missing and if we may.

use std::io;
use std::path::Path;
use std::process::Command;

/// Installs a Debian package if its command is missing and we may.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn need(command: &str, package: &str) -> io::Result<()> {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let found = path.split(':').any(|directory| Path::new(directory).join(command).exists());
    if found {
        return Ok(());
    }
    println!("installing {package}");
    let done = Command::new("sh")
        .args(["-c", &format!("apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {package}")])
        .status()?;
    match done.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command} is missing: apt-get install {package}"))),
    }
}
