//! The API server's way of saying no: a `Status` object with an HTTP code.

use serde_json::{Value, json};

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// Reason of the only cause in `details`.
    pub cause: Option<&'static str>,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), cause: None }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} not found"))
    }

    pub fn already_exists(what: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{what} already exists"))
    }

    pub fn conflict(what: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {what}: the object has been modified");
        Self::new(409, "Conflict", message)
    }

    pub fn namespace_terminating(namespace: &str) -> Self {
        let message =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        Self { cause: Some("NamespaceTerminating"), ..Self::new(403, "Forbidden", message) }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn gone() -> Self {
        Self::new(410, "Expired", "too old resource version")
    }

    /// As it goes over the wire.
    pub fn to_json(&self) -> Value {
        let causes: Vec<Value> = self.cause.iter().map(|reason| json!({"reason": reason})).collect();
        json!({
            "details": {"causes": causes},
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}
