//! What a service means by an answer that is no success. Pure.

use http::{HeaderMap, StatusCode};

use crate::address::is_region;
use crate::credentials::Credentials;
use crate::error::BucketError;
use crate::object::header;
use crate::xml;

/// What was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    Listing,
    Object,
}

/// What is to be done about it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It may be over in a moment; if it is not, this is why.
    Passing(BucketError),
    /// The bucket lies in that region.
    Region(String),
    /// Another try would come to the same.
    Final(BucketError),
}

/// What the body of such an answer says.
#[derive(Debug, Default)]
struct Said {
    code: String,
    message: String,
    region: String,
    endpoint: String,
}

/// See the module. `region` is the one that the request was signed for.
pub(crate) fn refusal(
    (status, headers, body): (StatusCode, &HeaderMap, &str),
    asked: Asked,
    (bucket, region): (&str, &str),
    credentials: &Credentials,
) -> Refusal {
    let said = said(body);
    let actual =
        header(headers, "x-amz-bucket-region").filter(|region| !region.is_empty()).unwrap_or(&said.region);
    if !actual.is_empty() && actual != region {
        return match is_region(actual) {
            true => Refusal::Region(actual.to_owned()),
            false => Refusal::Final(BucketError::RegionName(credentials.redact(actual))),
        };
    }
    let words = words(status, &said, credentials);
    let error = match (&*said.code, status.as_u16()) {
        ("SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "Throttling", _)
        | (_, 429 | 500 | 502 | 503 | 504) => return Refusal::Passing(BucketError::Unavailable(words)),
        ("InvalidAccessKeyId" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
            BucketError::AccessKeyId
        }
        // R2 of a key whose length is wrong.
        ("InvalidArgument", _) if said.message.contains("access key") => BucketError::AccessKeyId,
        ("SignatureDoesNotMatch", _) => BucketError::SecretAccessKey,
        ("RequestTimeTooSkewed", _) => BucketError::Clock,
        ("NoSuchBucket", _) => BucketError::NoSuchBucket(bucket.to_owned()),
        ("InvalidBucketName", _) => BucketError::BucketName(bucket.to_owned()),
        ("NoSuchKey", _) => BucketError::NotFound,
        // An answer to HEAD has no words.
        ("", 404) if asked == Asked::Object && body.is_empty() => BucketError::NotFound,
        (_, 412 | 416) => BucketError::Changed,
        (_, 300..=399) => BucketError::Redirect(elsewhere(headers, &said, credentials)),
        ("AuthorizationHeaderMalformed", _) => BucketError::RegionName(region.to_owned()),
        ("InvalidObjectState", _) => {
            BucketError::Refused("the object is in an archive, and has to be restored first".to_owned())
        }
        ("", 401 | 403) => denied(asked, String::new()),
        (_, 401 | 403) => denied(asked, format!(" ({words})")),
        ("", 400..=499) if asked == Asked::Object && body.is_empty() => BucketError::Refused(words),
        ("", _) => BucketError::Malformed(words),
        _ => BucketError::Refused(words),
    };
    Refusal::Final(error)
}

fn denied(asked: Asked, said: String) -> BucketError {
    let what = match asked {
        Asked::Listing => "list the bucket (s3:ListBucket)",
        Asked::Object => "read the object (s3:GetObject)",
    };
    BucketError::AccessDenied { what, said }
}

fn said(body: &str) -> Said {
    let mut said = Said::default();
    // What is no XML says nothing.
    let _ = xml::each_text(body, |names, text| {
        let field = match names {
            [root, name] if root == "Error" => match &**name {
                "Code" => &mut said.code,
                "Message" => &mut said.message,
                "Region" => &mut said.region,
                "Endpoint" => &mut said.endpoint,
                _ => return,
            },
            _ => return,
        };
        *field = text.trim().to_owned();
    });
    said
}

/// For a person: one line, short, without credentials.
fn words(status: StatusCode, said: &Said, credentials: &Credentials) -> String {
    let words = match (said.code.is_empty(), said.message.is_empty()) {
        (true, _) => format!("HTTP status {}", status.as_u16()),
        (false, true) => said.code.clone(),
        (false, false) => format!("{}: {}", said.code, said.message),
    };
    let line: String =
        credentials.redact(&words).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.chars().take(300).collect()
}

/// Where a redirect leads: the host alone.
fn elsewhere(headers: &HeaderMap, said: &Said, credentials: &Credentials) -> String {
    let location = header(headers, "location").and_then(|location| reqwest::Url::parse(location).ok());
    let host = location.as_ref().and_then(reqwest::Url::host_str).unwrap_or(&said.endpoint);
    let host: String = credentials.redact(host).chars().filter(|c| !c.is_control()).take(253).collect();
    if host.is_empty() { "to no host".to_owned() } else { format!("to {host}") }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(status: u16, headers: &[(&'static str, &str)], body: &str, asked: Asked) -> Refusal {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret-of-it", None);
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        let status = StatusCode::from_u16(status).unwrap();
        refusal((status, &headers.collect(), body), asked, ("buck", "us-east-1"), &credentials)
    }

    fn code(code: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>AKIDEXAMPLE said\nso</Message></Error>")
    }

    #[test]
    fn each_refusal_names_the_field_to_correct_and_no_credential() {
        for (status, name, begin) in [
            (403, "InvalidAccessKeyId", "access key id:"),
            (403, "SignatureDoesNotMatch", "secret access key:"),
            (404, "NoSuchBucket", "bucket: there is no bucket \"buck\""),
            (403, "RequestTimeTooSkewed", "this machine's clock"),
            (
                403,
                "AccessDenied",
                "access denied: the keys are known, but may not list the bucket (s3:ListBucket) (AccessDenied: … said so)",
            ),
            (307, "TemporaryRedirect", "endpoint: it answers with a redirect (to no host)"),
            (404, "", "endpoint: the answer is not that of an S3 service: HTTP status 404"),
            (400, "EntityTooLarge", "the service refuses: EntityTooLarge: … said so"),
            (501, "NotImplemented", "the service refuses: NotImplemented"),
        ] {
            let body = if name.is_empty() { "<html>".to_owned() } else { code(name) };
            let Refusal::Final(error) = of(status, &[], &body, Asked::Listing) else { panic!("{name}") };
            assert!(error.to_string().starts_with(begin), "{name}: {error}");
        }
    }

    #[test]
    fn what_may_be_over_in_a_moment_is_tried_again() {
        for (status, body) in
            [(500, ""), (502, "<html>"), (503, &*code("SlowDown")), (429, ""), (400, &code("RequestTimeout"))]
        {
            assert!(matches!(of(status, &[], body, Asked::Object), Refusal::Passing(_)), "{status} {body}");
        }
    }

    #[test]
    fn a_bucket_of_another_region_is_followed_there_but_not_to_what_is_no_region() {
        let header = [("x-amz-bucket-region", "eu-west-3")];
        assert!(
            matches!(of(301, &header, "", Asked::Listing), Refusal::Region(region) if region == "eu-west-3")
        );
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
        assert!(
            matches!(of(400, &[], body, Asked::Listing), Refusal::Region(region) if region == "eu-west-3")
        );
        let same = [("x-amz-bucket-region", "us-east-1")];
        assert!(matches!(
            of(403, &same, &code("AccessDenied"), Asked::Listing),
            Refusal::Final(BucketError::AccessDenied { .. })
        ));
        let evil = [("x-amz-bucket-region", "evil.example/")];
        assert!(matches!(of(301, &evil, "", Asked::Listing), Refusal::Final(BucketError::RegionName(_))));
    }

    #[test]
    fn an_object_that_is_gone_or_another_one_says_so() {
        let is = |status, body: &str| match of(status, &[], body, Asked::Object) {
            Refusal::Final(error) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(is(404, ""), BucketError::NotFound));
        assert!(matches!(is(404, &code("NoSuchBucket")), BucketError::NoSuchBucket(_)));
        assert!(matches!(is(412, ""), BucketError::Changed) && matches!(is(416, ""), BucketError::Changed));
        let location = [("location", "http://AKIDEXAMPLE@evil.example/x?secret-of-it")];
        let Refusal::Final(error) = of(302, &location, "", Asked::Object) else { panic!() };
        assert!(error.to_string().contains("(to evil.example)"), "{error}");
    }
}
