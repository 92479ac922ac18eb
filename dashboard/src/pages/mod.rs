//! The pages: one document at `/` and what it loads, built by Vite and embedded (feature `ui`). They are the same for everybody and
//! hold nothing of anybody's: whoever opens them without a session sees the login.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// Scripts and styles come from here and nowhere else, no markup becomes a script by assignment, and no page may frame ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; \
    connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";
/// Vite puts a digest into the names below it: what is there never changes.
const HASHED: &str = "assets/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
#[cfg(not(feature = "ui"))]
const ABSENT: &str = "<!doctype html><html lang=\"en\"><title>workspacefs</title>\
    <p>The pages are not built into this dashboard (feature <code>ui</code>). Its API is at <code>/wfs/v1</code>.</p></html>\n";

/// A file of the pages, by its path.
type Find = fn(&str) -> Option<Cow<'static, [u8]>>;

#[cfg(feature = "ui")]
#[derive(rust_embed::RustEmbed)]
#[folder = "../ui/dist"]
struct Dist;

#[cfg(feature = "ui")]
fn find(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

#[cfg(not(feature = "ui"))]
fn find(path: &str) -> Option<Cow<'static, [u8]>> {
    (path == "index.html").then_some(Cow::Borrowed(ABSENT.as_bytes()))
}

/// Answers whatever is no API.
pub async fn page(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::NotFound.into_response();
    }
    answer(find, request.uri().path(), request.headers())
}

fn answer(find: Find, path: &str, asked: &HeaderMap) -> Response {
    let path = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let Some((bytes, encoding)) = encoded(find, path, asked) else {
        return ApiError::NotFound.into_response();
    };
    let age = if path.starts_with(HASHED) { FOR_EVER } else { "no-cache" };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, media_type(path));
    set(header::CACHE_CONTROL, age);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::VARY, "accept-encoding");
    if let Some(encoding) = encoding {
        set(header::CONTENT_ENCODING, encoding);
    }
    response
}

/// The file, compressed where that was built and the browser takes it.
fn encoded(find: Find, path: &str, asked: &HeaderMap) -> Option<(Cow<'static, [u8]>, Option<&'static str>)> {
    let takes = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes = |name: &str| {
        takes.split(',').any(|word| {
            let (word, quality) = word.split_once(';').unwrap_or((word, ""));
            word.trim() == name && quality.trim() != "q=0"
        })
    };
    let plain = find(path)?;
    let compressed = [("br", ".br"), ("gzip", ".gz")].into_iter().find_map(|(name, extension)| {
        let bytes = takes(name).then(|| find(&format!("{path}{extension}"))).flatten()?;
        Some((bytes, Some(name)))
    });
    Some(compressed.unwrap_or((plain, None)))
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn made_up(path: &str) -> Option<Cow<'static, [u8]>> {
        let known: &[(&str, &str)] = &[
            ("index.html", "page"),
            ("assets/a-1.js", "script"),
            ("assets/a-1.js.br", "small"),
            ("icon.svg", "x"),
        ];
        known.iter().find(|(name, _)| *name == path).map(|(_, text)| Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn the_document_is_asked_for_each_time_and_what_has_a_digest_never_again() {
        let none = HeaderMap::new();
        for (path, age, kind) in [
            ("/", "no-cache", "text/html; charset=utf-8"),
            ("/index.html", "no-cache", "text/html; charset=utf-8"),
            ("/assets/a-1.js", FOR_EVER, "text/javascript; charset=utf-8"),
            ("/icon.svg", "no-cache", "image/svg+xml"),
        ] {
            let response = answer(made_up, path, &none);
            assert_eq!(response.headers()["cache-control"], age, "{path}");
            assert_eq!(response.headers()["content-type"], kind, "{path}");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(
                policy.contains("require-trusted-types-for 'script'") && !policy.contains("unsafe"),
                "{policy}"
            );
        }
        for path in ["/x", "/../Cargo.toml", "/assets", "/assets/"] {
            assert_eq!(answer(made_up, path, &none).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn compressed_files_go_to_those_who_take_them() {
        for (takes, encoding) in
            [("gzip, br", Some("br")), ("br;q=1.0", Some("br")), ("br;q=0", None), ("gzip", None), ("", None)]
        {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, takes.parse().unwrap());
            let response = answer(made_up, "/assets/a-1.js", &asked);
            let got = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(got, encoding, "{takes}");
            assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
        }
    }
}
