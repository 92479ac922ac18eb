//! The gateway from outside: its Service, believed by the SHA-256 that its log prints; somebody who comes with a token, a session or
//! nothing; and the files of one FileSystem.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::LogParams;
use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Value, json};

use super::content;
use crate::suites::context::Context;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{patient, seconds, until};

/// The gateway's StatefulSet, its one pod, and its Service.
pub const GATEWAY: &str = "workspacefs-dashboard";
const GATEWAY_POD: &str = "workspacefs-dashboard-0";
/// Of the Service's ports, the one for everybody.
const PORT: &str = "https";
/// Time for an answer that is not to be watched while it comes.
const ANSWER_TIME_MAX: Duration = seconds(60);
/// What is read of the gateway's log: it prints the SHA-256 when it starts.
const LOG_START_BYTES: i64 = 256 << 10;

/// The gateway.
#[derive(Clone)]
pub struct Door {
    client: Client,
    config: Arc<ClientConfig>,
    address: SocketAddr,
    fingerprint: String,
}

/// By what a visitor is known.
#[derive(Clone)]
enum Pass {
    Nobody,
    Token(String),
    Session { cookie: String, csrf: String },
}

/// Somebody at the gateway.
#[derive(Clone)]
pub struct Visitor {
    door: Door,
    pass: Pass,
}

/// The files of one FileSystem, as a visitor reaches them.
#[derive(Clone)]
pub struct Files {
    visitor: Visitor,
    base: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Of HTTP.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Vec<u8>,
}

impl Door {
    /// The gateway of the release, once it serves.
    pub async fn of(context: &Context) -> Result<Door> {
        let services: Api<Service> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
        let spec = services.get(GATEWAY).await?.spec.context("the gateway's Service has no spec")?;
        let ip: IpAddr = spec.cluster_ip.context("it has no address")?.parse()?;
        let ports = spec.ports.unwrap_or_default();
        let port = ports.iter().find(|port| port.name.as_deref() == Some(PORT));
        let port = u16::try_from(port.context("it has no port https")?.port)?;
        let look = || async {
            let door = Door::at(SocketAddr::new(ip, port), &printed(context).await?)?;
            let answer = door.nobody().get("healthz").await?;
            ensure!(answer.status == 200, "it answers {}", answer.status);
            Ok(door)
        };
        until("the gateway serves", seconds(120), look).await
    }

    fn at(address: SocketAddr, fingerprint: &str) -> Result<Door> {
        let config = Arc::new(believing(fingerprint)?);
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(patient(seconds(10)))
            .tls_backend_preconfigured(ClientConfig::clone(&config))
            .build()?;
        Ok(Door { client, config, address, fingerprint: fingerprint.to_owned() })
    }

    /// The same gateway, with the same certificate, where somebody forwards to it.
    pub fn behind(&self, address: SocketAddr) -> Result<Door> {
        Door::at(address, &self.fingerprint)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-256 of its certificate, as it prints it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Somebody without anything.
    pub fn nobody(&self) -> Visitor {
        Visitor { door: self.clone(), pass: Pass::Nobody }
    }

    /// Somebody with a token.
    pub fn with(&self, token: &str) -> Visitor {
        Visitor { door: self.clone(), pass: Pass::Token(token.to_owned()) }
    }

    /// Tries a login as a browser does it.
    pub async fn try_log_in(&self, token: &str) -> Result<Answer> {
        self.nobody().post("login", &json!({ "token": token })).await
    }

    /// Logs in as a browser does it: the answer, and somebody with the session's cookie.
    pub async fn log_in(&self, token: &str) -> Result<(Answer, Visitor)> {
        let answer = self.try_log_in(token).await?.expect(200)?;
        let cookie = answer.header(SET_COOKIE.as_str()).split(';').next().unwrap_or_default().to_owned();
        let csrf = answer.json()?["csrf"].as_str().context("no csrf")?.to_owned();
        ensure!(!csrf.is_empty() && cookie.len() > "__Host-wfs=".len(), "the session is empty: {answer:?}");
        let pass = Pass::Session { cookie, csrf };
        Ok((answer, Visitor { door: self.clone(), pass }))
    }

    /// Sends a request line that no library has looked at, as somebody with this token.
    pub async fn ask_raw(&self, context: &Context, line: &str, token: &str) -> Result<(u16, String)> {
        let (address, config) = (self.address, self.config.clone());
        let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
        context.blocking(move |_| super::raw::ask(address, config, &head)).await
    }
}

impl Visitor {
    /// The same one, who does not say what a page of the gateway's own would say with every change.
    pub fn without_csrf(&self) -> Visitor {
        let pass = match &self.pass {
            Pass::Session { cookie, .. } => {
                Pass::Session { cookie: cookie.clone(), csrf: "forged".to_owned() }
            }
            other => other.clone(),
        };
        Visitor { door: self.door.clone(), pass }
    }

    /// The session's cookie, `__Host-wfs=...`; of nobody else there is one.
    pub fn cookie(&self) -> Option<&str> {
        match &self.pass {
            Pass::Session { cookie, .. } => Some(cookie),
            Pass::Nobody | Pass::Token(_) => None,
        }
    }

