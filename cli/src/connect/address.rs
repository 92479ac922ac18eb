//! Where the gateway is, as an URL says it: `https://host[:port][/prefix]`, also in the form that `lep` uses.

use http::Uri;
use http::uri::{Authority, Scheme};
use thiserror::Error;

/// Where requests go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Name of the host, or its address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What a proxy puts before the paths; empty, or begins with `/` and does not end so.
    pub prefix: String,
    /// The namespace, where the URL names it.
    pub workspace: Option<String>,
}

/// Why it is none.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AddressError {
    /// Not `https://host`.
    #[error("{0:?} is no address of a gateway, such as https://files.example.com")]
    Malformed(String),
    /// The token would go in clear text.
    #[error("{0}: a token goes over https only, or to this machine itself")]
    Clear(String),
    /// It could end in a log.
    #[error("an address holds no user and no password: a token comes from WFS_TOKEN, a file or a prompt")]
    Secret,
}

/// Below which `lep` finds the storage of a workspace.
const LEP: &str = "/api/v2/workspaces/";
const LEP_ONE: &str = "/api/v1";

impl Address {
    /// Reads it.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.into());
        if text.contains('@') {
            return Err(AddressError::Secret);
        }
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| malformed())?;
        let scheme = uri.scheme().ok_or_else(malformed)?;
        let tls = *scheme == Scheme::HTTPS;
        if (!tls && *scheme != Scheme::HTTP) || uri.query().is_some() {
            return Err(malformed());
        }
        let authority: &Authority = uri.authority().ok_or_else(malformed)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(malformed());
        }
        if !tls && !is_this_machine(&host) {
            return Err(AddressError::Clear(text.into()));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let (prefix, workspace) = split(uri.path().trim_end_matches('/'));
        Ok(Self { tls, host, port, prefix: prefix.into(), workspace: workspace.map(Into::into) })
    }

    /// As it stands in `Host`.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The path of an address of `lep` is that of its API: what stands before it is the prefix.
fn split(path: &str) -> (&str, Option<&str>) {
    if let Some((prefix, workspace)) = path.split_once(LEP).filter(|(_, rest)| !rest.contains('/')) {
        return (prefix, Some(workspace).filter(|name| !name.is_empty()));
    }
    (path.strip_suffix(LEP_ONE).unwrap_or(path), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_perhaps_a_prefix_and_in_the_form_of_lep_a_workspace() {
        for (text, authority, prefix, workspace) in [
            ("https://h", "h", "", None),
            ("https://h:8443/", "h:8443", "", None),
            ("https://h/a/b//", "h", "/a/b", None),
            ("https://h/api/v2/workspaces/team-a", "h", "", Some("team-a")),
            ("https://h/x/api/v2/workspaces/team-a/", "h", "/x", Some("team-a")),
            ("https://h/api/v1", "h", "", None),
            ("http://127.0.0.1:80", "127.0.0.1", "", None),
            ("http://[::1]:8443", "[::1]:8443", "", None),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.authority().as_str(), address.prefix.as_str(), address.workspace.as_deref()),
                (authority, prefix, workspace),
                "{text}"
            );
        }
    }

    #[test]
    fn no_token_goes_in_clear_text_and_no_secret_stands_in_an_address() {
        for bad in ["", "h", "h:8443", "ftp://h", "https://", "https://h?x=1", "/x"] {
            assert_eq!(Address::parse(bad), Err(AddressError::Malformed(bad.into())), "{bad}");
        }
        assert!(matches!(Address::parse("http://h"), Err(AddressError::Clear(_))));
        assert_eq!(Address::parse("https://me:secret@h"), Err(AddressError::Secret));
    }
}
