//! Which certificate the gateway may show.

use std::fs;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trust {
    /// This machine's authorities.
    System,
    /// Those of a file in PEM, and no others.
    File(String),
    /// The one certificate with this SHA-256, as the gateway prints it when it makes its own.
    Pinned([u8; 32]),
    /// Any. Only where the stream itself leads to the right pod: the API server, whose certificate was verified, hands it to
    /// that pod's kubelet; who can change that can change the pod.
    Forwarded,
}

/// Why there is nothing to believe.
#[derive(Debug, Error)]
pub enum TrustError {
    /// `sha256:` and no hash.
    #[error("{0:?} is no SHA-256: sha256: and 64 hexadecimal digits")]
    Pin(String),
    /// The file.
    #[error("cannot read the authorities in {0}")]
    Read(String, #[source] std::io::Error),
    /// Its content.
    #[error("{0} holds no certificates in PEM")]
    Pem(String),
    /// rustls.
    #[error("cannot set up TLS")]
    Tls(#[from] Error),
    /// webpki.
    #[error("cannot use the authorities")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl Trust {
    /// From `WFS_CA`: a file, or `sha256:HEX`; colons between the digits are let through, as openssl prints them.
    ///
    /// # Errors
    /// [`TrustError::Pin`].
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let Some(hash) = text.strip_prefix("sha256:") else { return Ok(Self::File(text.into())) };
        let digits: String = hash.chars().filter(|digit| *digit != ':').collect();
        let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        let pin = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        pin.map(Self::Pinned).ok_or_else(|| TrustError::Pin(text.into()))
    }

    /// For TLS.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::System => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?
            }
            Self::File(path) => {
                let roots = read(path)?;
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?
            }
            Self::Pinned(pin) => Arc::new(Certificate { pin: Some(*pin), provider: Arc::clone(&provider) }),
            Self::Forwarded => Arc::new(Certificate { pin: None, provider: Arc::clone(&provider) }),
        };
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth())
    }
}

fn read(path: &str) -> Result<RootCertStore, TrustError> {
    let pem = fs::read(path).map_err(|error| TrustError::Read(path.into(), error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| TrustError::Pem(path.into()))?;
        roots.add(certificate).map_err(|_| TrustError::Pem(path.into()))?;
    }
    if roots.is_empty() { Err(TrustError::Pem(path.into())) } else { Ok(roots) }
}

/// Believes a certificate for what it is, whoever signed it: its holder still has to have its key.
#[derive(Debug)]
struct Certificate {
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Certificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: [u8; 32] = Sha256::digest(end_entity).into();
        if self.pin.is_none_or(|pin| pin == shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_whole_hash_and_anything_else_a_file() {
        let hex = "ab".repeat(32);
        assert_eq!(Trust::parse(&format!("sha256:{hex}")).unwrap(), Trust::Pinned([0xab; 32]));
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(Trust::parse(&format!("sha256:{colons}")).unwrap(), Trust::Pinned([0xab; 32]));
        for bad in ["sha256:", "sha256:ab", &format!("sha256:{hex}0"), &format!("sha256:{}", "é".repeat(32))]
        {
            assert!(Trust::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Trust::parse("/etc/ca.pem").unwrap(), Trust::File("/etc/ca.pem".into()));
        assert!(Trust::File("/nonexistent".into()).config().is_err());
    }
}
