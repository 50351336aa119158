//! A listener's key material: certificates, whom it trusts, and the keys of its tickets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use evenkeel_config::Config;
use evenkeel_config::model::{
    Acme, CertificateFiles, ClientAuth, HostMatch, Listener, ListenerKind, ListenerTls, Match,
    Protocols,
};
use evenkeel_proxy::tls::{
    self, Certificate, Certificates, ServerParts, ServerTls, TicketSecret, Tickets,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use super::challenges::Challenges;
use super::keyring::Occasion;
use super::ocsp::{Said, Unfit};
use super::pool::roots;
use super::problem::Problem;
use super::read::Read;
use super::{files, issued, pair};

/// What a listener speaks TLS with, and what it was made of.
#[derive(Debug)]
pub(super) struct ListenerKeys {
    pub(super) tls: Arc<ServerTls>,
    made_of: MadeOf,
    /// Keys for tickets of this process alone, the one that seals first, with the time they were made.
    pub(super) own: Vec<(TicketSecret, SystemTime)>,
    /// When something that it is made of ends next.
    until: Option<SystemTime>,
}

/// Where nothing of this differs, neither does the material.
#[derive(Clone, Debug, PartialEq)]
struct MadeOf {
    tls: ListenerTls,
    protocols: Protocols,
    alpn: Vec<String>,
    /// Where certificates from the authority are kept.
    storage: Option<PathBuf>,
    /// Answers to it that are shown; one that is there has its place to itself.
    challenges: Vec<usize>,
    /// Of the files' bytes.
    digest: u64,
}

/// What is agreed to by ALPN that is not HTTP.
fn alpn(listener: &Listener) -> &[String] {
    match &listener.kind {
        ListenerKind::Tcp(tcp) => &tcp.alpn,
        _ => &[],
    }
}

/// The files that `tls` names, and those in which certificates for its names are kept.
pub(super) fn files(tls: &ListenerTls, acme: Option<&Acme>) -> Vec<PathBuf> {
    let certificates = tls.certificates.iter();
    let mut all: Vec<PathBuf> = certificates
        .flat_map(|files| [Some(&files.cert), Some(&files.key), files.ocsp.as_ref()])
        .flatten()
        .cloned()
        .collect();
    if let Some(auth) = &tls.client_auth {
        all.push(auth.ca.clone());
        all.extend(auth.crl.iter().cloned());
    }
    all.extend(tls.tickets.keys.clone());
    all.extend(issued::paths(tls, acme));
    all
}

/// Its material now; `None` if it cannot be made, or if it is out of date and what there is would be
/// replaced by it.
pub(super) fn renewed(
    listener: &Listener,
    config: &Config,
    challenges: &Challenges,
    (known, own): (Option<&Arc<ListenerKeys>>, Vec<(TicketSecret, SystemTime)>),
    occasion: Occasion,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Option<Arc<ListenerKeys>> {
    let settings = listener.tls.as_ref()?;
    let acme = config.acme.as_ref().filter(|_| !settings.acme.is_empty());
    let storage = acme.map(|acme| acme.storage.clone());
    let challenges = asked(settings, challenges);
    let places: Vec<_> = challenges.iter().map(|(_, key)| Arc::as_ptr(key) as usize).collect();
    let is_as_configured = |known: &&Arc<ListenerKeys>| {
        known.made_of.tls == *settings
            && known.made_of.protocols == listener.protocols
            && known.made_of.alpn == alpn(listener)
            && known.made_of.storage == storage
            && known.made_of.challenges == places
    };
    let unchanged = known.filter(is_as_configured);
    if let (Occasion::Change, Some(known)) = (occasion, unchanged) {
        return Some(known.clone());
    }
    let read = Read::of(files(settings, acme));
    let made_of = MadeOf {
        tls: settings.clone(),
        protocols: listener.protocols,
        alpn: alpn(listener).to_vec(),
        storage: storage.clone(),
        challenges: places.clone(),
        digest: read.digest(),
    };
    let own = own_keys(settings, own, now, found);
    if let Some(known) = unchanged
        && known.made_of == made_of
        && known.own == own
        && known.until.is_none_or(|until| now < until)
    {
        return Some(known.clone());
    }
    let parts = parts(listener, (settings, acme, &challenges), &read, &own, now, found)?;
    warn_of_strangers(listener, config, &parts.1, found);
    let is_new = known.is_none_or(|known| known.made_of.digest != made_of.digest);
    if !is_new {
        found.iter_mut().for_each(Problem::tolerate); // it is in force: refusing it changes nothing
    }
    if is_new && found.iter().any(|problem| super::keyring::prevents(problem, occasion)) {
        return None;
    }
    let until = parts.2;
    match ServerTls::new(&parts.0) {
        Ok(tls) => Some(Arc::new(ListenerKeys { tls: Arc::new(tls), made_of, own, until })),
        Err(error) => {
            let path = settings.certificates.first().map(|files| files.cert.clone());
            found.push(Problem::error(
                "bad-certificate",
                &path.unwrap_or_default(),
                error.to_string(),
            ));
            None
        }
    }
}

/// Answers to the authority, by the name they are about.
type Asked = Vec<(String, Arc<CertifiedKey>)>;

/// Those that are about names of this listener.
fn asked(settings: &ListenerTls, challenges: &Challenges) -> Asked {
    let pending = settings
        .acme
        .iter()
        .filter_map(|name| Some((name.clone(), challenges.tls.get(name)?.clone())));
    pending.collect()
}

/// A key of our own seals for one lifetime and opens for another.
fn own_keys(
    settings: &ListenerTls,
    mut own: Vec<(TicketSecret, SystemTime)>,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Vec<(TicketSecret, SystemTime)> {
    if !settings.tickets.enabled || settings.tickets.keys.is_some() {
        return Vec::new();
    }
    let lifetime = settings.tickets.lifetime;
    let age = |made: &SystemTime| now.duration_since(*made).unwrap_or_default();
    own.retain(|(_, made)| age(made) < lifetime * 2);
    if own.first().is_none_or(|(_, made)| age(made) >= lifetime) {
        match TicketSecret::random() {
            Ok(secret) => own.insert(0, (secret, now)),
            Err(why) => found.push(Problem::warning("no-tickets", Path::new("tickets"), why)),
        }
    }
    own
}

type Made = (ServerParts, Vec<(PathBuf, Vec<String>)>, Option<SystemTime>);

/// All that can be made, and every problem on the way.
fn parts(
    listener: &Listener,
    (settings, acme, challenges): (&ListenerTls, Option<&Acme>, &Asked),
    read: &Read,
    own: &[(TicketSecret, SystemTime)],
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Option<Made> {
    let mut certificates = Vec::new();
    let (mut names, mut ends) = (Vec::new(), Vec::new());
    for files in &settings.certificates {
        if let Some(certificate) = note(certificate(files, read, now, &mut ends, found), found) {
            names.push((files.cert.clone(), certificate.names.clone()));
            certificates.push(certificate);
        }
    }
    let auth = settings.client_auth.as_ref();
    let client_auth = auth.map(|auth| note(self::client_auth(auth, read), found));
    let secrets = match &settings.tickets.keys {
        Some(path) => note(shared_keys(path, read, found), found),
        None => Some(own.iter().map(|(secret, _)| secret.clone()).collect()),
    };
    if certificates.len() < settings.certificates.len() {
        return None;
    }
    // A listener whose clients must be known is never opened without that.
    let client_auth = match client_auth {
        Some(made) => Some(made?),
        None => None,
    };
    let tickets = match settings.tickets.enabled {
        true => {
            Tickets::new(&secrets?, &context(listener, auth, read), settings.tickets.lifetime).ok()
        }
        false => None,
    };
    certificates.extend(issued::certificates(settings, acme, read, now, found));
    let shown = Certificates::new(&certificates, settings.strict_names);
    let show = |shown: Certificates, (name, key): &(String, Arc<CertifiedKey>)| {
        shown.with_challenge(name, key.clone())
    };
    let shown = challenges.iter().fold(shown, show);
    let parts = ServerParts {
        certificates: Arc::new(shown),
        min_version: settings.min_version,
        protocols: listener.protocols,
        alpn: alpn(listener).to_vec(),
        client_auth,
        tickets: tickets.map(Arc::new),
    };
    Some((parts, names, ends.into_iter().filter(|end| *end > now).min()))
}

fn note<T>(result: Result<T, Problem>, found: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| found.push(problem)).ok()
}

fn certificate(
    files: &CertificateFiles,
    read: &Read,
    now: SystemTime,
    ends: &mut Vec<SystemTime>,
    found: &mut Vec<Problem>,
) -> Result<Certificate, Problem> {
    // Both are looked at, so that both are told of.
    let chain = read.bytes(&files.cert).and_then(|bytes| files::certificates(&files.cert, bytes));
    let key = read.bytes(&files.key).and_then(|bytes| files::key(&files.key, bytes));
    let (chain, (key, doubt)) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (Err(one), Err(other)) => {
            found.push(one);
            return Err(other);
        }
        (Err(problem), _) | (_, Err(problem)) => return Err(problem),
    };
    found.extend(doubt);
    let mut pair = pair::join((&files.cert, &files.key), chain, key, now)?;
    found.extend(std::mem::take(&mut pair.problems));
    ends.extend(pair.until);
    if let Some(path) = &files.ocsp {
        match staple(path, &pair, read, now, ends) {
            Ok(response) => pair.key.ocsp = Some(response),
            Err(problem) => found.push(problem),
        }
    }
    Ok(Certificate { key: Arc::new(pair.key), names: pair.names })
}

/// The OCSP response that is shown with a certificate. One that is out of date is worse than none.
fn staple(
    path: &Path,
    pair: &pair::Pair,
    read: &Read,
    now: SystemTime,
    ends: &mut Vec<SystemTime>,
) -> Result<Vec<u8>, Problem> {
    let bytes = read.bytes(path)?;
    let Some(said) = Said::read(bytes) else {
        return Err(Problem::error(
            "bad-ocsp",
            path,
            "this is no OCSP response that says anything",
        )
        .help("`openssl ocsp -respout FILE` writes one, in DER"));
    };
    match said.suits(&pair.serial, now) {
        Ok(()) => {
            ends.extend(said.until());
            Ok(bytes.to_vec())
        }
        Err(Unfit::Other) => {
            Err(Problem::error("bad-ocsp", path, "this OCSP response is about another certificate"))
        }
        Err(Unfit::NotGood) => Err(Problem::warning(
            "bad-ocsp",
            path,
            "this OCSP response says that the certificate is revoked; it is not shown",
        )),
        Err(Unfit::OutOfDate) => Err(Problem::warning(
            "stale-ocsp",
            path,
            "this OCSP response is out of date; it is not shown",
        )),
    }
}

fn client_auth(auth: &ClientAuth, read: &Read) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
    let roots = roots(&auth.ca, read.bytes(&auth.ca)?)?;
    let mut lists = Vec::new();
    for path in &auth.crl {
        lists.extend(files::revocation_lists(path, read.bytes(path)?)?);
    }
    let culprit = auth.crl.first().unwrap_or(&auth.ca);
    tls::client_verifier(roots, lists, auth.optional)
        .map_err(|why| Problem::error("bad-authority", culprit, why))
}

/// The keys that instances share.
fn shared_keys(
    path: &Path,
    read: &Read,
    _found: &mut Vec<Problem>,
) -> Result<Vec<TicketSecret>, Problem> {
    let text = std::str::from_utf8(read.bytes(path)?).unwrap_or_default();
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Option<Vec<_>> =
        lines.map(|line| evenkeel_config::key_of(line).map(TicketSecret)).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        Problem::error("bad-key", path, "this is not a list of keys of 32 bytes, one a line")
            .help("`openssl rand -hex 32` makes one")
    })
}

