//! Why an import cannot begin or go on, in words that name the field to correct.

use rustix::io::Errno;
use thiserror::Error;
use workspacefs_buckets::{BucketError, Field};
use workspacefs_files_proto::import::ImportState;

use super::state::word;

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
#[derive(Debug, Error)]
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
    #[error("{0} imports are running, and no more may at once: wait for one to end, or cancel one")]
    TooMany(usize),
    /// The file system refuses the destination.
    #[error("destination: {0}")]
    Destination(Errno),
    /// What keeps its state cannot.
    #[error("cannot write the import's record: {0}")]
    Record(std::io::Error),
    /// A task of ours ended.
    #[error("it ended by itself: {0}")]
    Broken(String),
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
            Self::Body(_)
            | Self::NotFound
            | Self::State(_)
            | Self::TooMany(_)
            | Self::Record(_)
            | Self::Broken(_) => None,
        }
    }
}
