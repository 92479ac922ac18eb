//! What an address of the client's means. Only whole words count, as they were sent: nothing is decoded but a file's path, and that
//! later. The base may end in a slash, which makes two of the one behind it; they count as one.

use axum::http::Method;
use workspacefs_api::manifest;

use super::refused::Refused;

/// The deployment that stands for the rsync daemon.
pub const RSYNC: &str = "storage-rsync-by-lepton";

/// An address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked<'a> {
    /// In which workspace.
    pub base: Base<'a>,
    /// For what.
    pub what: What<'a>,
}

/// How the workspace is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Base<'a> {
    /// By the address.
    Named(&'a str),
    /// By the token.
    OfToken,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What<'a> {
    /// Whether somebody is at home.
    Base,
    /// The caller's tokens.
    Tokens,
    /// What is known of the workspace.
    Workspace,
    /// Its node groups.
    NodeGroups,
    /// Its FileSystems.
    FileSystems,
    /// How much it stores.
    Usage,
    /// A file or folder.
    File {
        /// Name of the FileSystem.
        fs: &'a str,
        /// As it was sent.
        path: &'a str,
    },
    /// The rsync daemon's port and password.
    Rsync,
    /// Its host.
    RsyncReplicas,
}

/// The meaning of a path, as it was sent; None: it has none.
pub fn parse(path: &str) -> Option<Asked<'_>> {
    let (base, rest) = match path.strip_prefix("/api/v1") {
        Some(rest) => (Base::OfToken, rest),
        None => {
            let rest = path.strip_prefix("/api/v2/workspaces/")?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (ws, rest) = rest.split_at(end);
            (Base::Named(is_name(ws)?), rest)
        }
    };
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    let (word, rest) = first(rest);
    let only = |what| first(rest).0.is_empty().then_some(what);
    let what = match word {
        "" => Some(What::Base),
        "tokens" => only(What::Tokens),
        "workspace" => only(What::Workspace),
        "dedicated-node-groups" => only(What::NodeGroups),
        "storage" => storage(rest),
        "deployments" => deployment(rest),
        _ => None,
    };
    Some(Asked { base, what: what? })
}

/// The first word of a path, and what follows it, beginning with a slash if anything does.
fn first(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches('/');
    path.split_at(path.find('/').unwrap_or(path.len()))
}

fn storage(rest: &str) -> Option<What<'_>> {
    Some(match first(rest) {
        ("", _) => What::FileSystems,
        // With anything behind it, were it a slash, it is the FileSystem of that name.
        ("du", "") => What::Usage,
        (fs, path) => What::File { fs: is_name(fs)?, path },
    })
}

fn deployment(rest: &str) -> Option<What<'_>> {
    let (name, rest) = first(rest);
    let (word, rest) = first(rest);
    match (name, word, first(rest).0) {
        (RSYNC, "", "") => Some(What::Rsync),
        (RSYNC, "replicas", "") => Some(What::RsyncReplicas),
        _ => None,
    }
}

fn is_name(text: &str) -> Option<&str> {
    manifest::name(text).is_ok().then_some(text)
}

/// The workspace of a ServiceAccount's user name.
pub fn workspace_of(user: &str) -> Option<&str> {
    let (ws, _) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    is_name(ws)
}

/// Whether the query asks for a folder's contents to go with it. Of what changes something no other query is let through: a `?` that
/// somebody typed as part of a name would change another file.
///
/// # Errors
/// [`Refused::Query`].
pub fn remove_all(method: &Method, query: Option<&str>) -> Result<bool, Refused> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(false);
    }
    let mut all = false;
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        match pair {
            "removeall=true" if *method == Method::DELETE => all = true,
            "removeall=false" if *method == Method::DELETE => all = false,
            _ => return Err(Refused::Query),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_means_what_the_tables_say_and_nothing_else_means_anything() {
        const BASES: [(&str, Base<'static>); 2] =
            [("/api/v1", Base::OfToken), ("/api/v2/workspaces/ws", Base::Named("ws"))];
        let file = |fs, path| Some(What::File { fs, path });
        for (prefix, base) in BASES {
            for (path, what) in [
                ("", Some(What::Base)),
                ("/", Some(What::Base)),
                ("/tokens", Some(What::Tokens)),
                ("//tokens/", Some(What::Tokens)),
                ("/tokens/x", None),
                ("/workspace", Some(What::Workspace)),
                ("/workspaces", None),
                ("/dedicated-node-groups", Some(What::NodeGroups)),
                ("/dedicated-node-groups/x", None),
                ("/storage", Some(What::FileSystems)),
                ("//storage", Some(What::FileSystems)),
                ("/storage/", Some(What::FileSystems)),
                ("/storagex", None),
                ("/storage/du", Some(What::Usage)),
                ("//storage/du", Some(What::Usage)),
                ("/storage/du/", file("du", "/")),
                ("/storage/du/a", file("du", "/a")),
                ("/storage/default", file("default", "")),
                ("/storage/default/", file("default", "/")),
                ("//storage/default//a//b%2Fc/", file("default", "//a//b%2Fc/")),
                ("/storage/Default/a", None),
                ("/storage/%64u/a", None),
                ("/storage/../workspace", None),
                ("/deployments/storage-rsync-by-lepton", Some(What::Rsync)),
                ("/deployments/storage-rsync-by-lepton/replicas", Some(What::RsyncReplicas)),
                ("/deployments/storage-rsync-by-lepton/replicas/x", None),
                ("/deployments", None),
                ("/deployments/other", None),
                ("/photons", None),
            ] {
                let text = format!("{prefix}{path}");
                let asked = parse(&text);
                assert_eq!(asked, what.map(|what| Asked { base, what }), "{text}");
            }
        }
        for bad in [
            "/api/v1x",
            "/api/v2/workspaces/",
            "/api/v2/workspaces/W/storage",
            "/api/v2",
            "/storage/default/a",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_service_account_has_a_workspace_of_its_own() {
        for (user, ws) in [
            ("system:serviceaccount:ws:robot", Some("ws")),
            ("system:serviceaccount::robot", None),
            ("system:serviceaccount:ws", None),
            ("system:serviceaccounts:ws:robot", None),
            ("jane", None),
        ] {
            assert_eq!(workspace_of(user), ws, "{user}");
        }
    }

    #[test]
    fn a_query_of_what_changes_something_is_removeall_and_nothing_else() {
        for (method, query, expected) in [
            ("DELETE", None, Some(false)),
            ("DELETE", Some(""), Some(false)),
            ("DELETE", Some("removeall=true"), Some(true)),
            ("DELETE", Some("removeall=false"), Some(false)),
            ("DELETE", Some("removeall=yes"), None),
            ("DELETE", Some("removeall"), None),
            ("DELETE", Some("permanent=true"), None),
            ("DELETE", Some("removeall=true&x=1"), None),
            ("POST", Some("x=1"), None),
            ("POST", Some("removeall=true"), None),
            ("PUT", Some("x"), None),
            ("GET", Some("x=1"), Some(false)),
            ("HEAD", Some("x=1"), Some(false)),
        ] {
            assert_eq!(remove_all(&method.parse().unwrap(), query).ok(), expected, "{method} {query:?}");
        }
    }
}