/// What a ticket proves, it proves to the listener of this name and to whom it asked for: other
/// authorities, other lists of revoked certificates, and no ticket is good any more.
fn context(listener: &Listener, auth: Option<&ClientAuth>, read: &Read) -> Vec<u8> {
    let mut context = Vec::new();
    let mut add = |bytes: &[u8]| {
        context.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        context.extend_from_slice(bytes);
    };
    add(listener.name.as_bytes());
    if let Some(auth) = auth {
        add(if auth.optional { b"optional" } else { b"required" });
        for path in std::iter::once(&auth.ca).chain(&auth.crl) {
            add(read.bytes(path).unwrap_or_default());
        }
    }
    context
}

/// A certificate for none of the names that routes serve here is probably another's.
fn warn_of_strangers(
    listener: &Listener,
    config: &Config,
    certificates: &[(PathBuf, Vec<String>)],
    found: &mut Vec<Problem>,
) {
    let Some(hosts) = hosts(listener, config) else { return };
    for (path, names) in certificates {
        let is_for = |host: &&HostMatch| names.iter().any(|name| covers(name, host));
        if !names.is_empty() && !hosts.iter().any(is_for) {
            let message = format!(
                "this certificate is for none of the hosts that routes serve at listener `{}`; it is for {}",
                listener.name,
                names.join(", ")
            );
            found.push(Problem::warning("strange-certificate", path, message));
        }
    }
}

