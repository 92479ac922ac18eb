//! Whom the harness believes to be the gateway: the one certificate whose SHA-256 the gateway's log prints, as a person would
//! compare it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::content;
use crate::suites::context::Context;
use crate::suites::report::PRODUCT_NAMESPACE;

const GATEWAY_POD: &str = "workspacefs-dashboard-0";
/// What is read of the gateway's log: it prints the SHA-256 when it starts.
const LOG_START_BYTES: i64 = 256 << 10;

/// What the gateway has printed of its certificate since it began.
pub async fn printed(context: &Context) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
    let start = LogParams { limit_bytes: Some(LOG_START_BYTES), ..LogParams::default() };
    let log = pods.logs(GATEWAY_POD, &start).await?;
    fingerprint_in(&log).with_context(|| format!("its log prints no sha256: {log}"))
}

/// The value of `sha256`, wherever a line of JSON has it: 32 bytes, `AB:CD:...`.
fn fingerprint_in(log: &str) -> Option<String> {
    let text = log.split_once("\"sha256\":\"")?.1;
    let value = text.split('"').next()?;
    (value.len() == 32 * 3 - 1).then(|| value.to_owned())
}

/// A client that believes that certificate.
pub fn believing(fingerprint: &str) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned { provider: provider.clone(), digest: fingerprint.replace(':', "").to_lowercase() };
    ensure!(verifier.digest.len() == 64, "{fingerprint:?} is no SHA-256");
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// Believes one certificate, whatever it says of itself.
#[derive(Debug)]
struct Pinned {
    provider: Arc<CryptoProvider>,
    digest: String,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if content::digest(certificate) == self.digest {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_found_in_the_log() {
        let sha256 = vec!["AB"; 32].join(":");
        let log = format!("{{\"a\":1}}\n{{\"message\":\"made\",\"sha256\":\"{sha256}\"}}\n");
        assert_eq!(fingerprint_in(&log).as_deref(), Some(sha256.as_str()));
        assert_eq!(fingerprint_in("\"sha256\":\"short\""), None);
        assert!(believing(&sha256).is_ok() && believing("AB:CD").is_err());
    }
}
