//! Who may talk to the API server: an authority made for each start, the server's certificates, the key that signs
//! service account tokens, and one fixed token per user.

use crate::config::Layout;
use crate::topology::{API_PORT, API_SERVICE, GATEWAY, workers};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why credentials cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A key or certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A file.
    #[error("cannot use {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The users with a token and a kubeconfig, and the groups each is in.
fn users() -> Vec<(String, String, &'static str)> {
    let user = |name: &str, user: &str, groups| (name.to_owned(), user.to_owned(), groups);
    let mut users = vec![
        user("admin", "admin", "system:masters"),
        // Nobody gave this one any right.
        user("nobody", "nobody", ""),
        user("kube-controller-manager", "system:kube-controller-manager", ""),
        user("kube-scheduler", "system:kube-scheduler", ""),
        user("kube-proxy", "system:kube-proxy", ""),
    ];
    for plan in workers() {
        users.push(user(plan.name, &format!("system:node:{}", plan.name), "system:nodes"));
    }
    users
}

/// Paths of what [`create`] wrote.
#[derive(Debug, Clone)]
pub struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// The files in the cluster's folder.
    pub fn of(layout: &Layout) -> Credentials {
        Credentials { folder: layout.credentials() }
    }

    /// A file by its name, see [`create`].
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The content of a file by its name.
    pub fn read(&self, name: &str) -> Result<String, CredentialsError> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(|source| CredentialsError::File { path, source })
    }
}

/// Writes fresh credentials: `ca.crt`, `apiserver.{crt,key}`, `kubelet-client.{crt,key}`, `<node>.{crt,key}` for each
/// kubelet's server, `service-accounts.{key,pub}`, `tokens.csv`, and a kubeconfig per user.
pub fn create(layout: &Layout) -> Result<Credentials, CredentialsError> {
    let credentials = Credentials::of(layout);
    let (authority, ca) = authority()?;
    write(&credentials.file("ca.crt"), &ca)?;
    let server_names = [
        GATEWAY.to_string(),
        API_SERVICE.to_string(),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
    ];
    let server =
        issue(&authority, "kube-apiserver", None, &server_names, ExtendedKeyUsagePurpose::ServerAuth)?;
    write(&credentials.file("apiserver.crt"), &server.0)?;
    write(&credentials.file("apiserver.key"), &server.1)?;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let kubelet = issue(&authority, "kube-apiserver-kubelet-client", Some("system:masters"), &[], client)?;
    write(&credentials.file("kubelet-client.crt"), &kubelet.0)?;
    write(&credentials.file("kubelet-client.key"), &kubelet.1)?;
    for plan in workers() {
        let names = [plan.address().to_string(), plan.name.to_owned()];
        let kubelet = issue(&authority, plan.name, None, &names, ExtendedKeyUsagePurpose::ServerAuth)?;
        write(&credentials.file(&format!("{}.crt", plan.name)), &kubelet.0)?;
        write(&credentials.file(&format!("{}.key", plan.name)), &kubelet.1)?;
    }
    let accounts = KeyPair::generate()?;
    write(&credentials.file("service-accounts.key"), &accounts.serialize_pem())?;
    write(&credentials.file("service-accounts.pub"), &accounts.public_key_pem())?;
    let mut tokens = String::new();
    for (name, user, groups) in users() {
        let token = random_token()?;
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        write(&layout.kubeconfig(&name), &kubeconfig(&name, &token, &ca))?;
    }
    write(&credentials.file("tokens.csv"), &tokens)?;
    Ok(credentials)
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "workspacefs test cluster");
    let certificate = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), certificate))
}

/// Certificate and key, both PEM.
fn issue(
    authority: &Issuer<'static, KeyPair>,
    name: &str,
    group: Option<&str>,
    names: &[String],
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

/// A kubeconfig as JSON, which is YAML too. The authority's certificate goes in as it is: no second file to carry.
fn kubeconfig(user: &str, token: &str, ca: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "workspacefs", "cluster": {
            "server": format!("https://{GATEWAY}:{API_PORT}"),
            "certificate-authority-data": base64(ca.as_bytes()),
        }}],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{ "name": "workspacefs", "context": { "cluster": "workspacefs", "user": user } }],
        "current-context": "workspacefs",
    });
    format!("{config:#}\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

fn random_token() -> Result<String, CredentialsError> {
    let path = PathBuf::from("/dev/urandom");
    let mut bytes = [0u8; 16];
    let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|source| CredentialsError::File { path, source })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only root may read.
fn write(path: &Path, content: &str) -> Result<(), CredentialsError> {
    let write = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, content.as_bytes())
    };
    write().map_err(|source| CredentialsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_standards_examples() {
        let examples = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in examples {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn each_user_has_a_kubeconfig_whose_token_is_in_the_token_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = crate::ClusterConfig::new("t", folder.path()).unwrap();
        let credentials = create(&config.layout()).unwrap();
        let tokens = fs::read_to_string(credentials.file("tokens.csv")).unwrap();
        for (name, user, _) in users() {
            let text = fs::read_to_string(config.layout().kubeconfig(&name)).unwrap();
            let config: serde_json::Value = serde_json::from_str(&text).unwrap();
            let token = config["users"][0]["user"]["token"].as_str().unwrap();
            assert!(
                tokens.lines().any(|line| line.starts_with(&format!("{token},{user},{user},"))),
                "{user}"
            );
        }
    }
}
