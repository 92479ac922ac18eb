//! The token that goes with each request: where it comes from, and how a new one is had when it is not accepted any more.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::{Body, ConfigExt};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use tokio::sync::Mutex;
use tower::{BoxError, Layer, ServiceExt};
use workspacefs_api::TOKEN_AUDIENCE;
use zeroize::Zeroizing;

/// How long it is good; it is renewed when it is refused.
const ACCOUNT_SECONDS: i64 = 3600;

/// Where a token comes from.
pub enum Source {
    /// It was handed over, and there is no other.
    Fixed(Zeroizing<String>),
    /// A file, which something else may renew.
    File(PathBuf),
    /// A context of the kubeconfig: static, a file, an exec plugin. None is a pod's own account.
    Context(Option<KubeConfigOptions>),
    /// Requested for a ServiceAccount.
    Account {
        /// As whom it is requested.
        client: Client,
        /// Of the ServiceAccount.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// A source, and what it gave last.
pub struct Token {
    source: Source,
    last: Mutex<Option<HeaderValue>>,
}

impl Token {
    /// Nothing is fetched yet.
    pub fn new(source: Source) -> Self {
        Self { source, last: Mutex::new(None) }
    }

    /// One that its source has just given.
    pub fn known(source: Source, header: HeaderValue) -> Self {
        Self { source, last: Mutex::new(Some(header)) }
    }

    /// The value of `Authorization`.
    ///
    /// # Errors
    /// The source has none.
    pub async fn header(&self) -> Result<HeaderValue> {
        let mut last = self.last.lock().await;
        if let Some(header) = &*last {
            return Ok(header.clone());
        }
        let header = self.source.fetch().await?;
        *last = Some(header.clone());
        Ok(header)
    }

    /// Another one than `refused`; none if the source has no other. Of many that ask at once, one fetches.
    ///
    /// # Errors
    /// The source fails.
    pub async fn renewed(&self, refused: &HeaderValue) -> Result<Option<HeaderValue>> {
        let mut last = self.last.lock().await;
        if let Some(header) = last.as_ref().filter(|header| *header != refused) {
            return Ok(Some(header.clone()));
        }
        let header = self.source.fetch().await?;
        *last = Some(header.clone());
        Ok(Some(header).filter(|header| header != refused))
    }
}

impl Source {
    async fn fetch(&self) -> Result<HeaderValue> {
        match self {
            Self::Fixed(token) => bearer(token),
            Self::File(path) => {
                let token = fs::read_to_string(path).map(Zeroizing::new);
                bearer(&token.with_context(|| format!("cannot read the token in {}", path.display()))?)
            }
            Self::Context(options) => {
                let config = match options {
                    Some(options) => {
                        Config::from_kubeconfig(options).await.context("cannot use the kubeconfig")?
                    }
                    None => Config::infer().await.context("cannot use the pod's account")?,
                };
                of_context(&config).await?.context("the context has no token any more")
            }
            Self::Account { client, namespace, name } => account(client, namespace, name).await,
        }
    }
}

/// The token that the context sends to the API server; none if it shows a certificate or a password instead.
///
/// # Errors
/// The plugin fails, or a file cannot be read.
pub async fn of_context(config: &Config) -> Result<Option<HeaderValue>> {
    let layer = config.auth_layer().context("the context's credentials cannot be used")?;
    let Some(layer) = layer else { return Ok(None) };
    // kube keeps its tokens to itself: it is asked to sign a request that goes nowhere.
    let signed = layer.layer(tower::service_fn(|request: Request<Body>| async move {
        let mut echo = Response::new(());
        *echo.headers_mut() = request.headers().clone();
        Ok::<_, BoxError>(echo)
    }));
    // Boxed: the compiler cannot see through all its layers that it may go from thread to thread.
    let signed: BoxFuture<'static, Result<Response<()>, BoxError>> =
        Box::pin(signed.oneshot(Request::new(Body::empty())));
    let echo = signed.await;
    let echo = echo.map_err(anyhow::Error::from_boxed).context("the context has no token")?;
    let header = echo.headers().get(AUTHORIZATION).cloned();
    Ok(header.filter(|header| header.as_bytes().starts_with(b"Bearer ")))
}

async fn account(client: &Client, namespace: &str, name: &str) -> Result<HeaderValue> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        audiences: vec![TOKEN_AUDIENCE.into()],
        expiration_seconds: Some(ACCOUNT_SECONDS),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let made = made.with_context(|| format!("no token for ServiceAccount {namespace}/{name}"))?;
    bearer(&made.status.context("the API server gave no token")?.token)
}

/// The header of a token.
///
/// # Errors
/// It is empty, or no token.
pub fn bearer(token: &str) -> Result<HeaderValue> {
    let token = token.trim();
    if token.is_empty() {
        bail!("the token is empty");
    }
    let header = Zeroizing::new(format!("Bearer {token}"));
    let mut header =
        HeaderValue::from_str(&header).ok().context("the token is none: it has other characters")?;
    header.set_sensitive(true);
    Ok(header)
}
