//! Where a FileSystem's bytes live: exactly one backend per FileSystem, each with the fields that backend needs.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exactly one of the members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.managed), has(self.nfs), has(self.persistentVolumeClaim)].exists_one(b, b)")
    .message("backend takes exactly one of: managed, nfs, persistentVolumeClaim"))]
pub struct Backend {
    /// A folder with an enforced size on the embedded NFS server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedBackend>,
    /// A directory of an NFS server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<NfsBackend>,
    /// A ReadWriteMany volume of any other CSI driver, used through its own claim in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimBackend>,
}

/// A folder of the embedded NFS server, whose quota is the file system's size.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagedBackend {
    /// The size, enforced: what is in the file system and all further claims on it together. It may grow at any time, and
    /// shrink as far as nothing of it is used.
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("capacity is a quantity above zero, such as 500Gi"))]
    pub capacity: Quantity,
    /// Take over a retained folder instead of a fresh one: `<namespace uid>/<name>` of the FileSystem that it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
    ))]
    pub adopt: Option<String>,
}

/// An export of an NFS server and, in it, the folder that is the file system.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NfsBackend {
    /// Host name or IP address of the server, without port.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$")
    )]
    pub server: String,
    /// Absolute path that the server exports.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(include_str!("rules/export.cel")).message("export is an absolute path without '..' or control characters"))]
    pub export: String,
    /// Folder inside the export that becomes the file system's root; created, with its owner, on the first mount. Without
    /// it the export's own root is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(include_str!("rules/folder.cel"))
        .message("folder is a path relative to the export: no leading '/', no '.', '..' or empty part, not inside .workspacefs"))]
    pub folder: Option<String>,
    /// NFS version to use. Without it 4.2, 4.1 and 4.0 are tried in that order; 3 is used only when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<NfsVersion>,
    /// TCP port of the server, if not 2049.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// NFS version to use (RFC 1813, 7530, 8881, 7862). Without it 4.2, 4.1 and 4.0 are tried in that order; 3 is used only
/// when it is asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum NfsVersion {
    /// NFSv3, with locks that stay local to the node.
    #[serde(rename = "3")]
    V3,
    /// NFSv4.0.
    #[serde(rename = "4.0")]
    V4_0,
    /// NFSv4.1.
    #[serde(rename = "4.1")]
    V4_1,
    /// NFSv4.2.
    #[serde(rename = "4.2")]
    V4_2,
}

impl NfsVersion {
    /// Every version, newest first: the order in which they are tried, but for V3.
    pub const ALL: [NfsVersion; 4] = [Self::V4_2, Self::V4_1, Self::V4_0, Self::V3];

    /// The value of the mount option `vers` (nfs(5)).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4_0 => "4.0",
            Self::V4_1 => "4.1",
            Self::V4_2 => "4.2",
        }
    }

    /// The inverse of [`NfsVersion::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.as_str() == text)
    }
}

/// A claim in the FileSystem's own namespace, of whatever driver.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimBackend {
    /// Name of the PersistentVolumeClaim. It must be ReadWriteMany.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub claim_name: String,
}

/// Whether `server` is a host name or an address, as the schema demands; for values that did not pass the API server.
pub fn is_valid_server(server: &str) -> bool {
    if server.is_empty() || server.len() > 253 {
        return false;
    }
    if server.contains(':') {
        return server.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(server.chars().next())
        && edge(server.chars().last())
        && server.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

/// Whether `export` is an absolute path without `..` and control characters, as the schema demands.
pub fn is_valid_export(export: &str) -> bool {
    export.starts_with('/')
        && export.len() <= 1024
        && !export.split('/').any(|part| part == "..")
        && !export.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_names_or_addresses_and_nothing_that_could_be_an_option() {
        for good in ["nfs", "nfs.example.com", "10.99.0.21", "fd00::1", "a-b"] {
            assert!(is_valid_server(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a,b", "a b", "a/b", "a:/b", "fe80::1%eth0", "a\n", "a=b", "..", "[::1]"]
        {
            assert!(!is_valid_server(bad), "{bad:?}");
        }
    }

    #[test]
    fn exports_are_absolute_and_stay_where_they_are() {
        for good in ["/", "/export", "/a b/c", "/a..b"] {
            assert!(is_valid_export(good), "{good}");
        }
        for bad in ["", "export", "/a/../b", "/..", "/a\nb", "/a\0b"] {
            assert!(!is_valid_export(bad), "{bad:?}");
        }
    }

    #[test]
    fn versions_survive_the_way_there_and_back() {
        for version in NfsVersion::ALL {
            assert_eq!(NfsVersion::parse(version.as_str()), Some(version));
        }
        assert_eq!(NfsVersion::parse("4"), None);
    }
}
