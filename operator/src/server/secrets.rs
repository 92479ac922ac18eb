//! The three Secrets with the certificates of the embedded server: made when they are missing, renewed in time, and never
//! anybody else's. What is in them goes to the one who asks the agent, and nowhere else: into no log, no status, no Event.
//!
//! An authority is renewed years before its end. `ca.crt` then holds the new one and the old one, and what the old one signed
//! stays until its own time comes: at no moment does a process meet a certificate of an authority that it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use workspacefs_agent_proto::tls::{AUTHORITY_FILE, CERTIFICATE_FILE, Credentials, KEY_FILE, SERVER_NAME};
use workspacefs_runtime::CancellationToken;

use super::certificates::{self, CertificateError, Pair, Usage, Verdict};
use crate::FIELD_MANAGER;
use crate::error::chain;
use crate::filesystem::own::MANAGED_BY;
use crate::metrics::{CertificateLabels, Metrics};

/// The authority's Secret. No pod mounts it.
pub const AUTHORITY: &str = "workspacefs-nfs-authority";
/// The agent's.
pub const SERVER: &str = "workspacefs-nfs-tls";
/// The operator's and the CSI controller's.
pub const CLIENT: &str = "workspacefs-nfs-client";

/// Certificates end slowly; this is for Secrets that somebody deleted.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// After a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);
const KIND: &str = "kubernetes.io/tls";

/// What is known of our own certificate.
pub type Known = Result<Credentials, String>;

/// Why the Secrets are not as they should be.
#[derive(Debug, Error)]
pub enum SecretError {
    /// There is one of that name that we did not make.
    #[error(
        "Secret {0} was not made by workspacefs: it is left alone. Delete it, or give it another name, and it is made"
    )]
    Foreign(&'static str),
    /// The API server refused, or did not answer.
    #[error("cannot {verb} Secret {name}")]
    Api {
        /// What was being done.
        verb: &'static str,
        /// With which.
        name: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error("cannot fill Secret {0}")]
    Certificate(&'static str, #[source] CertificateError),
}

/// Keeps the Secrets until `shutdown`, and tells `known` what the client's holds.
pub async fn keep(
    client: Client,
    namespace: &str,
    metrics: &Metrics,
    known: watch::Sender<Known>,
    shutdown: CancellationToken,
) {
    let keeper = Keeper { api: Api::namespaced(client, namespace), metrics };
    loop {
        let (found, wait) = match keeper.ensure(Timestamp::now()).await {
            Ok(credentials) => (Ok(credentials), LOOK_AGAIN),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the embedded server's certificates");
                (Err(chain(&error)), TRY_AGAIN)
            }
        };
        // A failure to look again does not make what we have useless.
        known.send_if_modified(|known| {
            let newer = found.is_ok() || known.is_err();
            let changed = newer && *known != found;
            if changed {
                *known = found;
            }
            changed
        });
        tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => return }
    }
}

/// Makes Secrets of the operator's own namespace, and keeps them.
pub(crate) struct Keeper<'a> {
    /// Those of the namespace.
    pub api: Api<Secret>,
    /// When certificates end is told here.
    pub metrics: &'a Metrics,
}

/// What a Secret with a certificate holds.
#[derive(Clone)]
pub(crate) struct Content {
    /// Its own certificate.
    pub pair: Pair,
    /// Those of the authorities to be believed.
    pub bundle: String,
}

