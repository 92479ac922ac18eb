//! The parameters of a StorageClass, typed, and whose claims they serve.

use std::collections::HashMap;

use workspacefs_api::volume::is_kubernetes_key;

/// The claim's namespace, as external-provisioner adds it with `--extra-create-metadata`.
pub(crate) const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const NAMESPACE: &str = "namespace";
const FILE_SYSTEM: &str = "fileSystem";
const ALLOWED_NAMESPACES: &str = "allowedNamespaces";
/// Every namespace.
const ALL: &str = "*";

/// Which FileSystem gets the volume, and whose claims may have one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameters {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub file_system: String,
    allowed: Allowed,
    claim_namespace: Option<String>,
}

/// The namespaces, besides the FileSystem's own, whose claims are served.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Allowed {
    These(Vec<String>),
    All,
}

/// Why parameters were refused.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParametersError {
    /// A required key is absent or empty.
    #[error("StorageClass parameter {0:?} is missing")]
    Missing(&'static str),
    /// A key that means nothing to us: better refused than silently without effect.
    #[error(
        "unknown StorageClass parameter {0:?}; known are: {NAMESPACE}, {FILE_SYSTEM}, {ALLOWED_NAMESPACES}"
    )]
    Unknown(String),
    /// A list that is not one.
    #[error(
        "StorageClass parameter {ALLOWED_NAMESPACES:?} is a comma-separated list of namespaces, or \"*\", not {0:?}"
    )]
    AllowedNamespaces(String),
    /// A claim may use FileSystems of other namespaces only where its class says so.
    #[error(
        "a claim of namespace {claim:?} may not use a FileSystem of namespace {file_system:?}: only a StorageClass whose parameter {ALLOWED_NAMESPACES} names {claim:?} permits that"
    )]
    ForeignNamespace {
        /// Where the claim is.
        claim: String,
        /// Where the FileSystem is.
        file_system: String,
    },
    /// Whose claim it is cannot be seen, so it may be anybody's.
    #[error(
        "the claim's namespace is not told: start external-provisioner with --extra-create-metadata, or permit all namespaces ({ALLOWED_NAMESPACES}: \"*\")"
    )]
    NoClaimNamespace,
}

impl Parameters {
    /// Reads a StorageClass's parameters. What Kubernetes adds (`csi.storage.k8s.io/…`) is passed over, but for the
    /// claim's namespace.
    ///
    /// # Errors
    /// The first parameter that is missing, unknown or malformed.
    pub fn parse(map: &HashMap<String, String>) -> Result<Self, ParametersError> {
        const KNOWN: [&str; 3] = [NAMESPACE, FILE_SYSTEM, ALLOWED_NAMESPACES];
        if let Some(key) = unknown(map, &KNOWN) {
            return Err(ParametersError::Unknown(key.into()));
        }
        let required = |key: &'static str| {
            map.get(key).filter(|value| !value.is_empty()).cloned().ok_or(ParametersError::Missing(key))
        };
        Ok(Self {
            namespace: required(NAMESPACE)?,
            file_system: required(FILE_SYSTEM)?,
            allowed: match map.get(ALLOWED_NAMESPACES) {
                Some(text) => Allowed::parse(text)?,
                None => Allowed::These(Vec::new()),
            },
            claim_namespace: map.get(CLAIM_NAMESPACE).cloned(),
        })
    }

    /// Whether the claim that these parameters came with may have a volume.
    ///
    /// # Errors
    /// It is another namespace's, or may be.
    pub fn permit(&self) -> Result<(), ParametersError> {
        match (&self.allowed, &self.claim_namespace) {
            (Allowed::All, _) => Ok(()),
            (Allowed::These(_), None) => Err(ParametersError::NoClaimNamespace),
            (Allowed::These(_), Some(claim)) if *claim == self.namespace => Ok(()),
            (Allowed::These(allowed), Some(claim)) if allowed.contains(claim) => Ok(()),
            (Allowed::These(_), Some(claim)) => Err(ParametersError::ForeignNamespace {
                claim: claim.clone(),
                file_system: self.namespace.clone(),
            }),
        }
    }
}