/// The hosts of the routes of a listener; `None` if one takes any.
fn hosts<'c>(listener: &Listener, config: &'c Config) -> Option<Vec<&'c HostMatch>> {
    let mut all = Vec::new();
    for route in &config.routes {
        let mut here = Vec::new();
        let mut elsewhere = false;
        walk(&route.matches, &mut |condition| match condition {
            Match::Host(host) => here.push(host),
            Match::Listener(id) => {
                let other = config.listeners.get(id.0 as usize);
                elsewhere |= other.is_some_and(|other| other.name != listener.name);
            }
            _ => {}
        });
        if elsewhere {
            continue;
        }
        if here.is_empty() {
            return None;
        }
        all.extend(here);
    }
    (!all.is_empty()).then_some(all)
}

fn walk<'m>(condition: &'m Match, look: &mut impl FnMut(&'m Match)) {
    match condition {
        Match::All(all) | Match::Any(all) => all.iter().for_each(|inner| walk(inner, look)),
        Match::Not(_) => {}
        other => look(other),
    }
}

fn covers(name: &str, host: &HostMatch) -> bool {
    let name = name.to_ascii_lowercase();
    let parent = name.strip_prefix("*.");
    match host {
        HostMatch::Exact(host) => {
            name == *host
                || parent.is_some_and(|p| host.split_once('.').is_some_and(|(_, rest)| rest == p))
        }
        HostMatch::Wildcard(below) => {
            parent.unwrap_or(&name) == below || name.ends_with(&format!(".{below}"))
        }
    }
}
