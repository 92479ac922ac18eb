//! The Secret of a workspace, with the certificates of its FileSystems. It is the only one that the operator may read there:
//! it is asked for by name, never listed nor watched, so what was seen is remembered for a while.
//!
//! Each FileSystem has its own two entries and is one of the owners; the Secret goes with the last of them. Passes over
//! several FileSystems write at the same time: each over exactly what it read, and again where another was faster.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;
use workspacefs_api::files::{FILES_SECRET, certificate_entry, key_entry, tls_name};

use super::keys::Trust;
use super::objects::owner;
use crate::FIELD_MANAGER;
use crate::child::refusal;
use crate::error::PassError;
use crate::filesystem::objects::Identity;
use crate::filesystem::own::MANAGED_BY;
use crate::server::certificates::{self, CertificateError, Pair, Usage, Verdict};
use crate::server::secrets::is_ours;

/// How long what was seen is believed: a Secret that somebody deletes is missed only when a pod starts.
const BELIEVED_SECONDS: i64 = 600;
/// How often a pass writes before it leaves it to the next.
const TRIES: u32 = 5;

/// The certificates of `files`.
pub struct Certificates {
    client: Client,
    seen: Mutex<HashMap<String, Seen>>,
}

struct Seen {
    at: Timestamp,
    /// Of the authorities' bundle by which it was judged.
    bundle: String,
    /// Its own.
    print: String,
}

