//! The assertion: what the gateway vouches for in one request to `files`, signed with Ed25519. It holds for one method and
//! target, one FileSystem and at most [`LIFETIME_MAX`] seconds, so that whoever gets hold of one gains nothing else.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The request header that carries it.
pub const HEADER: &str = "workspacefs-assertion";
/// The longest time it may hold, in seconds.
pub const LIFETIME_MAX: u64 = 30;
/// How far two clocks may be apart, in seconds.
pub const SKEW_MAX: u64 = 5;
const VERSION: u32 = 1;
const PUBLIC_KEY_BYTES: usize = 32;
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// What a caller may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// See names and contents.
    Read,
    /// Make and change.
    Write,
    /// Take away.
    Delete,
}

/// What is vouched for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Claims {
    /// Version of this form: 1.
    pub v: u32,
    /// Who asks, as Kubernetes names them.
    pub user: String,
    /// Their groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The FileSystem's uid.
    pub fs: String,
    /// What they may do there.
    pub verbs: Vec<Verb>,
    /// `METHOD target`, as they stand in the request line that `files` gets.
    pub request: String,
    /// From when on it holds, Unix seconds.
    pub nbf: u64,
    /// Until when, Unix seconds.
    pub exp: u64,
}

impl Claims {
    /// Claims for one request that hold from `now` (Unix seconds) for the longest time allowed.
    pub fn new(user: &str, fs: &str, verbs: &[Verb], request: impl Into<String>, now: u64) -> Self {
        Self {
            v: VERSION,
            user: user.into(),
            groups: Vec::new(),
            fs: fs.into(),
            verbs: verbs.to_vec(),
            request: request.into(),
            nbf: now,
            exp: now + LIFETIME_MAX,
        }
    }
}

/// The key is none.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadKey {
    /// Not an Ed25519 key in PKCS#8, PEM.
    #[error("the signing key is not an Ed25519 key in PKCS#8, PEM")]
    Signing,
    /// Not 32 bytes in base64.
    #[error("a public key is 32 bytes in base64")]
    Public,
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Signs assertions: the gateway's half.
#[derive(Debug)]
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Makes a new key: PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`BadKey::Random`].
    pub fn generate_pem() -> Result<String, BadKey> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| BadKey::Random)?;
        let text = BASE64_STANDARD.encode(document.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        Ok(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", lines.join("\n")))
    }

    /// From PKCS#8 in PEM, as [`Signer::generate_pem`] or openssl make it.
    ///
    /// # Errors
    /// [`BadKey::Signing`].
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let (_, rest) = pem.split_once(PEM_BEGIN).ok_or(BadKey::Signing)?;
        let (body, _) = rest.split_once(PEM_END).ok_or(BadKey::Signing)?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64_STANDARD.decode(body).map_err(|_| BadKey::Signing)?;
        // Unchecked means: openssl leaves out the public half, which is then computed.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| BadKey::Signing)
    }

    /// The other half, for [`Verifier`].
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; PUBLIC_KEY_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// The header's value.
    pub fn sign(&self, claims: &Claims) -> String {
        let payload = serde_json::to_vec(claims).expect("claims are strings and numbers, which JSON has");
        let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(payload.as_bytes()));
        format!("{payload}.{signature}")
    }
}

/// A key that assertions are checked with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKey([u8; PUBLIC_KEY_BYTES]);

impl PublicKey {
    /// From base64 (the usual alphabet).
    ///
    /// # Errors
    /// [`BadKey::Public`].
    pub fn from_base64(text: &str) -> Result<Self, BadKey> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| BadKey::Public)?;
        bytes.try_into().map(Self).map_err(|_| BadKey::Public)
    }

    /// As `files --public-key` takes it.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }
}

impl std::str::FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::from_base64(text)
    }
}

/// Why an assertion is not believed. For the log: the caller learns only that it was not.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refused {
    /// There is none, or it is not of the form.
    #[error("no assertion, or a malformed one")]
    Malformed,
    /// None of the known keys signed it.
    #[error("the assertion is not signed by a known key")]
    Signature,
    /// It is of another version.
    #[error("the assertion has an unknown version")]
    Version,
    /// It is for another FileSystem.
    #[error("the assertion is for another FileSystem")]
    OtherFileSystem,
    /// It is for another method or target.
    #[error("the assertion is for another request")]
    OtherRequest,
    /// Its time has not come.
    #[error("the assertion does not hold yet")]
    Early,
    /// Its time is over.
    #[error("the assertion holds no longer")]
    Expired,
    /// It claims to hold for longer than any may.
    #[error("the assertion holds for too long")]
    TooLong,
}

/// Checks assertions: the half of `files`.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<PublicKey>,
    file_system: String,
}

impl Verifier {
    /// Several keys, while one replaces another.
    pub fn new(keys: Vec<PublicKey>, file_system: impl Into<String>) -> Self {
        Self { keys, file_system: file_system.into() }
    }

