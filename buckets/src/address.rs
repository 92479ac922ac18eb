//! Where a bucket and its objects lie: URLs. Pure.

use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::error::BucketError;

/// Where the bucket's name stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// `https://<endpoint>/<bucket>/<key>`
    Path,
    /// `https://<bucket>.<endpoint>/<key>`
    VirtualHost,
}

/// What AWS's signature leaves as it is; in a key the slash too.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const KEY: &AsciiSet = &VALUE.remove(b'/');

/// The region in which a request is signed that does not know better.
const REGION_OF_AWS: &str = "us-east-1";
const REGION_OF_OTHERS: &str = "us-east-1";
const REGION_OF_R2: &str = "auto";
const R2: &str = ".r2.cloudflarestorage.com";
const AWS: &str = "amazonaws.com";

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// None: AWS, whose hosts have the region in them.
    endpoint: Option<Url>,
    bucket: String,
    style: Style,
}

impl Address {
    /// # Errors
    /// The endpoint or the bucket's name is none.
    pub fn new(endpoint: Option<&str>, bucket: &str, style: Option<Style>) -> Result<Self, BucketError> {
        if !is_bucket(bucket) {
            return Err(BucketError::BucketName(bucket.to_owned()));
        }
        let endpoint = endpoint.map(|endpoint| parse(endpoint.trim(), bucket)).transpose()?;
        let is_literal = endpoint.as_ref().is_some_and(|endpoint| literal(endpoint).is_some());
        // A certificate for *.s3.… is not one for a.b.s3.…
        let usual = match endpoint.is_none() && !bucket.contains('.') {
            true => Style::VirtualHost,
            false => Style::Path,
        };
        let style = if is_literal { Style::Path } else { style.unwrap_or(usual) };
        Ok(Self { endpoint, bucket: bucket.to_owned(), style })
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The region to begin with, where none is given.
    pub fn first_region(&self) -> &'static str {
        match &self.endpoint {
            None => REGION_OF_AWS,
            Some(endpoint) if endpoint.host_str().is_some_and(|host| host.ends_with(R2)) => REGION_OF_R2,
            Some(_) => REGION_OF_OTHERS,
        }
    }

    /// The address, if the endpoint is one and no name.
    pub fn literal(&self) -> Option<IpAddr> {
        self.endpoint.as_ref().and_then(literal)
    }

    /// The URL of an object, or of the bucket for the empty key. `query` are names and values as they are.
    ///
    /// # Errors
    /// [`BucketError::Key`]: a URL would mean another key.
    pub fn url(&self, region: &str, key: &str, query: &[(&str, &str)]) -> Result<Url, BucketError> {
        let mut url = self.service(region)?;
        let mut path = match self.style {
            Style::Path => format!("/{}", self.bucket),
            Style::VirtualHost => String::new(),
        };
        if !key.is_empty() || self.style == Style::VirtualHost {
            path.push('/');
        }
        path.extend(utf8_percent_encode(key, KEY));
        url.set_path(&path);
        // `.` and `..` are taken away, in whatever form they are written.
        if url.path() != path {
            return Err(BucketError::Key);
        }
        if !query.is_empty() {
            // In the order of their names: so they are signed.
            let mut pairs: Vec<String> =
                query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            pairs.sort_unstable();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    fn service(&self, region: &str) -> Result<Url, BucketError> {
        let mut url = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let china = if region.starts_with("cn-") { ".cn" } else { "" };
                let text = format!("https://s3.{region}.{AWS}{china}/");
                Url::parse(&text).map_err(|_| BucketError::RegionName(region.to_owned()))?
            }
        };
        if self.style == Style::VirtualHost {
            let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|error| BucketError::Endpoint(error.to_string()))?;
        }
        Ok(url)
    }
}

/// A value of a query, as it is signed and sent.
fn encoded(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

fn parse(text: &str, bucket: &str) -> Result<Url, BucketError> {
    let wrong = |why: &str| BucketError::Endpoint(why.to_owned());
    let url = Url::parse(text).map_err(|error| {
        let hint = if text.contains("://") { "" } else { "; it begins with https://" };
        BucketError::Endpoint(format!("it is no URL: {error}{hint}"))
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("it begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a user name in it: keys have fields of their own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has something after ? or #"));
    }
    let path = url.path().trim_matches('/');
    if !path.is_empty() {
        return Err(BucketError::EndpointHasBucket(path.to_owned()));
    }
    let host = url.host_str().ok_or_else(|| wrong("it names no host"))?;
    match bucket_in(host, bucket) {
        Some(found) => Err(BucketError::EndpointHasBucket(found.to_owned())),
        None => Ok(url),
    }
}

/// The bucket at the front of a host of which we know where it should begin.
fn bucket_in<'a>(host: &'a str, bucket: &str) -> Option<&'a str> {
    if let Some(front) = host.strip_suffix(R2) {
        let account = front.strip_suffix(".eu").or_else(|| front.strip_suffix(".fedramp")).unwrap_or(front);
        return account.rsplit_once('.').map(|(found, _)| found);
    }
    let is_aws = host.ends_with(AWS) || host.ends_with("amazonaws.com.cn");
    let (found, _) = host
        .split_at_checked(bucket.len())
        .filter(|(front, rest)| is_aws && *front == bucket && rest.starts_with('.'))?;
    Some(found)
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn is_bucket(name: &str) -> bool {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (3..=63).contains(&name.len())
        && name.bytes().all(is_good)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("..")
}

