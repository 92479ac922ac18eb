//! What a person fills in to begin an import, and what of it can be known to be wrong before anything is asked of the service.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use workspacefs_buckets::{Bucket, BucketError, Credentials, Guard, Patience, Settings};
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::import::Provider;
use zeroize::Zeroizing;

use super::error::{ImportError, Input};
use super::keys::is_ours;

/// Where the objects are and where the files go: all but the keys.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Form {
    pub provider: Provider,
    pub bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    pub prefix: String,
    /// Percent-encoded.
    pub destination: String,
}

/// A word that is in no `Debug`, and wiped when it is dropped.
#[derive(Default)]
struct Secret(Zeroizing<String>);

impl<'a> Deserialize<'a> for Secret {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|word| Self(Zeroizing::new(word)))
    }
}

/// The body of `POST /v1/imports`. No Debug: it has keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filled {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    bucket: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    access_key_id: Secret,
    #[serde(default)]
    secret_access_key: Secret,
}

/// The body of `POST /v1/imports/{id}/resume`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    #[serde(default)]
    access_key_id: Secret,
    #[serde(default)]
    secret_access_key: Secret,
}

/// What an R2 account's endpoint looks like.
const R2_LIKE: &str = "https://<account>.r2.cloudflarestorage.com";

/// The form with its keys.
///
/// # Errors
/// The first field that is wrong. No error repeats what was typed as a key.
pub(crate) fn filled(body: &[u8]) -> Result<(Form, Credentials), ImportError> {
    let filled: Filled = parsed(body)?;
    let provider = match filled.provider.as_str() {
        "s3" => Provider::S3,
        "r2" => Provider::R2,
        _ => return Err(wrong(Input::Provider, "provider: it is either \"s3\" or \"r2\"")),
    };
    let form = Form {
        provider,
        bucket: filled.bucket.trim().to_owned(),
        region: given(filled.region),
        endpoint: given(filled.endpoint),
        prefix: filled.prefix.unwrap_or_default(),
        destination: destination(&filled.destination.unwrap_or_default())?.encode(),
    };
    form.check()?;
    Ok((form, credentials(&filled.access_key_id, &filled.secret_access_key)?))
}

/// The keys of somebody who lets an import go on.
///
/// # Errors
/// As [`filled`].
pub(crate) fn keys(body: &[u8]) -> Result<Credentials, ImportError> {
    let keys: Keys = parsed(body)?;
    credentials(&keys.access_key_id, &keys.secret_access_key)
}

fn credentials(id: &Secret, secret: &Secret) -> Result<Credentials, ImportError> {
    if id.0.trim().is_empty() {
        return Err(wrong(Input::AccessKeyId, "access key id: it is missing"));
    }
    if secret.0.trim().is_empty() {
        return Err(wrong(Input::SecretAccessKey, "secret access key: it is missing"));
    }
    Ok(Credentials::new(&id.0, &secret.0, None))
}

fn destination(text: &str) -> Result<FilePath, ImportError> {
    let path = FilePath::decode(text)
        .map_err(|error| wrong(Input::Destination, &format!("destination: {error}")))?;
    if is_ours(&path) {
        return Err(wrong(Input::Destination, "destination: .workspacefs is kept for the service itself"));
    }
    Ok(path)
}

impl Form {
    fn check(&self) -> Result<(), ImportError> {
        if self.bucket.is_empty() {
            return Err(wrong(Input::Bucket, "bucket: it is missing"));
        }
        if self.provider == Provider::R2 && self.endpoint.is_none() {
            return Err(wrong(Input::Endpoint, &format!("endpoint: R2 needs one, as in {R2_LIKE}")));
        }
        let is_aws = |endpoint: &String| endpoint.to_ascii_lowercase().contains(".amazonaws.com");
        if self.provider == Provider::R2 && self.endpoint.as_ref().is_some_and(is_aws) {
            let message = format!("endpoint: that is AWS's, not R2's: choose S3, or give {R2_LIKE}");
            return Err(wrong(Input::Endpoint, &message));
        }
        if self.prefix.len() > 1024 || self.prefix.contains('\0') {
            return Err(wrong(Input::Prefix, "prefix: no key can begin with it"));
        }
        Ok(())
    }

    /// The folder that it goes to.
    ///
    /// # Errors
    /// It is none, which only a record can say that somebody has written in.
    pub fn destination(&self) -> Result<FilePath, ImportError> {
        destination(&self.destination)
    }

