//! Why an import cannot begin or go on, in words that name the field to correct.

use thiserror::Error as ThisError;
use workspacefs_buckets::{BucketError, Field};
use workspacefs_files_proto::import::ImportState;
use workspacefs_files_proto::{Code, ErrorBody};

use super::state::word;
use crate::error::Error;

/// A field of the form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Input {
    Provider,
    Bucket,
    AccessKeyId,
    SecretAccessKey,
    Region,
    Endpoint,
    Prefix,
    Destination,
}

/// What a request about imports comes to, if it comes to nothing.
#[derive(Debug, ThisError)]
pub(crate) enum ImportError {
    /// A field of the form is wrong.
    #[error("{1}")]
    Input(Input, String),
    /// It is not JSON, or none of this form: where.
    #[error("the body is not the JSON of an import: {0}")]
    Body(String),
    /// The service refuses, or is none.
    #[error("{0}")]
    Bucket(#[from] BucketError),
    /// There is none of this id.
    #[error("there is no import of this id")]
    NotFound,
    /// It is in no state to go on.
    #[error("the import cannot go on: it is {}", word(*.0))]
    State(ImportState),
    /// So many run already.
    #[error(
        "at most {0} imports run at once, and half of them for one user: wait for one to end, or cancel one"
    )]
    TooMany(usize),
    /// The file system refuses the destination.
    #[error("destination: {0}")]
    Destination(Error),
    /// What keeps its state cannot.
    #[error("cannot write the import's record: {0}")]
    Record(Error),
}

impl Input {
    /// As the form's JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Bucket => "bucket",
            Self::AccessKeyId => "accessKeyId",
            Self::SecretAccessKey => "secretAccessKey",
            Self::Region => "region",
            Self::Endpoint => "endpoint",
            Self::Prefix => "prefix",
            Self::Destination => "destination",
        }
    }
}

/// The input that a bucket's error is about.
pub(crate) fn input(error: &BucketError) -> Option<Input> {
    error.field().map(|field| match field {
        Field::Endpoint => Input::Endpoint,
        Field::Bucket => Input::Bucket,
        Field::Region => Input::Region,
        Field::AccessKeyId => Input::AccessKeyId,
        Field::SecretAccessKey => Input::SecretAccessKey,
    })
}

impl ImportError {
    /// The field to correct, if one is known to be wrong.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Input(input, _) => Some(input.name()),
            Self::Bucket(error) => input(error).map(Input::name),
            Self::Destination(_) => Some(Input::Destination.name()),
            Self::Body(_) | Self::NotFound | Self::State(_) | Self::TooMany(_) | Self::Record(_) => None,
        }
    }

    /// What programs are told. The one place that decides it.
    fn code(&self) -> Code {
        match self {
            Self::Input(..) | Self::Body(_) => Code::BadRequest,
            // It is the other service that is busy; to ask again later is the remedy all the same.
            Self::Bucket(BucketError::Unavailable(_) | BucketError::Cut(_)) => Code::Busy,
            Self::Bucket(BucketError::Client(_) | BucketError::Clock) => Code::Internal,
            Self::Bucket(_) => Code::BadRequest,
            Self::NotFound => Code::NotFound,
            Self::State(_) => Code::Conflict,
            Self::TooMany(_) => Code::Busy,
            Self::Destination(error) | Self::Record(error) => error.code(),
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> ErrorBody {
        let body = ErrorBody::new(self.code(), self.to_string());
        match self.field() {
            Some(field) => body.field(field),
            None => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_code_and_the_field_of_what_is_wrong() {
        let bad = |error| (Code::BadRequest, error);
        for (error, (code, field)) in [
            (ImportError::Bucket(BucketError::SecretAccessKey), bad(Some("secretAccessKey"))),
            (ImportError::Bucket(BucketError::NoSuchBucket("b".into())), bad(Some("bucket"))),
            (ImportError::Bucket(BucketError::AccessDenied { what: "list", said: String::new() }), bad(None)),
            (ImportError::Bucket(BucketError::Unavailable("x".into())), (Code::Busy, None)),
            (ImportError::Input(Input::Destination, "x".into()), bad(Some("destination"))),
            (ImportError::Destination(Error::NotDirectory), (Code::NotDirectory, Some("destination"))),
            (ImportError::Record(Error::Quota), (Code::QuotaExceeded, None)),
            (ImportError::State(ImportState::Done), (Code::Conflict, None)),
            (ImportError::TooMany(4), (Code::Busy, None)),
            (ImportError::NotFound, (Code::NotFound, None)),
        ] {
            let body = error.body();
            assert_eq!((body.code, body.field.as_deref()), (code, field), "{error}");
            assert!(!body.message.is_empty());
        }
    }
}
