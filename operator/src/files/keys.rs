//! What the gateway and all `files` have in common, in the operator's own namespace: the authority that signs the
//! certificates of `files`, the ConfigMap by which the gateway believes them, and the key with which the gateway signs what it
//! asks. The operator keeps the halves together, so that neither side has to trust the other's word.
//!
//! The private keys go into their Secrets and nowhere else: into no log, no status, no Event. The authority's Secret is
//! mounted by no pod, the signing key's by the gateway alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{KeyPair, PKCS_ED25519};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use workspacefs_api::files::{FILES_CA_CONFIG_MAP, FILES_CA_FILE, GATEWAY_SECRET, SIGNING_KEY_FILE};
use workspacefs_runtime::CancellationToken;

use crate::FIELD_MANAGER;
use crate::error::chain;
use crate::filesystem::own::MANAGED_BY;
use crate::metrics::Metrics;
use crate::server::certificates::Pair;
use crate::server::secrets::{Keeper, SecretError, is_ours};

/// The authority's Secret. No pod mounts it.
pub const AUTHORITY: &str = "workspacefs-files-authority";
/// Certificates end slowly; this is for objects that somebody deleted.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// After a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);
const KIND: &str = "Opaque";

/// What the pods of `files` are given.
#[derive(Eq, PartialEq)]
pub struct Trust {
    /// Signs their certificates.
    pub authority: Pair,
    /// Whose certificates the gateway believes, PEM.
    pub bundle: String,
    /// Those of the gateway: 32 bytes each, in base64 (RFC 4648 §4).
    pub public_keys: Vec<String>,
}

/// What is known of it. None: it is being made.
pub type Known = Option<Result<Arc<Trust>, String>>;

/// Why it is not as it should be.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A Secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is a ConfigMap of that name that we did not make.
    #[error(
        "ConfigMap {FILES_CA_CONFIG_MAP} was not made by workspacefs: it is left alone. Delete it, and it is made"
    )]
    Foreign,
    /// The API server refused, or did not answer.
    #[error("cannot {0} ConfigMap {FILES_CA_CONFIG_MAP}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// The library refused.
    #[error("cannot make the gateway's key")]
    Key(#[source] rcgen::Error),
}

/// Keeps all of it until `shutdown`, and tells `known`.
pub async fn keep(
    client: Client,
    namespace: &str,
    metrics: &Metrics,
    known: watch::Sender<Known>,
    shutdown: CancellationToken,
) {
    let keys = Keys {
        secrets: Keeper { api: Api::namespaced(client.clone(), namespace), metrics },
        maps: Api::namespaced(client, namespace),
    };
    loop {
        let (found, wait) = match keys.ensure(Timestamp::now()).await {
            Ok(trust) => (Ok(Arc::new(trust)), LOOK_AGAIN),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the keys of files and gateway");
                (Err(chain(&error)), TRY_AGAIN)
            }
        };
        known.send_if_modified(|known| {
            // A failure to look again does not make what we have useless.
            let newer = found.is_ok() || !matches!(known, Some(Ok(_)));
            let changed = newer && known.as_ref() != Some(&found);
            if changed {
                *known = Some(found);
            }
            changed
        });
        tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => return }
    }
}

struct Keys<'a> {
    secrets: Keeper<'a>,
    maps: Api<ConfigMap>,
}

impl Keys<'_> {
    /// The ConfigMap before anybody hears of the authority: the gateway has to know it first.
    async fn ensure(&self, now: Timestamp) -> Result<Trust, KeysError> {
        let authority = self.secrets.authority(AUTHORITY, now).await?;
        self.publish(&authority.bundle).await?;
        let public_keys = vec![self.signing_key().await?];
        Ok(Trust { authority: authority.pair, bundle: authority.bundle, public_keys })
    }

    /// Has the gateway's key made, if it is not there or cannot be read; its public half.
    async fn signing_key(&self) -> Result<String, KeysError> {
        let found = self.secrets.read(GATEWAY_SECRET).await?;
        if let Some(public) = found.as_ref().and_then(public_key) {
            return Ok(public);
        }
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(KeysError::Key)?;
        let data =
            BTreeMap::from([(SIGNING_KEY_FILE.to_string(), ByteString(key.serialize_pem().into_bytes()))]);
        self.secrets.write(GATEWAY_SECRET, found, KIND, data).await?;
        Ok(STANDARD.encode(key.public_key_raw()))
    }

    async fn publish(&self, bundle: &str) -> Result<(), KeysError> {
        let failed = |verb| move |source| KeysError::Api(verb, Box::new(source));
        let found = self.maps.get_opt(FILES_CA_CONFIG_MAP).await.map_err(failed("read"))?;
        let data = BTreeMap::from([(FILES_CA_FILE.to_string(), bundle.to_string())]);
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match found {
            Some(map) if !is_ours(&map) => Err(KeysError::Foreign),
            Some(map) if map.data.as_ref() == Some(&data) => Ok(()),
            Some(map) => {
                // Of that very version: one that somebody changed meanwhile is a conflict.
                let map = ConfigMap { data: Some(data), ..map };
                self.maps.replace(FILES_CA_CONFIG_MAP, &by_us, &map).await.map(drop).map_err(failed("write"))
            }
            None => {
                let labels = BTreeMap::from([(MANAGED_BY.0.to_string(), MANAGED_BY.1.to_string())]);
                let name = Some(FILES_CA_CONFIG_MAP.to_string());
                let metadata = ObjectMeta { name, labels: Some(labels), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                self.maps.create(&by_us, &map).await.map(drop).map_err(failed("make"))
            }
        }
    }
}

