//! The body of every answer that is an error, and the status that goes with its code.

use serde::{Deserialize, Serialize};

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Code {
    /// No path of a file system.
    BadPath,
    /// The request is wrong otherwise.
    BadRequest,
    /// Nobody vouches for the caller.
    Unauthenticated,
    /// The caller may not, or the server's permissions refuse.
    Forbidden,
    /// No such thing.
    NotFound,
    /// Something has the name already.
    Exists,
    /// A folder that holds something.
    NotEmpty,
    /// A folder where a file is needed.
    IsDirectory,
    /// A file where a folder is needed.
    NotDirectory,
    /// A FIFO, socket or device.
    NotRegular,
    /// The state of what was asked about is another than the caller thinks: the offset of an upload.
    Conflict,
    /// It was there and is no longer.
    Gone,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// More than is accepted.
    TooLarge,
    /// The content has no such bytes.
    RangeNotSatisfiable,
    /// The content is not what its checksum says.
    ChecksumMismatch,
    /// Too much at once; try again later.
    Busy,
    /// Our fault.
    Internal,
    /// No file API answers (said by the gateway only).
    Unreachable,
    /// The server or the caller took too long.
    TimedOut,
    /// No space or no inodes left.
    QuotaExceeded,
}

impl Code {
    /// The HTTP status. tus answers a [`Code::ChecksumMismatch`] of a chunk with 460 instead.
    pub fn status(self) -> u16 {
        match self {
            Self::BadPath | Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Exists
            | Self::NotEmpty
            | Self::IsDirectory
            | Self::NotDirectory
            | Self::NotRegular
            | Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::RangeNotSatisfiable => 416,
            Self::ChecksumMismatch => 422,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::Unreachable => 502,
            Self::TimedOut => 504,
            Self::QuotaExceeded => 507,
        }
    }
}

/// The body of an error.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// For programs.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// The input to correct, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl ErrorBody {
    /// An error of no input in particular.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// Names the input.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_its_name_and_a_missing_field_not_at_all() {
        let body = ErrorBody::new(Code::BadPath, "no");
        assert_eq!(serde_json::to_string(&body).unwrap(), r#"{"code":"BadPath","message":"no"}"#);
        let body = body.field("to");
        let text = serde_json::to_string(&body).unwrap();
        assert_eq!(text, r#"{"code":"BadPath","message":"no","field":"to"}"#);
        assert_eq!(serde_json::from_str::<ErrorBody>(&text).unwrap(), body);
    }
}