/// A key that is neither among `known` nor Kubernetes' own; the smallest, so that the same request always gets the same answer.
pub(crate) fn unknown<'a>(map: &'a HashMap<String, String>, known: &[&str]) -> Option<&'a str> {
    map.keys().map(String::as_str).filter(|key| !is_kubernetes_key(key) && !known.contains(key)).min()
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, ParametersError> {
        if text.trim() == ALL {
            return Ok(Self::All);
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().all(|name| is_namespace(name)) {
            true => Ok(Self::These(names)),
            false => Err(ParametersError::AllowedNamespaces(text.into())),
        }
    }
}

/// Whether `text` is a DNS label, as the names of namespaces are.
fn is_namespace(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [(&str, &str); 2] = [("namespace", "a"), ("fileSystem", "f")];

    fn parse(entries: &[(&str, &str)]) -> Result<Parameters, ParametersError> {
        Parameters::parse(&entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn with(more: &[(&str, &str)]) -> Result<Parameters, ParametersError> {
        parse(&[&BOTH, more].concat())
    }

    #[test]
    fn the_file_system_is_read_and_kubernetes_own_keys_are_passed_over() {
        let read = with(&[("csi.storage.k8s.io/pvc/name", "data"), (CLAIM_NAMESPACE, "a")]).unwrap();
        assert_eq!((read.namespace.as_str(), read.file_system.as_str()), ("a", "f"));
        assert_eq!(read.permit(), Ok(()));
    }

    #[test]
    fn missing_and_unknown_are_refused() {
        assert_eq!(parse(&BOTH[..1]), Err(ParametersError::Missing("fileSystem")));
        assert_eq!(parse(&BOTH[1..]), Err(ParametersError::Missing("namespace")));
        assert_eq!(
            parse(&[("namespace", ""), ("fileSystem", "f")]),
            Err(ParametersError::Missing("namespace"))
        );
        assert_eq!(with(&[("server", "evil"), ("zzz", "")]), Err(ParametersError::Unknown("server".into())));
    }

    #[test]
    fn a_claim_of_another_namespace_is_served_only_where_the_class_names_it() {
        let foreign = |allowed: Option<&str>| {
            let mut more = vec![(CLAIM_NAMESPACE, "b")];
            more.extend(allowed.map(|allowed| (ALLOWED_NAMESPACES, allowed)));
            with(&more).unwrap().permit()
        };
        for allowed in [None, Some("c"), Some("bb,c"), Some("a")] {
            let refused = foreign(allowed);
            assert!(matches!(refused, Err(ParametersError::ForeignNamespace { .. })), "{allowed:?}");
        }
        for allowed in ["*", "b", "c,b", "c, b", " * "] {
            assert_eq!(foreign(Some(allowed)), Ok(()), "{allowed:?}");
        }
        // Its own namespace need not be named.
        assert_eq!(with(&[(CLAIM_NAMESPACE, "a"), (ALLOWED_NAMESPACES, "c")]).unwrap().permit(), Ok(()));
    }

    #[test]
    fn a_claim_of_unknown_namespace_is_served_only_where_all_are() {
        assert_eq!(with(&[]).unwrap().permit(), Err(ParametersError::NoClaimNamespace));
        assert_eq!(
            with(&[(ALLOWED_NAMESPACES, "a")]).unwrap().permit(),
            Err(ParametersError::NoClaimNamespace)
        );
        assert_eq!(with(&[(ALLOWED_NAMESPACES, "*")]).unwrap().permit(), Ok(()));
    }

    #[test]
    fn a_list_with_anything_but_namespaces_in_it_is_refused_whole() {
        for bad in ["", ",", "a,", "a,,b", "A", "a b", "*,a", "a*", "team-*", "-a", "a-", &"a".repeat(64)] {
            let refused = with(&[(ALLOWED_NAMESPACES, bad)]);
            assert_eq!(refused, Err(ParametersError::AllowedNamespaces(bad.into())), "{bad:?}");
        }
    }
}