/// The public half of the key in a Secret; None where that is no Ed25519 key.
fn public_key(secret: &Secret) -> Option<String> {
    let pem = secret.data.as_ref()?.get(SIGNING_KEY_FILE)?;
    let key = KeyPair::from_pem(std::str::from_utf8(&pem.0).ok()?).ok()?;
    (key.algorithm() == &PKCS_ED25519).then(|| STANDARD.encode(key.public_key_raw()))
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use workspacefs_testkit::{FakeApi, builders};

    use super::*;

    const SPACE: &str = "system";

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
    }

    async fn world() -> (FakeApi, Metrics) {
        let api = FakeApi::start().await;
        api.put(&builders::namespace(SPACE, &[]));
        (api, Metrics::register(&mut Registry::default()))
    }

    fn keys<'a>(api: &FakeApi, metrics: &'a Metrics) -> Keys<'a> {
        let client = api.client_as("t");
        let secrets = Keeper { api: Api::namespaced(client.clone(), SPACE), metrics };
        Keys { secrets, maps: Api::namespaced(client, SPACE) }
    }

    fn published(api: &FakeApi) -> String {
        let map: ConfigMap = api.find("ConfigMap", SPACE, FILES_CA_CONFIG_MAP).unwrap();
        map.data.unwrap()[FILES_CA_FILE].clone()
    }

    #[tokio::test]
    async fn all_is_made_once_and_the_public_halves_are_those_of_what_is_stored() {
        let (api, metrics) = world().await;
        let keys = keys(&api, &metrics);
        let trust = keys.ensure(at(0)).await.unwrap();
        assert!(keys.ensure(at(1)).await.unwrap() == trust);
        assert_eq!(api.requests().into_iter().filter(workspacefs_testkit::Request::is_write).count(), 3);
        assert_eq!(published(&api), trust.bundle);
        assert!(!trust.bundle.contains("PRIVATE"));
        assert_eq!(STANDARD.decode(&trust.public_keys[0]).unwrap().len(), 32);
        let secret: Secret = api.find("Secret", SPACE, GATEWAY_SECRET).unwrap();
        let pem = String::from_utf8(secret.data.unwrap()[SIGNING_KEY_FILE].0.clone()).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8, as the gateway reads it");
        assert_eq!(KeyPair::from_pem(&pem).unwrap().algorithm(), &PKCS_ED25519);
    }

    #[tokio::test]
    async fn a_lost_or_damaged_key_is_made_anew_and_a_changed_bundle_put_right() {
        let (api, metrics) = world().await;
        let keys = keys(&api, &metrics);
        let first = keys.ensure(at(0)).await.unwrap();
        api.edit("Secret", SPACE, GATEWAY_SECRET, |secret| {
            secret["data"][SIGNING_KEY_FILE] = serde_json::json!("eA==");
        });
        api.edit("ConfigMap", SPACE, FILES_CA_CONFIG_MAP, |map| {
            map["data"] = serde_json::json!({"ca.crt": "theirs"})
        });
        let second = keys.ensure(at(0)).await.unwrap();
        assert!(second.public_keys != first.public_keys && second.bundle == first.bundle);
        assert_eq!(published(&api), first.bundle);
        assert!(api.delete("Secret", SPACE, GATEWAY_SECRET));
        assert!(keys.ensure(at(0)).await.unwrap().public_keys != second.public_keys);
    }

    #[tokio::test]
    async fn at_the_turn_of_the_authority_the_gateway_believes_both() {
        let (api, metrics) = world().await;
        let keys = keys(&api, &metrics);
        let old = keys.ensure(at(0)).await.unwrap();
        let new = keys.ensure(at(2440)).await.unwrap();
        assert!(new.authority != old.authority && new.public_keys == old.public_keys);
        assert_eq!(published(&api), format!("{}{}", new.authority.certificate, old.authority.certificate));
    }

    #[tokio::test]
    async fn what_others_made_under_these_names_is_left_alone() {
        for (kind, name) in
            [("Secret", AUTHORITY), ("Secret", GATEWAY_SECRET), ("ConfigMap", FILES_CA_CONFIG_MAP)]
        {
            let (api, metrics) = world().await;
            let theirs = api.put(&serde_json::json!({
                "apiVersion": "v1", "kind": kind, "metadata": {"namespace": SPACE, "name": name},
            }));
            let refused = keys(&api, &metrics).ensure(at(0)).await.err().unwrap();
            assert!(refused.to_string().contains(name), "{refused}");
            assert_eq!(api.find::<serde_json::Value>(kind, SPACE, name).unwrap(), theirs);
        }
    }
}
