//! What went wrong with a bucket, and which field of the form has to be corrected.

use std::net::IpAddr;

use thiserror::Error;

use crate::checksum::Algorithm;

/// Why something cannot be read. Each sentence names the field to correct, where one is; none has a credential in it.
#[derive(Debug, Error)]
pub enum BucketError {
    /// It cannot be parsed, or has parts that an endpoint has not.
    #[error("endpoint: {0}")]
    Endpoint(String),
    /// As in `https://<account>.r2.cloudflarestorage.com/<bucket>`.
    #[error(
        "endpoint: {0:?} stands in it, which looks like the bucket: give the endpoint without the bucket, and the bucket's name as bucket"
    )]
    EndpointHasBucket(String),
    /// The guard refuses where the endpoint's name leads.
    #[error(
        "endpoint: its address {0} is inside the cluster or of this machine: an administrator has to allow it"
    )]
    EndpointForbidden(IpAddr),
    /// The service wants to be asked elsewhere.
    #[error(
        "endpoint: it answers with a redirect ({0}), which is not followed: give the address of the S3 service itself"
    )]
    Redirect(String),
    /// No service could have it.
    #[error("bucket: {0:?} is not the name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'")]
    BucketName(String),
    /// There is none of that name.
    #[error("bucket: there is no bucket {0:?} at this endpoint")]
    NoSuchBucket(String),
    /// The bucket lies in another one.
    #[error("region: the bucket lies in region {actual:?}, not in {given:?}")]
    Region {
        /// As it was given.
        given: String,
        /// As the service says.
        actual: String,
    },
    /// What was given, or what the service says, is none.
    #[error("region: {0:?} is not the name of a region")]
    RegionName(String),
    /// The service does not know it.
    #[error("access key id: the service does not know it, or it has expired")]
    AccessKeyId,
    /// It is not the access key id's.
    #[error("secret access key: it does not go with the access key id")]
    SecretAccessKey,
    /// The keys are right, and may not.
    #[error("access denied: the keys are known, but may not {what}{said}")]
    AccessDenied {
        /// What was tried.
        what: &'static str,
        /// The service's own words, in brackets.
        said: String,
    },
    /// Signatures hold for some minutes only.
    #[error("this machine's clock and the service's are too far apart: the clock has to be set")]
    Clock,
    /// There is no such object, or not any more.
    #[error("the object is not there")]
    NotFound,
    /// The object is another one than that which was asked for.
    #[error("the object was changed while it was read")]
    Changed,
    /// Its key cannot be sent as a URL (`.` and `..` as a part of it).
    #[error("the object's key cannot be asked for by a URL")]
    Key,
    /// Its content has another checksum than the service has of it.
    #[error("what was read has another {0} than the service says")]
    Checksum(Algorithm),
    /// No answer, after some tries.
    #[error("endpoint: no answer from {host}: {why}")]
    Unreachable {
        /// Name and port.
        host: String,
        /// What the network says.
        why: String,
    },
    /// The service is busy or broken, after some tries.
    #[error("the service cannot answer now: {0}")]
    Unavailable(String),
    /// The answer ended before its end, after some tries.
    #[error("the answer was cut off: {0}")]
    Cut(String),
    /// It is not what an S3 service says.
    #[error("endpoint: the answer is not that of an S3 service: {0}")]
    Malformed(String),
    /// Anything else that the service refuses.
    #[error("the service refuses: {0}")]
    Refused(String),
    /// This process cannot make requests.
    #[error("cannot make requests: {0}")]
    Client(String),
}

/// What a person typed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Field {
    /// The endpoint's URL.
    Endpoint,
    /// The bucket's name.
    Bucket,
    /// The region.
    Region,
    /// The access key id.
    AccessKeyId,
    /// The secret access key.
    SecretAccessKey,
}

impl BucketError {
    /// The field to correct, if one is known to be wrong.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Endpoint(_)
            | Self::EndpointHasBucket(_)
            | Self::EndpointForbidden(_)
            | Self::Redirect(_)
            | Self::Unreachable { .. }
            | Self::Malformed(_) => Some(Field::Endpoint),
            Self::BucketName(_) | Self::NoSuchBucket(_) => Some(Field::Bucket),
            Self::Region { .. } | Self::RegionName(_) => Some(Field::Region),
            Self::AccessKeyId => Some(Field::AccessKeyId),
            Self::SecretAccessKey => Some(Field::SecretAccessKey),
            Self::AccessDenied { .. }
            | Self::Clock
            | Self::NotFound
            | Self::Changed
            | Self::Key
            | Self::Checksum(_)
            | Self::Unavailable(_)
            | Self::Cut(_)
            | Self::Refused(_)
            | Self::Client(_) => None,
        }
    }

    /// Whether it is the one object's alone: others can be read all the same.
    pub fn is_of_one_object(&self) -> bool {
        match self {
            Self::NotFound | Self::Changed | Self::Key | Self::Checksum(_) | Self::Cut(_) => true,
            // One object can be encrypted with a key of its own, or be in an archive.
            Self::AccessDenied { .. } | Self::Refused(_) => true,
            _ => false,
        }
    }
}