impl Keeper<'_> {
    /// Brings all three into order; the client's credentials.
    async fn ensure(&self, now: Timestamp) -> Result<Credentials, SecretError> {
        let authority = self.authority(AUTHORITY, now).await?;
        self.leaf(SERVER, Usage::Server(SERVER_NAME), &authority, now).await?;
        let client = self.leaf(CLIENT, Usage::Client(CLIENT), &authority, now).await?;
        Ok(Credentials {
            authority: client.bundle,
            certificate: client.pair.certificate,
            key: client.pair.key,
        })
    }

    /// The authority in the Secret of that name, renewed in time.
    pub(crate) async fn authority(&self, name: &'static str, now: Timestamp) -> Result<Content, SecretError> {
        let found = self.read(name).await?;
        let content = found.as_ref().and_then(content);
        let verdict = content
            .as_ref()
            .map_or(Verdict::Useless, |c| certificates::judge(&c.pair, &c.pair.certificate, now));
        let previous = match (content, verdict) {
            (Some(content), Verdict::Keep { .. }) => {
                self.tell(name, &content, now);
                return Ok(content);
            }
            (Some(content), Verdict::Renew) => content.pair.certificate,
            _ => String::new(),
        };
        let made =
            certificates::authority(name, now).map_err(|error| SecretError::Certificate(name, error))?;
        let content = Content { bundle: format!("{}{previous}", made.certificate), pair: made };
        self.write(name, found, KIND, entries(&content)).await?;
        self.tell(name, &content, now);
        Ok(content)
    }

    async fn leaf(
        &self,
        name: &'static str,
        usage: Usage<'_>,
        authority: &Content,
        now: Timestamp,
    ) -> Result<Content, SecretError> {
        let found = self.read(name).await?;
        let held = found.as_ref().and_then(content);
        let verdict =
            held.as_ref().map_or(Verdict::Useless, |c| certificates::judge(&c.pair, &authority.bundle, now));
        let content = match (held, verdict) {
            (Some(content), Verdict::Keep { .. }) => {
                if content.bundle == authority.bundle {
                    self.tell(name, &content, now);
                    return Ok(content);
                }
                Content { bundle: authority.bundle.clone(), ..content }
            }
            _ => {
                let pair = certificates::leaf(&authority.pair, usage, now)
                    .map_err(|error| SecretError::Certificate(name, error))?;
                Content { pair, bundle: authority.bundle.clone() }
            }
        };
        self.write(name, found, KIND, entries(&content)).await?;
        self.tell(name, &content, now);
        Ok(content)
    }

    /// When it ends, for whoever watches.
    fn tell(&self, certificate: &'static str, content: &Content, now: Timestamp) {
        if let Verdict::Keep { not_after } = certificates::judge(&content.pair, &content.bundle, now) {
            self.metrics.certificates.get_or_create(&CertificateLabels { certificate }).set(not_after);
        }
    }

    /// The Secret, if it is there and ours.
    pub(crate) async fn read(&self, name: &'static str) -> Result<Option<Secret>, SecretError> {
        let found = self.api.get_opt(name).await.map_err(failed("read", name))?;
        match found {
            Some(secret) if !is_ours(&secret) => Err(SecretError::Foreign(name)),
            found => Ok(found),
        }
    }

    /// Creates, or writes over exactly what was read: one that somebody made or changed meanwhile is a conflict.
    pub(crate) async fn write(
        &self,
        name: &'static str,
        found: Option<Secret>,
        kind: &str,
        data: BTreeMap<String, ByteString>,
    ) -> Result<(), SecretError> {
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let verb = if found.is_some() { "renew" } else { "make" };
        let written = match found {
            Some(found) => {
                let secret = Secret { data: Some(data), ..found };
                self.api.replace(name, &by_us, &secret).await
            }
            None => {
                let labels = BTreeMap::from([(MANAGED_BY.0.to_string(), MANAGED_BY.1.to_string())]);
                let metadata =
                    ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() };
                let secret =
                    Secret { metadata, data: Some(data), type_: Some(kind.into()), ..Secret::default() };
                self.api.create(&by_us, &secret).await
            }
        };
        written.map_err(failed(verb, name))?;
        tracing::info!(secret = name, "Secret {}", if verb == "make" { "made" } else { "renewed" });
        Ok(())
    }
}

fn failed(verb: &'static str, name: &'static str) -> impl FnOnce(kube::Error) -> SecretError {
    move |source| SecretError::Api { verb, name, source: Box::new(source) }
}

/// Whether we made this object.
pub(crate) fn is_ours(object: &impl ResourceExt) -> bool {
    object.labels().get(MANAGED_BY.0).is_some_and(|value| value == MANAGED_BY.1)
}

fn entries(content: &Content) -> BTreeMap<String, ByteString> {
    let data = [
        (AUTHORITY_FILE, &content.bundle),
        (CERTIFICATE_FILE, &content.pair.certificate),
        (KEY_FILE, &content.pair.key),
    ];
    data.into_iter().map(|(file, text)| (file.to_string(), ByteString(text.clone().into_bytes()))).collect()
}

