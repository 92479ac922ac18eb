//! What a caller may do with a FileSystem's files, as three rights, and the questions to the API server that decide them.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use serde::Serialize;
use workspacefs_files_proto::Verb;

use super::Identity;

const GROUP: &str = "workspacefs.io";
const VERSION: &str = "v1alpha1";

/// One right on files.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Right {
    /// See names and contents.
    Read,
    /// Make and change.
    Write,
    /// Take away.
    Delete,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Delete];

    /// The Kubernetes verbs on `filesystems/files` that it takes, all of them: `files` knows no finer difference, and a role
    /// with one of them must not come to more than it says.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["get", "list"],
            Self::Write => &["create", "update"],
            Self::Delete => &["delete"],
        }
    }

    /// As the assertion says it.
    pub fn asserted(self) -> Verb {
        match self {
            Self::Read => Verb::Read,
            Self::Write => Verb::Write,
            Self::Delete => Verb::Delete,
        }
    }

    /// For a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }
}

/// Which of them a caller has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Rights {
    /// See names and contents.
    pub read: bool,
    /// Make and change.
    pub write: bool,
    /// Take away.
    pub delete: bool,
}

/// What is asked about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// Of Kubernetes.
    pub verb: &'static str,
    /// Plural.
    pub resource: &'static str,
    /// Empty for none.
    pub subresource: &'static str,
    /// Empty: in all of them.
    pub namespace: String,
    /// Empty: of no object in particular.
    pub name: String,
}

impl Question {
    /// May the caller do that with the files of this FileSystem?
    pub fn files(verb: &'static str, namespace: &str, name: &str) -> Self {
        let (resource, subresource) = ("filesystems", "files");
        Self { verb, resource, subresource, namespace: namespace.into(), name: name.into() }
    }

    /// May the caller list those objects there? Without a namespace: everywhere.
    pub fn list(resource: &'static str, namespace: &str) -> Self {
        Self { verb: "list", resource, subresource: "", namespace: namespace.into(), name: String::new() }
    }

    /// As the API server takes it.
    pub fn review(&self, who: &Identity) -> SubjectAccessReview {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            group: some(GROUP),
            version: some(VERSION),
            resource: some(self.resource),
            subresource: some(self.subresource),
            verb: some(self.verb),
            namespace: some(&self.namespace),
            name: some(&self.name),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: some(&who.user),
            groups: Some(who.groups.clone()),
            uid: some(&who.uid),
            extra: (!who.extra.is_empty()).then(|| who.extra.clone()),
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        };
        SubjectAccessReview { spec, ..SubjectAccessReview::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_token_says_of_the_caller_is_in_the_question() {
        let who = Identity {
            user: "jane".into(),
            groups: vec!["team".into()],
            uid: "7".into(),
            extra: [("scopes".to_owned(), vec!["a".to_owned()])].into(),
        };
        let review = serde_json::to_value(Question::files("get", "ws", "default").review(&who)).unwrap();
        let expected = serde_json::json!({
            "user": "jane", "groups": ["team"], "uid": "7", "extra": {"scopes": ["a"]},
            "resourceAttributes": {
                "group": "workspacefs.io", "version": "v1alpha1", "resource": "filesystems", "subresource": "files",
                "verb": "get", "namespace": "ws", "name": "default",
            },
        });
        assert_eq!(review["spec"], expected);
        let review = serde_json::to_value(Question::list("filesystems", "ws").review(&who)).unwrap();
        let attributes = &review["spec"]["resourceAttributes"];
        assert!(attributes["name"].is_null() && attributes["subresource"].is_null());
    }
}
