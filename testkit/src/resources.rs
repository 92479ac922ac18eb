//! The resources that the fake server serves.

/// One resource of the API.
#[derive(Debug, Eq, PartialEq)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    /// Whether `/status` is written apart from the rest.
    pub has_status: bool,
}

const fn resource(group: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource { group, version: "v1", plural, kind, namespaced: true, has_status: false }
}

const fn with_status(resource: Resource) -> Resource {
    Resource { has_status: true, ..resource }
}

const fn cluster_scoped(resource: Resource) -> Resource {
    Resource { namespaced: false, ..resource }
}

const ALL: &[Resource] = &[
    with_status(cluster_scoped(resource("", "namespaces", "Namespace"))),
    with_status(cluster_scoped(resource("", "nodes", "Node"))),
    with_status(cluster_scoped(resource("", "persistentvolumes", "PersistentVolume"))),
    with_status(resource("", "persistentvolumeclaims", "PersistentVolumeClaim")),
    with_status(resource("", "pods", "Pod")),
    resource("", "secrets", "Secret"),
    resource("", "configmaps", "ConfigMap"),
    with_status(resource("", "services", "Service")),
    with_status(resource("apps", "deployments", "Deployment")),
    with_status(resource("batch", "jobs", "Job")),
    resource("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    cluster_scoped(resource("storage.k8s.io", "storageclasses", "StorageClass")),
    cluster_scoped(resource("storage.k8s.io", "csinodes", "CSINode")),
    resource("coordination.k8s.io", "leases", "Lease"),
    cluster_scoped(resource("authentication.k8s.io", "tokenreviews", "TokenReview")),
    cluster_scoped(resource("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview")),
    resource("events.k8s.io", "events", "Event"),
    Resource { version: "v1alpha1", ..with_status(resource("workspacefs.io", "filesystems", "FileSystem")) },
    Resource { version: "v1alpha1", ..with_status(resource("workspacefs.io", "fscaches", "FsCache")) },
    Resource {
        version: "v1alpha1",
        ..with_status(cluster_scoped(resource("workspacefs.io", "localstorages", "LocalStorage")))
    },
    Resource {
        version: "v1alpha1",
        ..with_status(cluster_scoped(resource("workspacefs.io", "localvolumes", "LocalVolume")))
    },
];

impl Resource {
    /// The resource that a path names.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        ALL.iter().find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The resource of a kind; the fake has no two of one name.
    pub fn of_kind(kind: &str) -> Option<&'static Self> {
        ALL.iter().find(|r| r.kind == kind)
    }

    /// `v1` or `group/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }
}
