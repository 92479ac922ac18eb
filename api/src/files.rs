//! The names and ports by which operator, gateway and the pods of `files` find each other (ADR 18): nothing of it is told
//! by one to the other, so it stands here once.

/// Where `files` serves its API, over TLS.
pub const FILES_PORT: u16 = 8443;
/// Where `files` serves its metrics.
pub const FILES_METRICS_PORT: u16 = 8080;
/// The Secret of a workspace with the certificates of its FileSystems: [`certificate_entry`], [`key_entry`].
pub const FILES_SECRET: &str = "workspacefs-files";
/// The ConfigMap with the certificates of those who signed these, in the operator's namespace.
pub const FILES_CA_CONFIG_MAP: &str = "workspacefs-files-ca";
/// Its one entry: PEM, several during a change.
pub const FILES_CA_FILE: &str = "ca.crt";
/// The Secret with the gateway's signing key, in the operator's namespace.
pub const GATEWAY_SECRET: &str = "workspacefs-gateway";
/// Its one entry: an Ed25519 key, PKCS#8, PEM.
pub const SIGNING_KEY_FILE: &str = "signing-key.pem";
/// Where the rsync daemon beside `files` serves its metrics.
pub const RSYNC_METRICS_PORT: u16 = 8081;
/// Where the rsync daemon is reached past the gateway, in clear text, if that is switched on.
pub const RSYNC_PORT: u16 = 8873;
/// The folder that `files` and its rsync daemon share: a socket and a secret, in memory.
pub const RSYNC_FOLDER: &str = "/run/rsync";
/// Annotation of a FileSystem: with another value its rsync daemon gets another secret at once, and what runs by the old one ends.
pub const RENEW_RSYNC_SECRET_ANNOTATION: &str = "files.workspacefs.io/renew-rsync-secret";
/// What the names of Deployment, Service and NetworkPolicy begin with.
const PREFIX: &str = "files-";
/// A Service's name is a DNS label.
const SERVICE_NAME_BYTES_MAX: usize = 63;

/// The name of a FileSystem's Deployment, Service and NetworkPolicy: `files-<name>`, or `files-<uid>` where that is too
/// long for a Service.
pub fn object_name(file_system: &str, uid: &str) -> String {
    let fits = PREFIX.len() + file_system.len() <= SERVICE_NAME_BYTES_MAX;
    format!("{PREFIX}{}", if fits { file_system } else { uid })
}

/// The name in the certificate of a FileSystem's `files`. By the uid: one that is deleted and made again under its old name
/// is another.
pub fn tls_name(uid: &str) -> String {
    format!("{uid}.files.workspacefs.io")
}

/// The entry of [`FILES_SECRET`] with a FileSystem's certificate, PEM.
pub fn certificate_entry(uid: &str) -> String {
    format!("{uid}.crt")
}

/// The entry of [`FILES_SECRET`] with the key of that certificate, PKCS#8, PEM.
pub fn key_entry(uid: &str) -> String {
    format!("{uid}.key")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn every_name_of_a_file_system_makes_a_name_that_a_service_can_have() {
        assert_eq!(object_name("data", UID), "files-data");
        let longest = "a".repeat(57);
        assert_eq!(object_name(&longest, UID), format!("files-{longest}"));
        for length in 58..=63 {
            assert_eq!(object_name(&"a".repeat(length), UID), format!("files-{UID}"));
        }
    }
}
