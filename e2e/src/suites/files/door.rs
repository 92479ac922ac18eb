//! The gateway from outside: its Service, believed by the SHA-256 that its log prints; somebody who comes with a token, a session or
//! nothing; and the files of one FileSystem.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use reqwest::header::SET_COOKIE;
use reqwest::{Client, Method, RequestBuilder};
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::answer::{Answer, answered, with_json};
use super::trust::{believing, printed};
use crate::suites::context::Context;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{patient, seconds, until};

/// The gateway's StatefulSet and its Service.
pub const GATEWAY: &str = "workspacefs-dashboard";
/// Of the Service's ports, the one for everybody.
const PORT: &str = "https";

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
