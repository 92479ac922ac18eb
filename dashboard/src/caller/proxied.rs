//! Whom a proxy in front of us vouches for, by two headers. They are looked at only on the listener that lets nobody in but
//! the proxy, by its client certificate. Whatever is Kubernetes' own is refused: no proxy may speak for a part of the cluster.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::review::Identity;

/// What Kubernetes gives everybody whom it knows; roles are bound to it.
const EVERYBODY: &str = "system:authenticated";
const RESERVED: &str = "system:";

/// The names of the headers.
#[derive(Clone, Debug)]
pub struct ProxyHeaders {
    /// The user's name.
    pub user: HeaderName,
    /// The groups, in several headers or joined by commas.
    pub groups: Option<HeaderName>,
}

/// Whom the headers name. None: nobody, more than one, or somebody who cannot come this way.
pub fn identity(names: &ProxyHeaders, headers: &HeaderMap) -> Option<Identity> {
    let mut users = headers.get_all(&names.user).iter();
    let user = text(users.next()?)?;
    if users.next().is_some() {
        return None;
    }
    let mut groups = Vec::new();
    for header in names.groups.iter().flat_map(|name| headers.get_all(name)) {
        groups.extend(text(header)?.split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned));
    }
    if user.is_empty() || user.starts_with(RESERVED) || groups.iter().any(|group| group.starts_with(RESERVED))
    {
        return None;
    }
    groups.push(EVERYBODY.into());
    Some(Identity { user: user.into(), groups, ..Identity::default() })
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes())
        .ok()
        .map(str::trim)
        .filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_names_people_and_never_parts_of_the_cluster() {
        let names = ProxyHeaders {
            user: HeaderName::from_static("x-user"),
            groups: Some(HeaderName::from_static("x-groups")),
        };
        let said = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            identity(&names, &headers)
        };
        let jane = said(&[("x-user", "jané"), ("x-groups", "a, b"), ("x-groups", "c")]).unwrap();
        assert_eq!(jane.user, "jané");
        assert_eq!(jane.groups, ["a", "b", "c", "system:authenticated"]);
        for bad in [
            &[][..],
            &[("x-user", "")],
            &[("x-user", " ")],
            &[("x-groups", "a")],
            &[("x-user", "system:admin")],
            &[("x-user", " system:admin")],
            &[("x-user", "jane"), ("x-groups", "a,system:masters")],
            &[("x-user", "jane"), ("x-groups", "a, system:masters")],
            &[("x-user", "jane"), ("x-user", "joe")],
        ] {
            assert_eq!(said(bad), None, "{bad:?}");
        }
    }
}