fn content(secret: &Secret) -> Option<Content> {
    let data = secret.data.as_ref()?;
    let text = |file: &str| String::from_utf8(data.get(file)?.0.clone()).ok();
    let pair = Pair { certificate: text(CERTIFICATE_FILE)?, key: text(KEY_FILE)? };
    Some(Content { pair, bundle: text(AUTHORITY_FILE)? })
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use workspacefs_testkit::{FakeApi, builders};

    use super::*;

    const SPACE: &str = "system";
    const DAY: i64 = 86_400;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * DAY).unwrap()
    }

    async fn world() -> (FakeApi, Metrics) {
        let api = FakeApi::start().await;
        api.put(&builders::namespace(SPACE, &[]));
        (api, Metrics::register(&mut Registry::default()))
    }

    fn keeper<'a>(api: &FakeApi, metrics: &'a Metrics) -> Keeper<'a> {
        Keeper { api: Api::namespaced(api.client_as("t"), SPACE), metrics }
    }

    fn held(api: &FakeApi, name: &str) -> Content {
        content(&api.find::<Secret>("Secret", SPACE, name).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn all_three_are_made_once_and_then_only_read() {
        let (api, metrics) = world().await;
        let keeper = keeper(&api, &metrics);
        let first = keeper.ensure(at(0)).await.unwrap();
        assert!(keeper.ensure(at(1)).await.unwrap() == first);
        let writes = api.requests().into_iter().filter(workspacefs_testkit::Request::is_write).count();
        assert_eq!(writes, 3);
        for certificate in [AUTHORITY, SERVER, CLIENT] {
            let ends = metrics.certificates.get_or_create(&CertificateLabels { certificate }).get();
            assert!(ends >= at(365).as_second(), "{certificate}: {ends}");
        }
        let (server, authority) = (held(&api, SERVER), held(&api, AUTHORITY));
        assert!(server.bundle == authority.pair.certificate && first.authority == server.bundle);
        assert!(!server.bundle.contains("PRIVATE"), "the authority's key stays in its own Secret");
        let secret: Secret = api.find("Secret", SPACE, CLIENT).unwrap();
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    }

    #[tokio::test]
    async fn leaves_are_renewed_in_time_by_the_same_authority() {
        let (api, metrics) = world().await;
        let keeper = keeper(&api, &metrics);
        keeper.ensure(at(0)).await.unwrap();
        let (server, authority) = (held(&api, SERVER), held(&api, AUTHORITY));
        keeper.ensure(at(300)).await.unwrap();
        assert!(held(&api, SERVER).pair != server.pair);
        assert!(held(&api, AUTHORITY).pair == authority.pair);
    }

    #[tokio::test]
    async fn a_new_authority_comes_beside_the_old_one_whose_work_stays_good() {
        let (api, metrics) = world().await;
        let keeper = keeper(&api, &metrics);
        keeper.ensure(at(0)).await.unwrap();
        // Shortly before the authority is renewed, the leaves are.
        keeper.ensure(at(2400)).await.unwrap();
        let (leaf, old) = (held(&api, SERVER), held(&api, AUTHORITY));
        keeper.ensure(at(2440)).await.unwrap();
        let (after, new) = (held(&api, SERVER), held(&api, AUTHORITY));
        assert!(new.pair != old.pair && after.pair == leaf.pair);
        assert!(after.bundle == format!("{}{}", new.pair.certificate, old.pair.certificate));
        keeper.ensure(at(2400 + 300)).await.unwrap();
        let last = held(&api, SERVER);
        let signed_by = |authority: &Content| {
            certificates::judge(&last.pair, &authority.pair.certificate, at(2700)) != Verdict::Useless
        };
        assert!(signed_by(&new) && !signed_by(&old));
    }

    #[tokio::test]
    async fn a_foreign_secret_is_never_written_over() {
        for name in [AUTHORITY, SERVER, CLIENT] {
            let (api, metrics) = world().await;
            let theirs: Secret = builders::object(serde_json::json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": SPACE, "name": name},
                "type": "Opaque", "data": {"x": "eA=="},
            }));
            let theirs = api.put(&theirs);
            let refused = keeper(&api, &metrics).ensure(at(0)).await.err().unwrap();
            assert!(matches!(refused, SecretError::Foreign(foreign) if foreign == name), "{refused}");
            assert_eq!(api.find::<Secret>("Secret", SPACE, name).unwrap(), theirs);
        }
    }

    #[tokio::test]
    async fn a_damaged_or_lost_secret_is_made_anew() {
        let (api, metrics) = world().await;
        let keeper = keeper(&api, &metrics);
        keeper.ensure(at(0)).await.unwrap();
        api.edit("Secret", SPACE, SERVER, |secret| secret["data"]["tls.key"] = serde_json::json!("eA=="));
        api.delete("Secret", SPACE, CLIENT);
        keeper.ensure(at(1)).await.unwrap();
        let authority = held(&api, AUTHORITY);
        for name in [SERVER, CLIENT] {
            let verdict = certificates::judge(&held(&api, name).pair, &authority.bundle, at(1));
            assert!(matches!(verdict, Verdict::Keep { .. }), "{name}");
        }
        // Without its authority no certificate is worth anything.
        let before = held(&api, SERVER);
        api.delete("Secret", SPACE, AUTHORITY);
        keeper.ensure(at(2)).await.unwrap();
        assert!(held(&api, SERVER).pair != before.pair);
    }
}
