//! The JSON bodies of imports from S3 and R2. Whoever prints one sees no secret key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose object store it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// AWS S3, or what speaks like it where an endpoint is given.
    S3,
    /// Cloudflare R2.
    R2,
}

/// Body of `POST /v1/imports`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// Whose object store it is.
    pub provider: Provider,
    /// The bucket's name.
    pub bucket: String,
    /// Public half of the key.
    pub access_key_id: String,
    /// Secret half of the key: kept in memory only.
    pub secret_access_key: String,
    /// S3's region; found out where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// URL of the service without the bucket: needed for R2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only keys that begin so; it is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Percent-encoded path of the folder that gets the objects.
    pub destination: String,
}

impl fmt::Debug for ImportRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportRequest")
            .field("provider", &self.provider)
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("prefix", &self.prefix)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// Body of `POST /v1/imports/{id}/resume`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportResume {
    /// Public half of the key.
    pub access_key_id: String,
    /// Secret half of the key: kept in memory only.
    pub secret_access_key: String,
}

impl fmt::Debug for ImportResume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportResume")
    }
}

/// Where an import stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// Finds out what there is.
    Listing,
    /// Copies.
    Running,
    /// All that could be done is done; what failed stands in `failures`.
    Done,
    /// It ended early; `message` says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The process was started anew and has the keys no longer: goes on once they are entered again.
    Interrupted,
}

/// An import.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// In its URL.
    pub id: String,
    /// Whose object store it is.
    pub provider: Provider,
    /// The bucket's name.
    pub bucket: String,
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// URL of the service.
    pub endpoint: Option<String>,
    /// Percent-encoded path of the folder that gets the objects.
    pub destination: String,
    /// Where it stands.
    pub state: ImportState,
    /// How many objects.
    pub objects: ObjectCounts,
    /// How many bytes.
    pub bytes: ByteCounts,
    /// Objects whose content could be compared by size only.
    pub by_size: u64,
    /// Bytes per second, lately.
    pub rate: u64,
    /// Seconds that are left, by that rate; null for unknown.
    pub eta_seconds: Option<u64>,
    /// The first 1,000 that failed.
    pub failures: Vec<ImportFailure>,
    /// A sentence for people; empty where there is nothing to say.
    pub message: String,
    /// The input to correct, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Who began it.
    pub started_by: String,
}

/// Objects of an import.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectCounts {
    /// Found so far.
    pub total: u64,
    /// Here now.
    pub done: u64,
    /// Were here already.
    pub skipped: u64,
    /// Could not be had.
    pub failed: u64,
}

/// Bytes of an import.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ByteCounts {
    /// Found so far.
    pub total: u64,
    /// Of objects that are settled.
    pub done: u64,
}

/// An object that could not be had.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportFailure {
    /// Its key.
    pub key: String,
    /// Why, in a sentence.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_the_dialog_sends_it_and_printed_without_its_keys() {
        let text = r#"{"provider":"r2","bucket":"b","accessKeyId":"AKID-CANARY","secretAccessKey":"SECRET-CANARY",
            "endpoint":"https://a.r2.cloudflarestorage.com","destination":"in/here"}"#;
        let request: ImportRequest = serde_json::from_str(text).unwrap();
        assert_eq!((request.provider, request.region.as_deref()), (Provider::R2, None));
        assert!(!format!("{request:?}").contains("CANARY"));
        let resume = ImportResume { access_key_id: "CANARY".into(), secret_access_key: "CANARY".into() };
        assert!(!format!("{resume:?}").contains("CANARY"));
    }
}
