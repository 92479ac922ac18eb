//! What the OpenAPI document says of answers that are errors: each route names those that it gives. The tests of the API hold
//! every answer that they see against the document.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use workspacefs_files_proto::Code;

/// Sets of codes that come from the same part of a request's way. No two sets of one route have a status in common.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($code:ident)+;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refused(&[$(Code::$code),+])
            }
        }
    )*};
}

refusals! {
    /// Who asks: any route.
    OfCaller: Unauthenticated Forbidden;
    /// What is asked for.
    OfRequest: BadPath BadRequest NotFound;
    /// What has the names already.
    OfNames: Exists NotEmpty IsDirectory NotDirectory NotRegular Conflict;
    /// What an import or an upload is, and is not to be.
    OfState: Conflict;
    /// The storage server, and whoever else is waited for.
    OfServer: Busy Internal TimedOut;
    /// What is full, or has a quota.
    OfRoom: QuotaExceeded;
    /// The length of the body.
    OfBody: TooLarge;
    /// The checksum of what was sent.
    OfContent: ChecksumMismatch;
    /// `If-Match` and its like, and `Tus-Resumable`.
    OfConditions: PreconditionFailed;
    /// `Range`.
    OfRange: RangeNotSatisfiable;
    /// A cursor.
    OfCursor: Gone;
    /// A daemon in the same pod.
    OfDaemon: Busy;
    /// What this process reads for itself.
    OfOwn: Internal;
}

fn refused(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut named: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in codes {
        named.entry(code.status()).or_default().push(format!("`{code:?}`"));
    }
    let answer = |(status, names): (u16, Vec<String>)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response =
            ResponseBuilder::new().description(names.join(", ")).content("application/json", content);
        (status.to_string(), RefOr::T(response.build()))
    };
    named.into_iter().map(answer).collect()
}