    /// The bucket, with nothing sent to it yet.
    ///
    /// # Errors
    /// What is no bucket, endpoint or region.
    pub fn bucket(
        &self,
        credentials: Credentials,
        guard: Guard,
        patience: Patience,
    ) -> Result<Bucket, BucketError> {
        let mut settings = Settings::new(&self.bucket, credentials);
        settings.endpoint.clone_from(&self.endpoint);
        settings.region.clone_from(&self.region);
        settings.guard = guard;
        settings.patience = patience;
        Bucket::new(settings)
    }
}

/// What is only white space was not given.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The parser's own words can have what was typed in them: only the place is told.
fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(body)
        .map_err(|error| ImportError::Body(format!("line {}, column {}", error.line(), error.column())))
}

fn wrong(input: Input, message: &str) -> ImportError {
    ImportError::Input(input, message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled_with(change: serde_json::Value) -> Result<(Form, Credentials), ImportError> {
        let mut form = json!({
            "provider": "r2", "bucket": "buck", "accessKeyId": "AKIDCANARY", "secretAccessKey": "secret-canary",
            "endpoint": "https://0123.r2.cloudflarestorage.com", "destination": "/a/b%20c/", "prefix": "p/",
        });
        for (name, value) in change.as_object().unwrap() {
            form[name] = value.clone();
        }
        filled(form.to_string().as_bytes())
    }

    #[test]
    fn a_form_is_read_and_what_is_empty_was_not_given() {
        let (form, _) = filled_with(json!({ "region": " ", "bucket": " buck\n" })).unwrap();
        let expected = Form {
            provider: Provider::R2,
            bucket: "buck".into(),
            region: None,
            endpoint: Some("https://0123.r2.cloudflarestorage.com".into()),
            prefix: "p/".into(),
            destination: "a/b%20c".into(),
        };
        assert_eq!(form, expected);
        assert!(filled_with(json!({ "provider": "s3", "endpoint": null })).is_ok());
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (change, field) in [
            (json!({ "provider": "azure" }), "provider"),
            (json!({ "bucket": "" }), "bucket"),
            (json!({ "endpoint": "" }), "endpoint"),
            (json!({ "endpoint": "https://s3.eu-west-1.amazonaws.com" }), "endpoint"),
            (json!({ "prefix": "a".repeat(1025) }), "prefix"),
            (json!({ "accessKeyId": " " }), "accessKeyId"),
            (json!({ "secretAccessKey": "" }), "secretAccessKey"),
            (json!({ "destination": "a/%2e%2e/b" }), "destination"),
            (json!({ "destination": "a%00" }), "destination"),
            (json!({ "destination": ".workspacefs-files/trash" }), "destination"),
        ] {
            let error = filled_with(change.clone()).unwrap_err();
            assert_eq!(error.field(), Some(field), "{change}: {error}");
        }
        for (change, field) in [
            (json!({ "endpoint": "https://0123.r2.cloudflarestorage.com/buck" }), "endpoint"),
            (json!({ "endpoint": "https://buck.0123.r2.cloudflarestorage.com" }), "endpoint"),
            (json!({ "endpoint": "0123.r2.cloudflarestorage.com" }), "endpoint"),
            (json!({ "bucket": "Buck Et" }), "bucket"),
            (json!({ "region": "eu west" }), "region"),
        ] {
            let (form, keys) = filled_with(change.clone()).unwrap();
            let error = ImportError::from(form.bucket(keys, Guard::Any, Patience::default()).unwrap_err());
            assert_eq!(error.field(), Some(field), "{change}: {error}");
        }
    }

    #[test]
    fn what_was_typed_in_a_wrong_place_is_not_repeated() {
        for body in [
            json!({ "provider": "AKIDCANARY", "bucket": "b" }).to_string(),
            json!({ "bucket": ["AKIDCANARY"] }).to_string(),
            json!("AKIDCANARY").to_string(),
            "{\"secretAccessKey\": \"AKIDCANARY".to_owned(),
        ] {
            let error = filled(body.as_bytes()).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
        }
        assert!(keys(b"{\"accessKeyId\": 5}").is_err());
        assert!(keys(br#"{"accessKeyId": "a", "secretAccessKey": "b"}"#).is_ok());
    }
}
