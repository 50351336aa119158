//! Keys that sign tokens. The algorithm belongs to the key: a token that says another one is not even
//! tried (RFC 8725 §3.1). Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenkeel_config::model::{DocumentKind, TokenAlgorithm, TokenKeys};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Claims;

/// Keys of a set; more are no sensible set.
const KEYS_MAX: usize = 100;
/// Keys that are tried for a token that names none.
const TRIED_MAX: usize = 8;

/// See the module's head.
pub(super) struct Keys(Vec<Key>);

struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It names a key that is not known.
    UnknownKey,
    Bad,
}

/// Whether a document holds keys.
///
/// # Errors
/// Why it does not.
pub(in crate::policy) fn check(kind: DocumentKind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        DocumentKind::PublicKey(algorithm) => public(bytes, algorithm).map(drop),
        _ => set(bytes).map(drop),
    }
}

impl Keys {
    /// `bytes` are the document, if they are in one.
    pub(super) fn read(keys: &TokenKeys, bytes: &[u8]) -> Result<Self, String> {
        match keys {
            TokenKeys::Set(_) => set(bytes).map(Self),
            TokenKeys::Public(_, algorithm) => Ok(Self(vec![public(bytes, *algorithm)?])),
            TokenKeys::Shared(secret, shared) => Ok(Self(vec![Key {
                name: None,
                algorithm: algorithm(*shared),
                key: DecodingKey::from_secret(secret.expose().as_bytes()),
            }])),
        }
    }

    /// The claims of a token that one of them has signed; their times are others' business.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Claims, Refused> {
        let head = token.split(|byte| *byte == b'.').next().unwrap_or_default();
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| Refused::Bad)?;
        let head: Value = serde_json::from_slice(&head).map_err(|_| Refused::Bad)?;
        // What must be understood is not (RFC 7515 §4.1.11).
        if head.get("crit").is_some() {
            return Err(Refused::Bad);
        }
        let name = head.get("kid").and_then(Value::as_str);
        let says = head.get("alg").and_then(Value::as_str).unwrap_or_default();
        let is_meant = |key: &&Key| match (name, &key.name) {
            (Some(name), Some(known)) => name == known,
            _ => true,
        };
        let mut meant = self.0.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Err(Refused::UnknownKey);
        }
        let fitting = meant.filter(|key| name_of(key.algorithm) == says).take(TRIED_MAX);
        fitting.filter_map(|key| key.verify(token)).next().ok_or(Refused::Bad)
    }
}

impl Key {
    fn verify(&self, token: &[u8]) -> Option<Claims> {
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = false;
        decode::<Claims>(token, &self.key, &validation).ok().map(|token| token.claims)
    }
}

fn name_of(algorithm: Algorithm) -> &'static str {
    let mut all = TokenAlgorithm::ALL.iter();
    all.find(|(known, _)| self::algorithm(*known) == algorithm).map_or("", |(_, name)| name)
}

