//! AWS's signature, version 4, from its description: whether a request has the one that it should have.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::http::Uri;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// The most that a request's time may be away.
const SKEW_SECONDS_MAX: i64 = 15 * 60;

/// Why a request is not answered.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unsigned {
    Missing,
    KeyId,
    Region,
    Time,
    /// With what would have had to be signed.
    Signature(String),
}

pub(super) fn check(request: &Request, region: &str) -> Result<(), Unsigned> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 "));
    let fields: Vec<(&str, &str)> = authorization
        .ok_or(Unsigned::Missing)?
        .split(',')
        .filter_map(|field| field.trim().split_once('='))
        .collect();
    let field = |name: &str| {
        fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).ok_or(Unsigned::Missing)
    };
    let (credential, names, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let [id, day, signed_region, service, end] = credential.split('/').collect::<Vec<_>>()[..] else {
        return Err(Unsigned::Missing);
    };
    if id != ACCESS_KEY_ID {
        return Err(Unsigned::KeyId);
    }
    if signed_region != region || (service, end) != ("s3", "aws4_request") {
        return Err(Unsigned::Region);
    }
    let time = header("x-amz-date").filter(|time| time.starts_with(day)).ok_or(Unsigned::Missing)?;
    if is_far(time) {
        return Err(Unsigned::Time);
    }
    let body = header("x-amz-content-sha256").ok_or(Unsigned::Missing)?;
    // What can change the meaning of a request has to be signed.
    let signed: Vec<&str> = names.split(';').collect();
    let has_to_be = |name: &str| name == "host" || name.starts_with("x-amz-");
    if request.headers().keys().any(|name| has_to_be(name.as_str()) && !signed.contains(&name.as_str())) {
        return Err(Unsigned::Missing);
    }
    let headers: String =
        signed.iter().map(|name| format!("{name}:{}\n", header(name).unwrap_or_default().trim())).collect();
    let mut query: Vec<String> = self::query(request.uri())
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
        .collect();
    query.sort();
    let path = encoded(&decoded(request.uri().path()), true);
    let canonical = format!("{}\n{path}\n{}\n{headers}\n{names}\n{body}", request.method(), query.join("&"));
    let scope = format!("{day}/{region}/s3/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let start = format!("AWS4{SECRET_ACCESS_KEY}").into_bytes();
    let key = [day, region, "s3", "aws4_request"].iter().fold(start, |key, part| hmac(&key, part));
    if hex(&hmac(&key, &to_sign)) == signature { Ok(()) } else { Err(Unsigned::Signature(to_sign)) }
}

/// Names and values of a query, as they are meant.
pub(super) fn query(uri: &Uri) -> Vec<(String, String)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(a, b)| (decoded(a), decoded(b)))
        .collect()
}

/// Without its percent signs.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As AWS describes its `UriEncode`.
pub(super) fn encoded(text: &str, keeps_slashes: bool) -> String {
    let keep =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slashes && byte == b'/');
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn is_far(time: &str) -> bool {
    let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time);
    let Some(then) = parsed.ok().and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok()) else {
        return true;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    (then.timestamp().as_second() - now).abs() > SKEW_SECONDS_MAX
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
