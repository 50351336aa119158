//! `evenkeel cert`: certificates to try things with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use evenkeel_runtime as runtime;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

use crate::failure::{Exit, Failure};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a certificate that nobody signed: for development
    SelfSigned(SelfSigned),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SelfSigned {
    /// What it is for: host names (`*.` for any one label) and addresses; the first names the files
    #[arg(value_name = "NAME", default_value = "localhost")]
    names: Vec<String>,
    /// Where the two files are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Days until it expires
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::SelfSigned(arguments) => self_signed(arguments),
    }
}

fn self_signed(arguments: &SelfSigned) -> Result<(), Failure> {
    let wrong = |error: rcgen::Error| {
        Failure::new(Exit::Usage, format!("cannot make a certificate for these names: {error}"))
    };
    let mut names = arguments.names.clone();
    let is_local = names.first().is_some_and(|name| name == "localhost");
    if is_local && names.len() == 1 {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let first = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names.clone()).map_err(wrong)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, first.clone());
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = runtime::wall_clock();
    // Clocks differ a little.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(u64::from(arguments.days) * 24 * 3600)).into();
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    let stem = stem(&first);
    let (cert_path, key_path) =
        (arguments.out.join(format!("{stem}.pem")), arguments.out.join(format!("{stem}.key")));
    std::fs::create_dir_all(&arguments.out).map_err(|e| unwritable(&arguments.out, &e))?;
    write(&key_path, &key.serialize_pem(), 0o600, arguments.force)?;
    write(&cert_path, &certificate.pem(), 0o644, arguments.force)?;
    terminal::print(&text(&names, &cert_path, &key_path, arguments.days));
    Ok(())
}

fn text(names: &[String], cert: &Path, key: &Path, days: u16) -> String {
    let (cert, key) = (cert.display(), key.display());
    let host = names.first().filter(|name| name.parse::<IpAddr>().is_err());
    let host = host.map_or("localhost", |name| name.strip_prefix("*.").unwrap_or(name));
    format!(
        "wrote {cert} and {key}: for {}, {days} days\n\
         \n\
         In the configuration, at a listener:\n\
         \n\
         \x20   tls: {{ certificates: [ {{ cert: {cert}, key: {key} }} ] }}\n\
         \n\
         Nobody signed it, so clients have to be told to trust it:\n\
         \n\
         \x20   curl --cacert {cert} https://{host}:8443/\n",
        names.join(", "),
    )
}

/// A name that a file can have.
fn stem(name: &str) -> String {
    name.replace('*', "_").replace([':', '/'], "-")
}

fn write(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", path.display());
            Failure::new(Exit::Runtime, message).with_help("--force replaces it")
        }
        _ => unwritable(path, &error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Runtime, format!("cannot write {}: {error}", path.display()))
}
