//! The log of changes: one line for each, also for those that were refused or broke off. Tracing target `audit`. A line is written
//! when the thing it tells of is dropped, so none is lost on the way out.

/// A request that can change something.
pub struct Change {
    user: String,
    method: String,
    workspace: String,
    file_system: String,
    path: String,
    status: Option<u16>,
}

impl Change {
    /// Begins. `path` is what follows `/api/`, percent-encoded as it was sent.
    pub fn new(user: &str, method: &str, workspace: &str, file_system: &str, path: &str) -> Self {
        let own = str::to_owned;
        Self {
            user: own(user),
            method: own(method),
            workspace: own(workspace),
            file_system: own(file_system),
            path: own(path),
            status: None,
        }
    }

    /// Adds what the body, or a header, names.
    pub fn names(&mut self, what: &str, path: &str) {
        self.path.push_str(&format!(" {what}={path:?}"));
    }

    /// What was answered.
    pub fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // 499, as nginx says it: the caller went before there was an answer.
        let status = self.status.unwrap_or(499);
        tracing::info!(
            target: "audit",
            user = self.user,
            verb = self.method,
            workspace = self.workspace,
            file_system = self.file_system,
            path = self.path,
            status,
            "change"
        );
    }
}

/// A login or logout. `user` is empty where nobody is known.
pub fn session(what: &'static str, user: &str, status: u16) {
    tracing::info!(target: "audit", user, verb = what, status, "session");
}
