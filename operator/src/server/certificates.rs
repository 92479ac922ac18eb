//! The certificates by which the embedded server's agent, the operator and the CSI controller know each other: made, and
//! judged. Nothing is read or written here, and keys have no `Debug`.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use thiserror::Error;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long an authority is believed.
const AUTHORITY_DAYS: i64 = 3650;
/// How long a certificate of ours is good.
const LEAF_DAYS: i64 = 365;
/// Clocks differ: a certificate is good from a little before it was made.
const EARLIER_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;

/// A certificate and its key, in PEM.
#[derive(Clone, Eq, PartialEq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// For what a certificate is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage<'a> {
    /// To be called under that name.
    Server(&'a str),
    /// To call; the name is for people.
    Client(&'a str),
}

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The library refused.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// The time is outside what a certificate can say.
    #[error("the clock says {0}, which no certificate can")]
    Clock(Timestamp),
}

/// A new authority, whose name begins with `who`.
///
/// # Errors
/// [`CertificateError`].
pub fn authority(who: &str, now: Timestamp) -> Result<Pair, CertificateError> {
    let mut params = params(now, AUTHORITY_DAYS)?;
    // Two authorities in one bundle, at the turn from one to the next, have two names.
    params.distinguished_name = name(&format!("{who}-{}", now.as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(CertificateError::Make)?;
    let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A new certificate, signed by `authority`.
///
/// # Errors
/// [`CertificateError`].
pub fn leaf(authority: &Pair, usage: Usage<'_>, now: Timestamp) -> Result<Pair, CertificateError> {
    let mut params = params(now, LEAF_DAYS)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    match usage {
        Usage::Server(host) => {
            params.distinguished_name = name(host);
            let host = host.try_into().map_err(CertificateError::Make)?;
            params.subject_alt_names = vec![rcgen::SanType::DnsName(host)];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        Usage::Client(who) => {
            params.distinguished_name = name(who);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    let key = KeyPair::generate().map_err(CertificateError::Make)?;
    let signing = KeyPair::from_pem(&authority.key).map_err(CertificateError::Make)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signing).map_err(CertificateError::Make)?;
    let certificate = params.signed_by(&key, &issuer).map_err(CertificateError::Make)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(now: Timestamp, days: i64) -> Result<CertificateParams, CertificateError> {
    let at = |seconds: i64| {
        let since = u64::try_from(now.as_second() + seconds).ok()?;
        Some(date_time_ymd(1970, 1, 1) + Duration::from_secs(since))
    };
    let mut params = CertificateParams::default();
    params.not_before = at(-EARLIER_SECONDS).ok_or(CertificateError::Clock(now))?;
    params.not_after = at(days * DAY_SECONDS).ok_or(CertificateError::Clock(now))?;
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "workspacefs");
    name.push(DnType::CommonName, common);
    name
}

/// What is to be done about a pair that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is good, until then (seconds since 1970).
    Keep {
        /// When it ends.
        not_after: i64,
    },
    /// Less than a third of its life is left: a new one in time.
    Renew,
    /// It cannot be read, its key is another's, it has ended, or nobody signed it whom we believe.
    Useless,
}

/// Judges a pair that should be signed by one of the authorities in `bundle`; an authority is signed by itself.
pub fn judge(pair: &Pair, bundle: &str, now: Timestamp) -> Verdict {
    match examine(pair, bundle) {
        Some((not_before, not_after)) if (not_before..not_after).contains(&now.as_second()) => {
            let (left, life) = (not_after - now.as_second(), not_after - not_before);
            if left < life / 3 { Verdict::Renew } else { Verdict::Keep { not_after } }
        }
        _ => Verdict::Useless,
    }
}

/// From when to when it is good, if it is whole.
fn examine(pair: &Pair, bundle: &str) -> Option<(i64, i64)> {
    let pem = Pem::iter_from_buffer(pair.certificate.as_bytes()).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    let key = KeyPair::from_pem(&pair.key).ok()?;
    let is_its_key = certificate.public_key().raw == key.subject_public_key_info();
    let validity = certificate.validity();
    (is_its_key && is_signed(&certificate, bundle))
        .then(|| (validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn is_signed(certificate: &X509Certificate<'_>, bundle: &str) -> bool {
    Pem::iter_from_buffer(bundle.as_bytes()).flatten().any(|pem| {
        X509Certificate::from_der(&pem.contents).is_ok_and(|(_, authority)| {
            authority.subject() == certificate.issuer()
                && certificate.verify_signature(Some(authority.public_key())).is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn later(days: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() + days * DAY_SECONDS).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let authority = authority("test", now()).unwrap();
        let leaf = leaf(&authority, Usage::Client("x"), now()).unwrap();
        let judge = |pair, days| judge(pair, &authority.certificate, later(days));
        for (pair, days) in [(&leaf, LEAF_DAYS), (&authority, AUTHORITY_DAYS)] {
            let end = later(days).as_second();
            assert_eq!(judge(pair, 0), Verdict::Keep { not_after: end });
            assert_eq!(judge(pair, days * 2 / 3 - 1), Verdict::Keep { not_after: end });
            assert_eq!(judge(pair, days * 2 / 3 + 1), Verdict::Renew);
            assert_eq!(judge(pair, days + 1), Verdict::Useless);
            assert_eq!(judge(pair, -1), Verdict::Useless, "from before it was made");
        }
    }

    #[test]
    fn what_is_broken_or_of_others_is_useless() {
        let ours = authority("test", now()).unwrap();
        let others = authority("test", now()).unwrap();
        let a = leaf(&ours, Usage::Client("x"), now()).unwrap();
        let b = leaf(&others, Usage::Client("x"), now()).unwrap();
        let mixed = Pair { certificate: a.certificate.clone(), key: b.key.clone() };
        let broken = Pair { certificate: "no".into(), ..a.clone() };
        for pair in [&b, &mixed, &broken] {
            assert_eq!(judge(pair, &ours.certificate, now()), Verdict::Useless);
        }
        let both = format!("{}{}", others.certificate, ours.certificate);
        assert!(matches!(judge(&a, &both, now()), Verdict::Keep { .. }), "the second of a bundle");
    }
}