/// Whether it may stand in a host's name, wherever it comes from.
pub(crate) fn is_region(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: Option<&str>, style: Option<Style>, key: &str) -> String {
        Address::new(endpoint, "buck", style).unwrap().url("eu-west-1", key, &[]).unwrap().to_string()
    }

    #[test]
    fn the_buckets_name_stands_where_the_service_wants_it() {
        let minio = Some("http://minio.example:9000/");
        assert_eq!(url(None, None, "a/b c+ä"), "https://buck.s3.eu-west-1.amazonaws.com/a/b%20c%2B%C3%A4");
        assert_eq!(url(None, Some(Style::Path), ""), "https://s3.eu-west-1.amazonaws.com/buck");
        assert_eq!(url(minio, None, "//x"), "http://minio.example:9000/buck///x");
        assert_eq!(url(minio, Some(Style::VirtualHost), "x"), "http://buck.minio.example:9000/x");
        assert_eq!(url(Some("http://[::1]:1"), Some(Style::VirtualHost), "x"), "http://[::1]:1/buck/x");
        let dotted = Address::new(None, "a.b", None).unwrap().url("cn-north-1", "x", &[]).unwrap();
        assert_eq!(dotted.as_str(), "https://s3.cn-north-1.amazonaws.com.cn/a.b/x");
    }

    #[test]
    fn a_query_is_sorted_and_encoded_as_it_is_signed() {
        let address = Address::new(Some("http://h"), "buck", None).unwrap();
        let url = address.url("r", "", &[("prefix", "a b/+~\u{1}"), ("list-type", "2")]).unwrap();
        assert_eq!(url.as_str(), "http://h/buck?list-type=2&prefix=a%20b%2F%2B~%01");
    }

    #[test]
    fn a_key_that_a_url_would_change_is_refused() {
        let address = Address::new(Some("http://h"), "buck", None).unwrap();
        for key in ["..", "a/../b", "./a", "a/.", ".", "../other/x"] {
            assert!(matches!(address.url("r", key, &[]), Err(BucketError::Key)), "{key}");
        }
        for key in ["%2e%2e/a", "a/..b", "...", "a\\..\\b", "a?b#c", "\u{1}\n"] {
            assert!(address.url("r", key, &[]).is_ok(), "{key}");
        }
    }

    #[test]
    fn an_endpoint_with_the_bucket_in_it_and_what_is_no_endpoint_are_told_apart() {
        let account = "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com";
        let try_endpoint = |endpoint: &str| Address::new(Some(endpoint), "buck", None).map(drop);
        for good in [
            format!("https://{account}"),
            format!("https://{account}/"),
            format!("https://{}", account.replace(".r2", ".eu.r2")),
            "http://10.0.0.1:9000".to_owned(),
            "https://buck.example".to_owned(),
            "https://s3.eu-central-1.amazonaws.com".to_owned(),
        ] {
            assert!(try_endpoint(&good).is_ok(), "{good}");
        }
        for with_bucket in [
            format!("https://{account}/buck"),
            format!("https://{account}/other/"),
            format!("https://buck.{account}"),
            format!("https://buck.{}", account.replace(".r2", ".eu.r2")),
            "https://buck.s3.amazonaws.com".to_owned(),
        ] {
            let error = try_endpoint(&with_bucket).unwrap_err();
            assert!(matches!(error, BucketError::EndpointHasBucket(_)), "{with_bucket}: {error}");
        }
        for bad in [
            "",
            "minio:9000",
            "minio.example",
            "ftp://h",
            "https://",
            "https://u:p@h",
            "https://h/?x",
            "https://h#x",
        ] {
            let error = try_endpoint(bad).unwrap_err();
            assert!(matches!(error, BucketError::Endpoint(_)), "{bad}: {error}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn names_of_buckets_and_regions_can_stand_in_a_host() {
        for bad in ["", "ab", "a/b", "A-b", "a..b", "-ab", "ab.", "a_b", "a b", "x@evil"] {
            assert!(matches!(Address::new(None, bad, None), Err(BucketError::BucketName(_))), "{bad}");
        }
        for bad in ["", "evil.example/", "a.b", "A", "a b"] {
            assert!(!is_region(bad), "{bad}");
        }
        assert!(is_region("eu-central-1") && is_region("auto"));
    }
}
