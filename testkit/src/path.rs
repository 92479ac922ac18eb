//! What a request's path names.

use crate::resources::Resource;

/// A resource, and what of it.
#[derive(Clone, Debug)]
pub struct Target {
    pub resource: &'static Resource,
    /// None: every namespace, or a resource without namespaces.
    pub namespace: Option<String>,
    /// None: the whole collection.
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Target {
    /// Reads `/api/v1/…` and `/apis/<group>/<version>/…`; None for whatever the fake does not serve.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, ..] if Resource::find(group, version, plural).is_some() => {
                (Some((*namespace).to_string()), &rest[2..])
            }
            _ => (None, rest),
        };
        let resource = Resource::find(group, version, rest.first()?)?;
        let part = |i: usize| rest.get(i).map(|s| (*s).to_string());
        Some(Self { resource, namespace, name: part(1), subresource: part(2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_both_a_resource_and_a_place() {
        let target =
            |path| Target::parse(path).map(|t| (t.resource.plural, t.namespace, t.name, t.subresource));
        let s = |text: &str| Some(text.to_string());
        assert_eq!(target("/api/v1/namespaces"), Some(("namespaces", None, None, None)));
        assert_eq!(target("/api/v1/namespaces/a/status"), Some(("namespaces", None, s("a"), s("status"))));
        assert_eq!(target("/api/v1/namespaces/a/pods"), Some(("pods", s("a"), None, None)));
        assert_eq!(
            target("/apis/workspacefs.io/v1alpha1/namespaces/a/filesystems/x/status"),
            Some(("filesystems", s("a"), s("x"), s("status")))
        );
        assert_eq!(target("/apis/unknown/v1/things"), None);
    }
}