fn algorithm(of: TokenAlgorithm) -> Algorithm {
    match of {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Hs384 => Algorithm::HS384,
        TokenAlgorithm::Hs512 => Algorithm::HS512,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Rs384 => Algorithm::RS384,
        TokenAlgorithm::Rs512 => Algorithm::RS512,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Ps384 => Algorithm::PS384,
        TokenAlgorithm::Ps512 => Algorithm::PS512,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::Es384 => Algorithm::ES384,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// A set of keys (RFC 7517 §5); those that are not for signing, or not understood, are passed over.
fn set(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(bytes)
        .map_err(|error| format!("this is no set of keys: {error}"))?;
    let keys: Vec<Key> = set.keys.iter().take(KEYS_MAX).filter_map(key).collect();
    match keys.is_empty() {
        true => Err("none of the keys in this set can verify a signature".into()),
        false => Ok(keys),
    }
}

fn key(jwk: &Jwk) -> Option<Key> {
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let algorithm = match (jwk.common.key_algorithm, &jwk.algorithm) {
        (Some(stated), parameters) => fitting(stated, parameters)?,
        (None, AlgorithmParameters::RSA(_)) => Algorithm::RS256,
        (None, AlgorithmParameters::EllipticCurve(key)) => match key.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        (None, AlgorithmParameters::OctetKeyPair(_)) => Algorithm::EdDSA,
        (None, AlgorithmParameters::OctetKey(_)) => Algorithm::HS256,
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { name: jwk.common.key_id.clone(), algorithm, key })
}

/// The algorithm that a key says it is for, if it is one for such keys.
fn fitting(stated: KeyAlgorithm, parameters: &AlgorithmParameters) -> Option<Algorithm> {
    use AlgorithmParameters as Of;
    use KeyAlgorithm as Says;
    Some(match (stated, parameters) {
        (Says::RS256, Of::RSA(_)) => Algorithm::RS256,
        (Says::RS384, Of::RSA(_)) => Algorithm::RS384,
        (Says::RS512, Of::RSA(_)) => Algorithm::RS512,
        (Says::PS256, Of::RSA(_)) => Algorithm::PS256,
        (Says::PS384, Of::RSA(_)) => Algorithm::PS384,
        (Says::PS512, Of::RSA(_)) => Algorithm::PS512,
        (Says::ES256, Of::EllipticCurve(_)) => Algorithm::ES256,
        (Says::ES384, Of::EllipticCurve(_)) => Algorithm::ES384,
        (Says::EdDSA, Of::OctetKeyPair(_)) => Algorithm::EdDSA,
        (Says::HS256, Of::OctetKey(_)) => Algorithm::HS256,
        (Says::HS384, Of::OctetKey(_)) => Algorithm::HS384,
        (Says::HS512, Of::OctetKey(_)) => Algorithm::HS512,
        _ => return None,
    })
}

/// A public key in PEM (RFC 7468 §13).
fn public(bytes: &[u8], of: TokenAlgorithm) -> Result<Key, String> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(bytes)
        .map_err(|_| "there is no public key in PEM in this file".to_owned())?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&der)
        .map_err(|_| "this public key cannot be read".to_owned())?;
    let kind = info.algorithm.algorithm.to_id_string();
    let (is_fitting, key) = (
        match of {
            TokenAlgorithm::Es256 | TokenAlgorithm::Es384 => kind == "1.2.840.10045.2.1",
            TokenAlgorithm::EdDsa => kind == "1.3.101.112",
            _ => kind == "1.2.840.113549.1.1.1",
        },
        info.subject_public_key.data.as_ref(),
    );
    if !is_fitting {
        return Err(format!("this public key is not for {}", of.name()));
    }
    let key = match of {
        TokenAlgorithm::Es256 | TokenAlgorithm::Es384 => DecodingKey::from_ec_der(key),
        TokenAlgorithm::EdDsa => DecodingKey::from_ed_der(key),
        _ => DecodingKey::from_rsa_der(key),
    };
    Ok(Key { name: None, algorithm: algorithm(of), key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_config::model::Secret;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn shared() -> Keys {
        let secret = Secret::new(std::str::from_utf8(SECRET).unwrap(), None);
        Keys::read(&TokenKeys::Shared(secret, TokenAlgorithm::Hs256), &[]).unwrap()
    }

    fn sign(algorithm: Algorithm, kid: Option<&str>) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        encode(&header, &json!({ "sub": "alice" }), &EncodingKey::from_secret(SECRET)).unwrap()
    }

    fn part(value: Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_that_is_signed_by_the_key_is_good_and_a_changed_one_is_not() {
        let token = sign(Algorithm::HS256, None);
        assert_eq!(shared().verify(token.as_bytes()).unwrap()["sub"], "alice");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let (head, _) = rest.split_once('.').unwrap();
        let forged = format!("{head}.{}.{signature}", part(json!({ "sub": "root" })));
        assert_eq!(shared().verify(forged.as_bytes()), Err(Refused::Bad));
    }

    #[test]
    fn the_key_decides_on_the_algorithm_and_none_is_none_rfc_8725_3_1() {
        assert_eq!(shared().verify(sign(Algorithm::HS512, None).as_bytes()), Err(Refused::Bad));
        let claims = part(json!({ "sub": "root" }));
        for name in ["none", "None", "NONE", "", "RS256"] {
            for signature in ["", "AAAA"] {
                let token = format!("{}.{claims}.{signature}", part(json!({ "alg": name })));
                assert_eq!(shared().verify(token.as_bytes()), Err(Refused::Bad), "{name}");
            }
        }
        for text in ["", ".", "..", "a.b.c", "e30.e30.", "\u{ff}.e30.e30"] {
            assert_eq!(shared().verify(text.as_bytes()), Err(Refused::Bad), "{text}");
        }
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused_rfc_7515_4_1_11() {
        let token = sign(Algorithm::HS256, None);
        let (_, rest) = token.split_once('.').unwrap();
        let head = part(json!({ "alg": "HS256", "crit": ["exp"] }));
        assert_eq!(shared().verify(format!("{head}.{rest}").as_bytes()), Err(Refused::Bad));
    }

    #[test]
    fn a_set_has_keys_by_name_and_passes_over_what_is_not_for_signing() {
        let k = URL_SAFE_NO_PAD.encode(SECRET);
        let text = json!({ "keys": [
            { "kty": "oct", "kid": "a", "alg": "HS256", "k": k },
            { "kty": "oct", "kid": "enc", "use": "enc", "k": k },
            { "kty": "future", "kid": "f" },
        ] });
        let keys = Keys(set(text.to_string().as_bytes()).unwrap());
        assert!(keys.verify(sign(Algorithm::HS256, Some("a")).as_bytes()).is_ok());
        assert!(keys.verify(sign(Algorithm::HS256, None).as_bytes()).is_ok());
        let unknown = keys.verify(sign(Algorithm::HS256, Some("enc")).as_bytes());
        assert_eq!(unknown, Err(Refused::UnknownKey));
        assert!(set(b"{}").is_err() && set(b"{\"keys\":[]}").is_err() && set(b"<html>").is_err());
    }
}
