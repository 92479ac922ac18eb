//! AWS's signature, version 4, by the library of AWS's own SDK.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::Request;
use reqwest::Url;
use tracing::subscriber::NoSubscriber;

use crate::credentials::Credentials;
use crate::error::BucketError;

/// A request without a body, with the headers given, signed for this moment.
pub(crate) fn signed(
    method: &str,
    url: &Url,
    headers: &[(&'static str, String)],
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<Request<Vec<u8>>, BucketError> {
    let wrong = |error: &dyn std::error::Error| BucketError::Client(credentials.redact(&error.to_string()));
    let mut request = Request::builder().method(method).uri(url.as_str());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut request = request.body(Vec::new()).map_err(|error| wrong(&error))?;
    // As S3 wants it: the key as it is, and the digest of the (empty) body in a header.
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.keys().clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(now)
        .settings(settings);
    let params = params.build().map_err(|error| wrong(&error))?.into();
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let signable = SignableRequest::new(method, url.as_str(), headers, SignableBody::Bytes(&[]));
    // At TRACE the library tells the access key id; what it does here is in no log.
    let signed = tracing::subscriber::with_default(NoSubscriber::new(), || {
        signable.and_then(|signable| sign(signable, &params))
    });
    let signed = signed.map_err(|error| wrong(&error))?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The examples of AWS's documentation of signature version 4 for S3 (GET Object, GET Bucket): 2013-05-24T00:00:00Z.
    #[test]
    fn aws_own_examples_have_the_signatures_that_aws_publishes() {
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        let now = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        for (url, headers, signature) in [
            (
                "https://examplebucket.s3.amazonaws.com/test.txt",
                &[("range", "bytes=0-9".to_owned())][..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
                &[],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = Url::parse(url).unwrap();
            let request = signed("GET", &url, headers, "us-east-1", &credentials, now).unwrap();
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
        }
    }

    #[test]
    fn no_key_is_in_any_log_even_at_the_finest_level() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.reopen().unwrap())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!("the log works");
            let credentials = Credentials::new("AKIDOFTHETEST", "secret-of-the-test", None);
            let url = Url::parse("https://bucket.example/key").unwrap();
            signed("GET", &url, &[], "us-east-1", &credentials, UNIX_EPOCH).unwrap();
        });
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert!(
            log.contains("the log works") && !log.contains("OFTHETEST") && !log.contains("of-the-test"),
            "{log}"
        );
    }
}