    /// Believes the header's value for this request (`METHOD target`) at this time (Unix seconds), or says why not. What the
    /// verbs allow is the caller's to check.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, header: &str, request: &str, now: u64) -> Result<Claims, Refused> {
        let (payload, signature) = header.split_once('.').ok_or(Refused::Malformed)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Malformed)?;
        let signed = |key: &PublicKey| {
            UnparsedPublicKey::new(&ED25519, key.0).verify(payload.as_bytes(), &signature).is_ok()
        };
        if !self.keys.iter().any(signed) {
            return Err(Refused::Signature);
        }
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refused::Malformed)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Refused::Malformed)?;
        self.judge(&claims, request, now)?;
        Ok(claims)
    }

    fn judge(&self, claims: &Claims, request: &str, now: u64) -> Result<(), Refused> {
        let lifetime = claims.exp.checked_sub(claims.nbf).ok_or(Refused::Malformed)?;
        if claims.v != VERSION {
            Err(Refused::Version)
        } else if claims.fs != self.file_system {
            Err(Refused::OtherFileSystem)
        } else if claims.request != request {
            Err(Refused::OtherRequest)
        } else if lifetime > LIFETIME_MAX {
            Err(Refused::TooLong)
        } else if now.saturating_add(SKEW_MAX) < claims.nbf {
            Err(Refused::Early)
        } else if now > claims.exp.saturating_add(SKEW_MAX) {
            Err(Refused::Expired)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const REQUEST: &str = "GET /v1/stat/a%FF?x=1";

    fn signer() -> Signer {
        Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap()
    }

    fn claims() -> Claims {
        Claims::new("jane", "uid-1", &[Verb::Read, Verb::Delete], REQUEST, NOW)
    }

    #[test]
    fn what_one_signs_the_other_believes_also_by_the_second_of_two_keys() {
        let (old, new) = (signer(), signer());
        let verifier = Verifier::new(vec![old.public_key(), new.public_key()], "uid-1");
        for signer in [&old, &new] {
            assert_eq!(verifier.verify(&signer.sign(&claims()), REQUEST, NOW).unwrap(), claims());
        }
        let text = new.public_key().to_base64();
        assert_eq!(text.parse::<PublicKey>().unwrap(), new.public_key());
    }

    #[test]
    fn nothing_else_is_believed() {
        let signer = signer();
        let verifier = Verifier::new(vec![signer.public_key()], "uid-1");
        let verify =
            |claims: &Claims, request, now| verifier.verify(&signer.sign(claims), request, now).unwrap_err();
        let with = |change: &dyn Fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            claims
        };
        assert_eq!(verify(&with(&|c| c.v = 2), REQUEST, NOW), Refused::Version);
        assert_eq!(verify(&with(&|c| c.fs = "uid-2".into()), REQUEST, NOW), Refused::OtherFileSystem);
        for request in ["PUT /v1/stat/a%FF?x=1", "GET /v1/stat/a%ff?x=1", "GET /v1/stat/a%FF", ""] {
            assert_eq!(verify(&claims(), request, NOW), Refused::OtherRequest, "{request}");
        }
        assert_eq!(verify(&with(&|c| c.exp = c.nbf + 31), REQUEST, NOW), Refused::TooLong);
        assert_eq!(verify(&with(&|c| c.exp = c.nbf - 1), REQUEST, NOW), Refused::Malformed);
        assert_eq!(verify(&claims(), REQUEST, NOW - SKEW_MAX - 1), Refused::Early);
        assert!(verifier.verify(&signer.sign(&claims()), REQUEST, NOW - SKEW_MAX).is_ok());
        assert_eq!(verify(&claims(), REQUEST, NOW + LIFETIME_MAX + SKEW_MAX + 1), Refused::Expired);
        assert!(verifier.verify(&signer.sign(&claims()), REQUEST, NOW + LIFETIME_MAX + SKEW_MAX).is_ok());
        // Numbers at the end of their range do not wrap.
        let far = with(&|c| (c.nbf, c.exp) = (u64::MAX - 1, u64::MAX));
        assert_eq!(verify(&far, REQUEST, NOW), Refused::Early);
    }

    #[test]
    fn a_changed_payload_another_key_and_rubbish_are_refused() {
        let (known, other) = (signer(), signer());
        let verifier = Verifier::new(vec![known.public_key()], "uid-1");
        assert_eq!(verifier.verify(&other.sign(&claims()), REQUEST, NOW), Err(Refused::Signature));
        let header = known.sign(&claims());
        let (_, signature) = header.split_once('.').unwrap();
        let mut more = claims();
        more.verbs.push(Verb::Write);
        let forged = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&more).unwrap());
        assert_eq!(verifier.verify(&format!("{forged}.{signature}"), REQUEST, NOW), Err(Refused::Signature));
        for rubbish in ["", "x", "a.b c", "..", &header.replace('.', ""), &format!("{header}=")] {
            let refused = verifier.verify(rubbish, REQUEST, NOW).unwrap_err();
            assert!(matches!(refused, Refused::Malformed | Refused::Signature), "{rubbish:?}: {refused}");
        }
        assert_eq!(Verifier::new(vec![], "uid-1").verify(&header, REQUEST, NOW), Err(Refused::Signature));
    }

    /// Made with `openssl genpkey -algorithm ed25519`: without the public half.
    #[test]
    fn a_key_of_openssl_is_read() {
        let der =
            [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]].concat();
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64_STANDARD.encode(der));
        let signer = Signer::from_pem(&pem).unwrap();
        let verifier = Verifier::new(vec![signer.public_key()], "uid-1");
        assert!(verifier.verify(&signer.sign(&claims()), REQUEST, NOW).is_ok());
        assert_eq!(Signer::from_pem("nothing").unwrap_err(), BadKey::Signing);
        assert_eq!(PublicKey::from_base64("AAAA"), Err(BadKey::Public));
    }
}
