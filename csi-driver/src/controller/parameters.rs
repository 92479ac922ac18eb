//! The parameters of a StorageClass, typed.

use std::collections::HashMap;

use workspacefs_api::volume::is_kubernetes_key;

/// The claim's namespace, as external-provisioner adds it with `--extra-create-metadata`.
const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";

/// Which FileSystem gets the volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameters {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub file_system: String,
}

/// Why parameters were refused.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParametersError {
    /// A required key is absent or empty.
    #[error("StorageClass parameter {0:?} is missing")]
    Missing(&'static str),
    /// A key that means nothing to us: better refused than silently without effect.
    #[error("unknown StorageClass parameter {0:?}; known are: namespace, fileSystem")]
    Unknown(String),
    /// A claim may only use FileSystems of its own namespace.
    #[error("a claim of namespace {claim:?} may not use a FileSystem of namespace {file_system:?}")]
    ForeignNamespace {
        /// Where the claim is.
        claim: String,
        /// Where the FileSystem is.
        file_system: String,
    },
}

impl Parameters {
    /// Reads a StorageClass's parameters. What Kubernetes adds (`csi.storage.k8s.io/…`) is passed over, but for the
    /// claim's namespace.
    ///
    /// # Errors
    /// The first parameter that is missing, unknown or not permitted.
    pub fn parse(map: &HashMap<String, String>) -> Result<Self, ParametersError> {
        let unknown = map
            .keys()
            .filter(|key| !is_kubernetes_key(key) && !["namespace", "fileSystem"].contains(&key.as_str()));
        // The smallest, so that the same request always gets the same answer.
        if let Some(key) = unknown.min() {
            return Err(ParametersError::Unknown(key.clone()));
        }
        let required = |key: &'static str| {
            map.get(key).filter(|value| !value.is_empty()).cloned().ok_or(ParametersError::Missing(key))
        };
        let parameters = Self { namespace: required("namespace")?, file_system: required("fileSystem")? };
        match map.get(CLAIM_NAMESPACE) {
            Some(claim) if *claim != parameters.namespace => Err(ParametersError::ForeignNamespace {
                claim: claim.clone(),
                file_system: parameters.namespace,
            }),
            _ => Ok(parameters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
        entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_two_parameters_are_read_and_kubernetes_own_are_passed_over() {
        let asked = map(&[
            ("namespace", "team-a"),
            ("fileSystem", "default"),
            ("csi.storage.k8s.io/pvc/name", "data"),
            (CLAIM_NAMESPACE, "team-a"),
        ]);
        let wanted = Parameters { namespace: "team-a".into(), file_system: "default".into() };
        assert_eq!(Parameters::parse(&asked), Ok(wanted));
    }

    #[test]
    fn missing_unknown_and_foreign_are_refused() {
        let both = [("namespace", "a"), ("fileSystem", "f")];
        assert_eq!(Parameters::parse(&map(&both[..1])), Err(ParametersError::Missing("fileSystem")));
        assert_eq!(Parameters::parse(&map(&both[1..])), Err(ParametersError::Missing("namespace")));
        assert_eq!(
            Parameters::parse(&map(&[("namespace", ""), ("fileSystem", "f")])),
            Err(ParametersError::Missing("namespace"))
        );
        let unknown = map(&[both[0], both[1], ("server", "evil"), ("zzz", "")]);
        assert_eq!(Parameters::parse(&unknown), Err(ParametersError::Unknown("server".into())));
        let foreign = map(&[both[0], both[1], (CLAIM_NAMESPACE, "b")]);
        assert!(matches!(Parameters::parse(&foreign), Err(ParametersError::ForeignNamespace { .. })));
    }
}
