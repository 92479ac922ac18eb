//! What the service answers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};

use super::signature::{Unsigned, encoded};
use super::{ACCESS_KEY_ID, Fault, Inner, Seen, Stored};

const PAGE_KEYS_MAX: usize = 1000;
/// Between half of an answer and the end of the connection.
const CUT_AFTER: Duration = Duration::from_millis(50);

pub(super) fn answer(inner: &Inner, seen: &Seen, fault: Option<Fault>) -> Response<Body> {
    let (mut cut, mut flip) = (false, false);
    match fault {
        Some(Fault::Error(status, code)) => return error(status, code, "as the test says"),
        Some(Fault::Redirect(to)) => {
            let mut response = error(307, "TemporaryRedirect", "elsewhere");
            if let Ok(to) = to.parse() {
                response.headers_mut().insert(header::LOCATION, to);
            }
            return response;
        }
        Some(Fault::Cut) => cut = true,
        Some(Fault::Flip) => flip = true,
        Some(Fault::Silence) | None => {}
    }
    if seen.key.is_empty() {
        let xml = listing(inner, seen).into_bytes();
        return body(200, HeaderMap::new(), xml.into(), cut);
    }
    let Some(stored) = inner.objects.get(&seen.key) else {
        return error(404, "NoSuchKey", "The key does not exist");
    };
    if inner.knows_if_match
        && seen.if_match.as_ref().is_some_and(|etag| *etag != format!("\"{}\"", stored.etag))
    {
        return error(412, "PreconditionFailed", "another one");
    }
    object(stored, seen, (cut, flip))
}

fn object(stored: &Stored, seen: &Seen, (cut, flip): (bool, bool)) -> Response<Body> {
    let mut headers = HeaderMap::new();
    let mut say = |name: &'static str, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    say("etag", &format!("\"{}\"", stored.etag));
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let modified = zoned(stored.modified).timestamp();
    // In GMT, by that name: AWS's own clients take no other.
    say("last-modified", &printer.timestamp_to_rfc9110_string(&modified).unwrap_or_default());
    // Checksums are of whole objects.
    let told =
        stored.headers.iter().filter(|(name, _)| seen.range.is_none() || !name.starts_with("x-amz-checksum"));
    told.for_each(|(name, value)| say(name, value));
    if seen.method == "HEAD" {
        say("content-length", &stored.content.len().to_string());
        return body(200, headers, Bytes::new(), false);
    }
    let size = stored.content.len();
    let (status, mut content) = match seen.range.as_deref().map(|range| parse(range, size)) {
        None => (200, stored.content.clone()),
        Some(None) => return error(416, "InvalidRange", "not satisfiable"),
        Some(Some((from, to))) => {
            say("content-range", &format!("bytes {from}-{}/{size}", to - 1));
            (206, stored.content.slice(from..to))
        }
    };
    if flip {
        let mut other = content.to_vec();
        if let Some(byte) = other.last_mut() {
            *byte ^= 1;
        }
        content = other.into();
    }
    body(status, headers, content, cut)
}

fn parse(range: &str, size: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
    (from < size && from <= to).then_some((from, (to + 1).min(size)))
}

fn zoned(seconds: i64) -> jiff::Zoned {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC)
}

fn listing(inner: &Inner, seen: &Seen) -> String {
    let parameter = |name: &str| seen.query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, after) = (parameter("prefix"), parameter("continuation-token"));
    let is_encoded = parameter("encoding-type") == "url";
    let keys_max = parameter("max-keys").parse().unwrap_or(PAGE_KEYS_MAX).min(PAGE_KEYS_MAX);
    let mut found =
        inner.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after).peekable();
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    if is_encoded {
        xml.push_str("<EncodingType>url</EncodingType>");
    }
    let mut last = String::new();
    for (key, stored) in found.by_ref().take(keys_max) {
        let shown = if is_encoded {
            encoded(key, true).replace("%20", "+")
        } else {
            key.replace('&', "&amp;").replace('<', "&lt;")
        };
        xml.push_str(&format!(
            "<Contents><Key>{shown}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            zoned(stored.modified).timestamp(),
            stored.etag,
            stored.content.len(),
        ));
        last.clone_from(key);
    }
    // The token is whatever the service likes: here the last key, which can hold anything.
    match found.peek() {
        Some(_) => {
            let token = last.replace('&', "&amp;").replace('<', "&lt;");
            xml.push_str(&format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
            ));
        }
        None => xml.push_str("<IsTruncated>false</IsTruncated>"),
    }
    xml.push_str("</ListBucketResult>");
    xml
}

/// As S3 does it, with what it was given.
pub(super) fn unsigned(error: &Unsigned, region: &str) -> Response<Body> {
    match error {
        Unsigned::Missing => self::error(403, "AccessDenied", "Access Denied"),
        Unsigned::KeyId => {
            self::error(403, "InvalidAccessKeyId", "The key id does not exist in our records.")
        }
        Unsigned::Time => self::error(403, "RequestTimeTooSkewed", "The difference is too large."),
        Unsigned::Region => {
            let message = format!(
                "The region is wrong; expecting '{region}'</Message><Region>{region}</Region><Message>"
            );
            self::error(400, "AuthorizationHeaderMalformed", &message)
        }
        Unsigned::Signature(text) => {
            let message = format!(
                "The signature for {ACCESS_KEY_ID} does not match.</Message><AWSAccessKeyId>{ACCESS_KEY_ID}</AWSAccessKeyId>\
                 <StringToSign>{text}</StringToSign><Message>"
            );
            self::error(403, "SignatureDoesNotMatch", &message)
        }
    }
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Response<Body> {
    let xml =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    body(status, HeaderMap::new(), xml.into_bytes().into(), false)
}

fn body(status: u16, headers: HeaderMap, content: Bytes, cut: bool) -> Response<Body> {
    let length = content.len();
    let body = match cut {
        false => Body::from(content),
        true => {
            let half = content.slice(..length / 2);
            let parts = [Ok(half), Err(std::io::Error::other("cut"))];
            // What was said until then goes out before the end does.
            Body::from_stream(stream::iter(parts).then(|part| async {
                if part.is_err() {
                    tokio::time::sleep(CUT_AFTER).await;
                }
                part
            }))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    if cut {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