    /// The files of a FileSystem.
    pub fn files(&self, workspace: &str, file_system: &str) -> Files {
        let base = format!("workspaces/{workspace}/filesystems/{file_system}/api");
        Files { visitor: self.clone(), base }
    }

    /// A request with the visitor's pass, to be completed; `rest` is what follows `/wfs/v1/`.
    pub fn ask(&self, method: Method, rest: &str) -> RequestBuilder {
        let url = format!("https://{}/wfs/v1/{rest}", self.door.address);
        let request = self.door.client.request(method, url);
        match &self.pass {
            Pass::Nobody => request,
            Pass::Token(token) => request.bearer_auth(token),
            Pass::Session { cookie, csrf } => request.header("cookie", cookie).header("x-wfs-csrf", csrf),
        }
    }

    /// GET.
    pub async fn get(&self, rest: &str) -> Result<Answer> {
        answered(self.ask(Method::GET, rest)).await
    }

    /// POST of JSON.
    pub async fn post(&self, rest: &str, body: &Value) -> Result<Answer> {
        answered(with_json(self.ask(Method::POST, rest), body)).await
    }
}

impl Files {
    /// A request, to be completed; `rest` is what follows `/api/`, percent-encoded.
    pub fn ask(&self, method: Method, rest: &str) -> RequestBuilder {
        self.visitor.ask(method, &format!("{}/{rest}", self.base))
    }

    /// GET.
    pub async fn get(&self, rest: &str) -> Result<Answer> {
        answered(self.ask(Method::GET, rest)).await
    }

    /// PUT.
    pub async fn put(&self, rest: &str, body: impl Into<reqwest::Body>) -> Result<Answer> {
        answered(self.ask(Method::PUT, rest).body(body)).await
    }

    /// POST of JSON.
    pub async fn post(&self, rest: &str, body: &Value) -> Result<Answer> {
        answered(with_json(self.ask(Method::POST, rest), body)).await
    }

    /// DELETE.
    pub async fn delete(&self, rest: &str) -> Result<Answer> {
        answered(self.ask(Method::DELETE, rest)).await
    }

    /// The names in a folder with their entries, by name; of one page.
    pub async fn list(&self, folder: &str) -> Result<Vec<Value>> {
        let page = self.get(&format!("list/{folder}")).await?.expect(200)?.json()?;
        ensure!(page["next"].is_null(), "there is more than one page: {page}");
        Ok(page["entries"].as_array().context("no entries")?.clone())
    }
}

/// Sends a request and waits for all of the answer.
pub async fn answered(request: RequestBuilder) -> Result<Answer> {
    let response = request.timeout(patient(ANSWER_TIME_MAX)).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.context("the answer broke off")?.to_vec();
    Ok(Answer { status, headers, body })
}

fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}

impl Answer {
    /// Nothing but this status will do.
    pub fn expect(self, status: u16) -> Result<Answer> {
        ensure!(self.status == status, "{status} was expected: {}", self.words());
        Ok(self)
    }

    /// A refusal with this status and code; its message.
    pub fn refused(self, status: u16, code: &str) -> Result<String> {
        let body = self.expect(status)?.json()?;
        ensure!(body["code"] == code, "the code {code} was expected: {body}");
        let message = body["message"].as_str().unwrap_or_default();
        ensure!(message.len() > 3, "it says nothing to a person: {body}");
        Ok(message.to_owned())
    }

    /// The body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("this is no JSON: {}", self.words()))
    }

    /// The lines of a stream.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let text = std::str::from_utf8(&self.body)?;
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn words(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("it answers {} {}", self.status, body.chars().take(400).collect::<String>())
    }
}

/// A name, or a path, as it goes into a URL: every byte that could mean anything else is written as its number.
pub fn encoded(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    let one = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.iter().map(one).collect()
}

/// What the gateway has printed of its certificate since it began.
async fn printed(context: &Context) -> Result<String> {
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

fn believing(fingerprint: &str) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned { provider: provider.clone(), digest: fingerprint.replace(':', "").to_lowercase() };
    if verifier.digest.len() != 64 {
        bail!("{fingerprint:?} is no SHA-256");
    }
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
    fn every_byte_of_a_name_survives_a_url() {
        assert_eq!(encoded(b"a/b-c_9"), "a/b-c_9");
        assert_eq!(encoded(b"a b\n\"'%\\\xff."), "a%20b%0A%22%27%25%5C%FF%2E");
        let url = format!("https://h/{}", encoded(b"x/%2e%2e/ \\y"));
        assert_eq!(reqwest::Url::parse(&url).unwrap().as_str(), url);
    }

    #[test]
    fn the_certificate_is_found_in_the_log() {
        let sha256 = vec!["AB"; 32].join(":");
        let log = format!("{{\"a\":1}}\n{{\"message\":\"made\",\"sha256\":\"{sha256}\"}}\n");
        assert_eq!(fingerprint_in(&log).as_deref(), Some(sha256.as_str()));
        assert_eq!(fingerprint_in("\"sha256\":\"short\""), None);
        assert!(believing(&sha256).is_ok() && believing("AB:CD").is_err());
    }
}
