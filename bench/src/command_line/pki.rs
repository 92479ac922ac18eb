//! An authority of the run, and the certificates that it signs: the gateway's, and that of the file API, which the gateway knows by the
//! FileSystem's uid.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};

/// See the module.
pub struct Pki {
    /// Its own certificate, PEM.
    pub authority: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    /// The one.
    pub certificate: String,
    /// The other.
    pub key: String,
}

impl Pki {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        Ok(Self { authority, issuer: Issuer::new(params, key) })
    }

    /// The certificate of a server of that name.
    ///
    /// # Errors
    /// It is no name.
    pub fn leaf(&self, name: &str) -> Result<Pair> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        // OpenSSL, which the real client has, takes one that is named as its authority for self-signed.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}
