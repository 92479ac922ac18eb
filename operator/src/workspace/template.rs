//! The template of the default FileSystem: a FileSystem's spec with `{workspace}` and `{workspaceUID}` in
//! `backend.nfs.folder`.

use serde_json::Value;
use thiserror::Error;
use workspacefs_api::FileSystemSpec;

use crate::filesystem::plan::{Plan, check_spec};

const NAME: &str = "{workspace}";
const UID: &str = "{workspaceUID}";

/// A checked template.
#[derive(Clone, Debug)]
pub struct Template(FileSystemSpec);

/// Why a template was refused.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// Not a FileSystem's spec.
    #[error("it is not the spec of a FileSystem")]
    Shape(#[source] serde_json::Error),
    /// A FileSystem made of it would be refused.
    #[error("a FileSystem made of it is not valid: {0}")]
    Invalid(String),
    /// A word in braces that means nothing.
    #[error("folder {0:?} has an unknown word in braces; known are {NAME} and {UID}")]
    Placeholder(String),
}

impl Template {
    /// Checks a template, by filling it in for a workspace that might exist.
    ///
    /// # Errors
    /// [`TemplateError`] says what a FileSystem made of it would lack.
    pub fn parse(value: Value) -> Result<Self, TemplateError> {
        let template = Self(serde_json::from_value(value).map_err(TemplateError::Shape)?);
        let example = template.fill(&"a".repeat(63), "00000000-0000-4000-8000-000000000000");
        if let Some(folder) = example.backend.nfs.as_ref().and_then(|nfs| nfs.folder.as_deref())
            && folder.contains(['{', '}'])
        {
            return Err(TemplateError::Placeholder(folder.into()));
        }
        match check_spec(&example) {
            Plan::Invalid(message) => Err(TemplateError::Invalid(message)),
            Plan::Managed(managed) if !managed.adopt.is_empty() => {
                Err(TemplateError::Invalid("adopt names one folder, and a template is for many".into()))
            }
            Plan::Volume(_) | Plan::Managed(_) | Plan::Claim(_) => Ok(template),
        }
    }

    /// The spec for one workspace.
    pub fn fill(&self, workspace: &str, uid: &str) -> FileSystemSpec {
        let mut spec = self.0.clone();
        if let Some(folder) = spec.backend.nfs.as_mut().and_then(|nfs| nfs.folder.as_mut()) {
            *folder = folder.replace(NAME, workspace).replace(UID, uid);
        }
        spec
    }

    /// Whether every workspace gets the same folder: allowed, but worth a line in the log.
    pub fn shares_one_folder(&self) -> bool {
        self.0.backend.nfs.as_ref().is_some_and(|nfs| {
            !nfs.folder.as_deref().is_some_and(|folder| folder.contains(NAME) || folder.contains(UID))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nfs(folder: &str) -> Result<Template, TemplateError> {
        Template::parse(json!({"backend": {"nfs": {"server": "nfs", "export": "/e", "folder": folder}}}))
    }

    #[test]
    fn both_words_are_replaced_in_the_folder() {
        let spec = nfs("w/{workspace}-{workspaceUID}").unwrap().fill("team-a", "123");
        assert_eq!(spec.backend.nfs.and_then(|nfs| nfs.folder).as_deref(), Some("w/team-a-123"));
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for (folder, word) in [
            ("{namespace}", "unknown word"),
            ("a/../b", "folder"),
            ("/a", "folder"),
            (".workspacefs/x", "folder"),
            ("", "folder"),
        ] {
            let refusal = nfs(folder).expect_err(folder).to_string();
            assert!(refusal.contains(word), "{folder}: {refusal}");
        }
        let options =
            json!({"backend": {"nfs": {"server": "nfs", "export": "/e"}}, "mountOptions": ["exec"]});
        assert!(Template::parse(options).unwrap_err().to_string().contains("exec"));
        let two = json!({"backend": {"nfs": {"server": "nfs", "export": "/e"}, "persistentVolumeClaim": {"claimName": "c"}}});
        assert!(Template::parse(two).unwrap_err().to_string().contains("exactly one"));
    }

    #[test]
    fn a_folder_of_the_embedded_server_is_everybodys_own() {
        let template = Template::parse(json!({"backend": {"managed": {"capacity": "10Gi"}}})).unwrap();
        assert!(!template.shares_one_folder());
        let adopt = "00000000-0000-4000-8000-000000000000/default";
        let refused = Template::parse(json!({"backend": {"managed": {"capacity": "10Gi", "adopt": adopt}}}));
        assert!(refused.unwrap_err().to_string().contains("adopt"));
    }

    #[test]
    fn one_folder_for_all_is_noticed() {
        assert!(nfs("shared").unwrap().shares_one_folder());
        assert!(!nfs("{workspaceUID}").unwrap().shares_one_folder());
    }
}
