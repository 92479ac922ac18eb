//! Who calls and what they may: tokens, grants, and the answers to TokenReview and SubjectAccessReview that follow from them.
//! Both act at once when a test changes them, and every review is kept for tests to read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::FakeApi;

/// The API server's own audience: a review that names none asks for it.
pub const API_AUDIENCE: &str = "https://kubernetes.default.svc";

/// What the fake knows of callers.
#[derive(Default)]
pub(crate) struct Access {
    tokens: BTreeMap<String, Value>,
    grants: Vec<Grant>,
    reviews: Vec<Value>,
}

/// Lets a user, or a group, do something. Fields that are `*` match whatever is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// Name of a user or of a group.
    pub subject: String,
    /// Of Kubernetes, such as `get`.
    pub verb: String,
    /// `resource`, or `resource/subresource`.
    pub resource: String,
    /// Empty: every namespace, as a ClusterRoleBinding gives it.
    pub namespace: String,
    /// Of the object; `*` for all.
    pub name: String,
}

impl Grant {
    fn allows(&self, spec: &Value) -> bool {
        let attributes = &spec["resourceAttributes"];
        let text = |field: &str| attributes[field].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let is_subject = spec["user"] == self.subject.as_str()
            || spec["groups"].as_array().is_some_and(|groups| groups.iter().any(|g| *g == self.subject));
        let is = |granted: &str, asked: &str| granted == "*" || granted == asked;
        is_subject
            && text("group") == "workspacefs.io"
            && is(&self.verb, text("verb"))
            && is(&self.resource, &resource)
            && (self.namespace.is_empty() || self.namespace == text("namespace"))
            && is(&self.name, text("name"))
    }
}

impl Access {
    /// Fills in the status of a review, if `plural` is one.
    pub fn review(&mut self, plural: &str, review: &Value) -> Option<Value> {
        let spec = &review["spec"];
        let status = match plural {
            "tokenreviews" => {
                let known = spec["token"].as_str().and_then(|token| self.tokens.get(token));
                let own = json!([API_AUDIENCE]);
                // Empty and absent are the same, in a question and of a token.
                let all =
                    |of: &Value| of.as_array().filter(|all| !all.is_empty()).or(own.as_array()).cloned();
                let asked = all(&spec["audiences"]).unwrap_or_default();
                match known {
                    None => json!({"error": "the token is not known"}),
                    Some(known) => {
                        let of_token = all(&known["audiences"]).unwrap_or_default();
                        let common: Vec<_> = of_token.iter().filter(|a| asked.contains(a)).collect();
                        if !common.is_empty() {
                            json!({"authenticated": true, "user": known["user"], "audiences": common})
                        } else {
                            json!({"error": "not for that audience"})
                        }
                    }
                }
            }
            "subjectaccessreviews" => {
                json!({"allowed": self.grants.iter().any(|grant| grant.allows(spec))})
            }
            _ => return None,
        };
        self.reviews.push(review.clone());
        let mut answer = review.clone();
        answer["status"] = status;
        Some(answer)
    }
}

impl FakeApi {
    /// A token that is good from now on, of that user (`{username, groups, uid, extra}`), for those audiences; none: for the API
    /// server's own, as a token is whose authenticator knows nothing of audiences.
    pub fn put_token(&self, token: &str, user: Value, audiences: &[&str]) {
        self.access().tokens.insert(token.into(), json!({"user": user, "audiences": audiences}));
    }

    /// The token is good no longer.
    pub fn delete_token(&self, token: &str) {
        self.access().tokens.remove(token);
    }

    /// Lets `subject` (a user or a group) use those verbs on that resource of `workspacefs.io`.
    pub fn grant(&self, subject: &str, verbs: &[&str], resource: &str, namespace: &str, name: &str) {
        self.access().grants.extend(verbs.iter().map(|verb| Grant {
            subject: subject.into(),
            verb: (*verb).into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        }));
    }

    /// Takes away every grant of which `which` says yes.
    pub fn revoke(&self, which: impl Fn(&Grant) -> bool) {
        self.access().grants.retain(|grant| !which(grant));
    }

    /// Every TokenReview and SubjectAccessReview so far, as it was asked, oldest first.
    pub fn reviews(&self) -> Vec<Value> {
        self.access().reviews.clone()
    }
}