/// A FileSystem's certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Held {
    /// It is good; a short digest, which differs with every new one.
    Good(String),
    /// The Secret is somebody else's.
    Foreign,
    /// It is being deleted.
    Leaving,
    /// The API server does not want it; why.
    Refused(String),
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum CertificatesError {
    /// The API server refused, or did not answer.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// It could not be made.
    #[error("cannot make the certificate of its files")]
    Make(#[from] CertificateError),
}

impl Certificates {
    /// None seen yet.
    pub fn new(client: Client) -> Self {
        Self { client, seen: Mutex::default() }
    }

    /// Has the FileSystem's certificate made, or renewed in time.
    pub async fn ensure(
        &self,
        fs: &Identity,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Held, CertificatesError> {
        if let Some(seen) = self.seen().get(&fs.uid)
            && (0..BELIEVED_SECONDS).contains(&(now.as_second() - seen.at.as_second()))
            && seen.bundle == trust.bundle
        {
            return Ok(Held::Good(seen.print.clone()));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &fs.namespace);
        for _ in 0..TRIES {
            let found = read(&api).await?;
            match &found {
                Some(secret) if !is_ours(secret) => return Ok(Held::Foreign),
                Some(secret) if secret.metadata.deletion_timestamp.is_some() => return Ok(Held::Leaving),
                _ => {}
            }
            let held = found.as_ref().and_then(|secret| pair(secret, &fs.uid));
            let good = held
                .filter(|pair| matches!(certificates::judge(pair, &trust.bundle, now), Verdict::Keep { .. }));
            let owned = found.as_ref().is_some_and(|secret| owners(secret).any(|o| o.uid == fs.uid));
            let pair = match good {
                Some(pair) if owned => return Ok(Held::Good(self.remember(fs, trust, &pair, now))),
                Some(pair) => pair,
                None => certificates::leaf(&trust.authority, Usage::Server(&tls_name(&fs.uid)), now)?,
            };
            match write(&api, found.as_ref(), fs, &pair).await {
                Ok(()) => {
                    let print = self.remember(fs, trust, &pair, now);
                    tracing::info!(secret = FILES_SECRET, print, "certificate of files written");
                    return Ok(Held::Good(print));
                }
                // Another pass, or somebody else, was faster.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    return match refusal(&error) {
                        Some(why) => Ok(Held::Refused(why)),
                        None => Err(PassError::api("write the certificate of its files")(error).into()),
                    };
                }
            }
        }
        Err(overtaken("write the certificate of its files").into())
    }

    /// Takes the FileSystem's entries away, and the Secret with the last of them.
    pub async fn remove(&self, fs: &Identity) -> Result<(), PassError> {
        self.seen().remove(&fs.uid);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &fs.namespace);
        for _ in 0..TRIES {
            let Some(secret) = read(&api).await?.filter(is_ours) else { return Ok(()) };
            let has = |entry: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(entry));
            let ours = [certificate_entry(&fs.uid), key_entry(&fs.uid)];
            let owned = owners(&secret).any(|owner| owner.uid == fs.uid);
            if !owned && !ours.iter().any(|entry| has(entry)) {
                return Ok(());
            }
            match take_out(&api, &secret, fs, &ours).await {
                Ok(()) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(PassError::api("remove the certificate of its files")(error)),
            }
        }
        Err(overtaken("remove the certificate of its files"))
    }

    fn remember(&self, fs: &Identity, trust: &Trust, pair: &Pair, now: Timestamp) -> String {
        let digest = Sha256::digest(pair.certificate.as_bytes());
        let print: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let seen = Seen { at: now, bundle: trust.bundle.clone(), print: print.clone() };
        self.seen().insert(fs.uid.clone(), seen);
        print
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Others were faster each time: the next pass is tried soon.
fn overtaken(step: &'static str) -> PassError {
    let often =
        kube::core::Status::failure("others write the Secret all the time", "Conflict").with_code(409);
    PassError::api(step)(kube::Error::Api(often.boxed()))
}

async fn read(api: &Api<Secret>) -> Result<Option<Secret>, PassError> {
    api.get_opt(FILES_SECRET).await.map_err(PassError::api("read the certificates of files"))
}

fn owners(secret: &Secret) -> impl Iterator<Item = &OwnerReference> {
    secret.owner_references().iter()
}

fn pair(secret: &Secret, uid: &str) -> Option<Pair> {
    let data = secret.data.as_ref()?;
    let text = |entry: String| String::from_utf8(data.get(&entry)?.0.clone()).ok();
    Some(Pair { certificate: text(certificate_entry(uid))?, key: text(key_entry(uid))? })
}

/// Makes the Secret, or puts the pair into exactly the one that was read.
async fn write(
    api: &Api<Secret>,
    found: Option<&Secret>,
    fs: &Identity,
    pair: &Pair,
) -> Result<(), kube::Error> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = json!({
        (certificate_entry(&fs.uid)): bytes(&pair.certificate), (key_entry(&fs.uid)): bytes(&pair.key),
    });
    let Some(found) = found else {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
            "metadata": {
                "namespace": fs.namespace, "name": FILES_SECRET,
                "labels": super::objects::common_labels(), "ownerReferences": [owner(fs, false)],
            },
        });
        let secret: Secret = serde_json::from_value(secret).map_err(kube::Error::SerdeError)?;
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        return api.create(&by_us, &secret).await.map(drop);
    };
    let mut owners: Vec<Value> =
        owners(found).filter(|owner| owner.uid != fs.uid).map(|owner| json!(owner)).collect();
    owners.push(owner(fs, false));
    patch(api, found, &data, owners).await
}

async fn take_out(
    api: &Api<Secret>,
    secret: &Secret,
    fs: &Identity,
    entries: &[String],
) -> Result<(), kube::Error> {
    let left = secret.data.iter().flatten().filter(|(entry, _)| !entries.contains(entry)).count();
    if left == 0 {
        let exactly = Preconditions {
            uid: secret.metadata.uid.clone(),
            resource_version: secret.metadata.resource_version.clone(),
        };
        let how = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        return api.delete(FILES_SECRET, &how).await.map(drop);
    }
    let data: Value = entries.iter().map(|entry| (entry.clone(), Value::Null)).collect();
    let owners = owners(secret).filter(|owner| owner.uid != fs.uid).map(|owner| json!(owner)).collect();
    patch(api, secret, &data, owners).await
}

async fn patch(
    api: &Api<Secret>,
    seen: &Secret,
    data: &Value,
    owners: Vec<Value>,
) -> Result<(), kube::Error> {
    let patch = json!({
        "metadata": {
            "uid": seen.metadata.uid, "resourceVersion": seen.metadata.resource_version,
            "labels": {(MANAGED_BY.0): MANAGED_BY.1}, "ownerReferences": owners,
        },
        "data": data,
    });
    let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    api.patch(FILES_SECRET, &by_us, &Patch::Merge(&patch)).await.map(drop)
}

#[cfg(test)]
mod tests;
