//! The parameters of a LocalStorage's StorageClass, and whose claim they came with.

use std::collections::HashMap;

use workspacefs_api::local_volume::LOCAL_STORAGE_PARAMETER;

use crate::controller::parameters::{CLAIM_NAMESPACE, unknown};

/// The claim's name, which external-provisioner adds too: for people.
const CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
/// What a Kubernetes object's name can have.
const CLAIM_BYTES_MAX: usize = 253;

/// Which LocalStorage is to hold the volume, and for whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalParameters {
    /// Its name.
    pub storage: String,
    claim_namespace: Option<String>,
    /// The claim; empty where it was not told.
    pub claim: String,
}

/// Why parameters were refused.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum LocalParametersError {
    /// It is absent or empty.
    #[error("StorageClass parameter {LOCAL_STORAGE_PARAMETER:?} is missing")]
    NoStorage,
    /// A key that means nothing to us: better refused than silently without effect.
    #[error("unknown StorageClass parameter {0:?}; known is: {LOCAL_STORAGE_PARAMETER}")]
    Unknown(String),
    /// Whose claim it is cannot be seen, so it may be anybody's.
    #[error("the claim's namespace is not told: start external-provisioner with --extra-create-metadata")]
    NoClaimNamespace,
}

impl LocalParameters {
    /// Reads a StorageClass's parameters. What Kubernetes adds (`csi.storage.k8s.io/…`) is passed over, but for the claim.
    ///
    /// # Errors
    /// The parameter that is missing or unknown.
    pub fn parse(map: &HashMap<String, String>) -> Result<Self, LocalParametersError> {
        if let Some(key) = unknown(map, &[LOCAL_STORAGE_PARAMETER]) {
            return Err(LocalParametersError::Unknown(key.into()));
        }
        let given = |key: &str| map.get(key).filter(|value| !value.is_empty()).cloned();
        Ok(Self {
            storage: given(LOCAL_STORAGE_PARAMETER).ok_or(LocalParametersError::NoStorage)?,
            claim_namespace: given(CLAIM_NAMESPACE),
            claim: given(CLAIM_NAME).filter(|name| name.len() <= CLAIM_BYTES_MAX).unwrap_or_default(),
        })
    }

    /// The workspace whose claim it is.
    ///
    /// # Errors
    /// It was not told.
    pub fn namespace(&self) -> Result<&str, LocalParametersError> {
        self.claim_namespace.as_deref().ok_or(LocalParametersError::NoClaimNamespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<LocalParameters, LocalParametersError> {
        LocalParameters::parse(&entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn the_storage_and_the_claim_are_read_and_kubernetes_other_keys_passed_over() {
        let read = parse(&[
            ("localStorage", "fast"),
            ("csi.storage.k8s.io/pvc/namespace", "team-a"),
            ("csi.storage.k8s.io/pvc/name", "scratch"),
            ("csi.storage.k8s.io/pv/name", "pvc-1"),
        ])
        .unwrap();
        assert_eq!((read.storage.as_str(), read.claim.as_str()), ("fast", "scratch"));
        assert_eq!(read.namespace(), Ok("team-a"));
    }

    #[test]
    fn missing_and_unknown_are_refused() {
        assert_eq!(parse(&[]), Err(LocalParametersError::NoStorage));
        assert_eq!(parse(&[("localStorage", "")]), Err(LocalParametersError::NoStorage));
        assert_eq!(
            parse(&[("localStorage", "fast"), ("zzz", ""), ("node", "n1")]),
            Err(LocalParametersError::Unknown("node".into()))
        );
        for told in [&[("localStorage", "fast")][..], &[("localStorage", "fast"), (CLAIM_NAMESPACE, "")]] {
            assert_eq!(parse(told).unwrap().namespace(), Err(LocalParametersError::NoClaimNamespace));
        }
    }
}
