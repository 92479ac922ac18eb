//! Mutual TLS between the agent and its two callers. The operator makes the certificates and keeps them in Secrets; each
//! process finds its own as three PEM files in one folder.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// The name in the agent's certificate. Callers reach it by address, and check for this name.
pub const SERVER_NAME: &str = "workspacefs-nfs-agent";
/// The authority's certificate.
pub const AUTHORITY_FILE: &str = "ca.crt";
/// The process's own certificate, as in a Secret of type kubernetes.io/tls.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// Its key.
pub const KEY_FILE: &str = "tls.key";

/// Time for a connection, and for an answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// What one end shows and whom it believes, in PEM.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// Certificate of the authority that both ends believe.
    pub authority: String,
    /// Own certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Credentials {
    /// Without the key: it must stand in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// The three files of a folder.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let read = |name| fs::read_to_string(folder.join(name));
        Ok(Self {
            authority: read(AUTHORITY_FILE)?,
            certificate: read(CERTIFICATE_FILE)?,
            key: read(KEY_FILE)?,
        })
    }

    /// For the agent: only callers with a certificate of the same authority are let in.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .client_ca_root(Certificate::from_pem(&self.authority))
    }

    /// For a caller: how to reach the agent at `host` (an address or a name).
    ///
    /// # Errors
    /// `host` or the certificates are malformed.
    pub fn endpoint(&self, host: &str) -> Result<Endpoint, tonic::transport::Error> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .domain_name(SERVER_NAME);
        Ok(Endpoint::from_shared(format!("https://{host}:{}", crate::PORT))?
            .tls_config(tls)?
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX))
    }
}
