//! Which headers pass, and which are the gateway's own. Both ways only what is named passes: what `files` says of file contents
//! decides nothing about how a browser treats them, and what a caller sends cannot pose as the gateway's word.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::disposition;
use super::route::Answer;

/// What of a request `files` gets. No cookie, no token, no assertion but our own; no method override, no forwarded names.
const REQUEST: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "repr-digest",
    "tus-resumable",
    "upload-checksum",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-wfs-mode",
    "x-wfs-modified",
];

/// What of an answer the caller gets.
const ANSWER: &[&str] = &[
    "accept-ranges",
    "content-length",
    "content-range",
    "etag",
    "last-modified",
    "repr-digest",
    "retry-after",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-expires",
    "upload-length",
    "upload-metadata",
    "upload-offset",
];

const JSON_TYPES: &[&str] = &["application/json", "application/x-ndjson"];
const ARCHIVE_TYPES: &[&str] = &["application/zip", "application/x-tar"];
const BYTES: &str = "application/octet-stream";
const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'self'";

/// The headers for `files`.
pub fn request(from: &HeaderMap) -> HeaderMap {
    passing(from, REQUEST)
}

/// How the answer is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it should hold.
    pub answer: Answer,
    /// Whether it is to be shown, not saved.
    pub preview: bool,
    /// The percent-encoded path behind `/api/`.
    pub rest: &'a str,
    /// Of the FileSystem: what an archive of the whole is called.
    pub fs: &'a str,
    /// Whether the status is that of a success.
    pub is_success: bool,
}

/// The headers for the caller.
pub fn answer(from: &HeaderMap, asked: Asked<'_>) -> HeaderMap {
    let mut headers = passing(from, ANSWER);
    if let Some(location) = from.get(header::LOCATION).filter(|location| is_upload(location)) {
        headers.insert(header::LOCATION, location.clone());
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let said = from.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    let of = |known: &[&'static str]| known.iter().find(|known| **known == said).copied();
    let kind = match asked.answer {
        // An error of `files` is JSON, whatever was asked for.
        _ if !asked.is_success => of(JSON_TYPES).unwrap_or(BYTES),
        Answer::Json => of(JSON_TYPES).unwrap_or(BYTES),
        Answer::Content if asked.preview => disposition::preview_type(&disposition::last_name(asked.rest)),
        Answer::Content => BYTES,
        Answer::Archive => of(ARCHIVE_TYPES).unwrap_or(BYTES),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = if asked.is_success { disposition_of(asked, kind) } else { None };
    if let Some(value) = disposition.and_then(|value| HeaderValue::from_str(&value).ok()) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers
}

fn disposition_of(asked: Asked<'_>, kind: &str) -> Option<String> {
    match asked.answer {
        Answer::Json => None,
        Answer::Content if asked.preview => Some("inline".into()),
        Answer::Content => Some(disposition::attachment(&disposition::last_name(asked.rest))),
        Answer::Archive => {
            let folder = asked.rest.split_once('/').map_or("", |(_, folder)| folder);
            let mut name = disposition::last_name(folder);
            if name.is_empty() {
                name = asked.fs.into();
            }
            name.extend_from_slice(if kind == "application/x-tar" { b".tar" } else { b".zip" });
            Some(disposition::attachment(&name))
        }
    }
}

/// `uploads/<id>`, relative, and nothing else: no answer of `files` sends a browser anywhere.
fn is_upload(location: &HeaderValue) -> bool {
    let id = location.to_str().ok().and_then(|text| text.strip_prefix("uploads/"));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
}

fn passing(from: &HeaderMap, names: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in names.iter().map(|name| HeaderName::from_static(name)) {
        for value in from.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_could_pose_as_the_gateways_word_does_not_pass() {
        let sent = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "__Host-wfs=x"),
            ("x-wfs-csrf", "x"),
            ("workspacefs-assertion", "forged"),
            ("x-http-method-override", "DELETE"),
            ("x-forwarded-user", "root"),
            ("x-remote-user", "root"),
            ("connection", "range"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("host", "x"),
            ("range", "bytes=0-1"),
            ("upload-offset", "0"),
            ("x-wfs-mode", "0644"),
        ]);
        let passed = request(&sent);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["range", "upload-offset", "x-wfs-mode"]);
    }

    #[test]
    fn contents_are_saved_not_shown_whatever_files_says() {
        let said = headers(&[
            ("content-type", "text/html"),
            ("content-disposition", "inline"),
            ("set-cookie", "x=y"),
            ("content-security-policy", "default-src *"),
            ("access-control-allow-origin", "*"),
            ("location", "https://evil.example/"),
            ("refresh", "0;url=https://evil.example"),
            ("content-length", "7"),
            ("etag", "\"1\""),
        ]);
        let rest = "content/a/evil%22.html";
        let asked = Asked { answer: Answer::Content, preview: false, rest, fs: "default", is_success: true };
        let got = answer(&said, asked);
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment; filename=\"evil_.html\"; filename*=UTF-8''evil%22.html"),
            ("content-security-policy", "sandbox; default-src 'none'; frame-ancestors 'self'"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "private, no-cache"),
            ("content-length", "7"),
            ("etag", "\"1\""),
        ] {
            assert_eq!(got[name], value, "{name}");
        }
        assert_eq!(got.len(), 7, "{got:?}");
        let preview = answer(&said, Asked { preview: true, ..asked });
        assert_eq!(preview["content-type"], "text/plain; charset=utf-8");
        assert_eq!(
            (&preview["content-disposition"], preview.contains_key("set-cookie")),
            (&"inline".parse().unwrap(), false)
        );
        let refused = answer(
            &headers(&[("content-type", "application/json")]),
            Asked { is_success: false, preview: true, ..asked },
        );
        assert_eq!(refused["content-type"], "application/json");
        assert!(!refused.contains_key("content-disposition"));
        let json = answer(&said, Asked { answer: Answer::Json, ..asked });
        assert_eq!(json["content-type"], "application/octet-stream", "no JSON is no page either");
    }

    #[test]
    fn archives_are_named_by_their_folder_and_uploads_are_found_relative() {
        let asked =
            |rest| Asked { answer: Answer::Archive, preview: false, rest, fs: "default", is_success: true };
        for (rest, kind, name) in [
            ("archive/a/b%20c", "application/zip", "filename=\"b c.zip\""),
            ("archive/", "application/x-tar", "filename=\"default.tar\""),
            ("archive", "application/zip", "filename=\"default.zip\""),
            ("bundle/a", "application/x-tar", "filename=\"a.tar\""),
        ] {
            let mut said = HeaderMap::new();
            said.insert("content-type", HeaderValue::from_static(kind));
            let got = answer(&said, asked(rest));
            assert!(got["content-disposition"].to_str().unwrap().contains(name), "{got:?}");
            assert_eq!(got["content-type"], kind);
        }
        for (location, good) in [
            ("uploads/a-B_9", true),
            ("uploads/", false),
            ("/v1/uploads/a", false),
            ("uploads/../x", false),
            ("uploads/a?b", false),
            ("//evil.example/uploads/a", false),
        ] {
            let said = headers(&[("location", location)]);
            let got = answer(&said, Asked { answer: Answer::Json, ..asked("uploads") });
            assert_eq!(got.contains_key("location"), good, "{location}");
        }
    }
}
