//! One order of one certificate: the account, the challenge, the certificate and its key. Owns what
//! is said to the authority; not when, nor what becomes of the result.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::model::{Acme, AcmeChallenge};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;

use super::client::Client;
use super::store::Store;
use crate::certs::challenges::Challenges;
use crate::certs::{files, issued, pool};
use crate::control::Handle;

/// For an authority to make up its mind.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Why there is no certificate.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The authority could not be spoken to, or could not serve: sooner or later it can.
    Unreachable(String),
    /// It will not, or not yet: asking again soon would be held against us.
    Refused(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) if problem.status.is_none_or(|status| status < 500) => {
                Self::Refused(said(&problem))
            }
            error => Self::Unreachable(error.to_string()),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

fn said(problem: &instant_acme::Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    format!("{}: {}", kind, problem.detail.as_deref().unwrap_or("without a reason"))
}

fn unreachable(why: impl std::fmt::Display) -> Trouble {
    Trouble::Unreachable(why.to_string())
}

/// Gets a certificate for `name`: the key and the chain, in PEM.
pub(super) async fn certificate(
    acme: &Acme,
    store: &Store,
    name: &str,
    how: AcmeChallenge,
    handle: &Handle,
) -> Result<String, Trouble> {
    let account = account(acme, store).await?;
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let ready = prove(&mut order, name, how, handle).await;
    // Whatever came of it, nobody is answered any more.
    handle.challenges(Challenges::default()).await;
    ready?;
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(format!("{}\n{}\n", key.trim_end(), chain.trim_end()))
}

/// The account that is kept, or a new one.
async fn account(acme: &Acme, store: &Store) -> Result<Account, Trouble> {
    let roots = match &acme.ca {
        None => pool::system_roots().clone(),
        Some(path) => roots(path).map_err(unreachable)?,
    };
    let client = || Client::new(roots.clone()).map(Box::new).map_err(unreachable);
    let builder = Account::builder_with_http(client()?);
    if let Some(kept) = store.account(&acme.directory).map_err(unreachable)? {
        let kept: AccountCredentials = serde_json::from_slice(&kept)
            .map_err(|error| unreachable(format!("the account kept is damaged: {error}")))?;
        return Ok(builder.from_credentials(kept).await?);
    }
    let contact: Vec<String> = acme.contact.iter().map(|mail| format!("mailto:{mail}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, acme.directory.clone(), None).await?;
    let bytes = serde_json::to_vec(&credentials).map_err(unreachable)?;
    store.keep_account(&acme.directory, &bytes).map_err(unreachable)?;
    tracing::info!(directory = acme.directory, "acme: there is an account now");
    Ok(account)
}

fn roots(path: &Path) -> Result<rustls::RootCertStore, crate::certs::Problem> {
    pool::roots(path, &files::read(path)?)
}

/// Answers the authority's challenge until it believes that the name is ours.
async fn prove(
    order: &mut Order,
    name: &str,
    how: AcmeChallenge,
    handle: &Handle,
) -> Result<(), Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let kind = match how {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            let why = format!("the authority does not ask in this way ({how:?})");
            return Err(Trouble::Refused(why));
        };
        let proof = challenge.key_authorization();
        let mut answers = Challenges::default();
        match how {
            AcmeChallenge::Http01 => {
                answers.http.insert(challenge.token.clone(), proof.as_str().to_owned());
            }
            AcmeChallenge::TlsAlpn01 => {
                let key = answer(name, proof.digest().as_ref()).map_err(unreachable)?;
                answers.tls.insert(name.to_owned(), Arc::new(key));
            }
        }
        handle.challenges(answers).await;
        challenge.set_ready().await?;
    }
    let ready = order.poll_ready(&PATIENCE).await;
    match ready {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(_) => Err(Trouble::Refused(why(order).await)),
        Err(Error::Api(problem)) => match problem.detail {
            Some(_) => Err(Trouble::Refused(said(&problem))),
            None => Err(Trouble::Refused(why(order).await)),
        },
        Err(error) => Err(error.into()),
    }
}

/// What the authority did not like.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let mut problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problems.next() {
            return said(problem);
        }
    }
    "the authority does not say why".into()
}

/// What is shown to an authority that asks by TLS (RFC 8737 §3).
fn answer(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let made = || -> Result<_, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|error| error.to_string())?;
    issued::certified(&certificate, &key)
}
