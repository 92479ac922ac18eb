//! Whether a request could come from a page that is not ours. Browsers say it themselves: `Sec-Fetch-Site`, which no page can
//! forge, decides where it is; where it is not, `Origin` must name the host that was asked. Programs send neither.

use axum::http::{HeaderMap, Method};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Why it is refused.
pub const REASON: &str = "the request comes from a page of another site";

/// Whether the request may be looked at. `authority` is the host that was asked, with its port.
pub fn is_ours(method: &Method, headers: &HeaderMap, authority: Option<&str>) -> bool {
    if let Some(is_ours) = fetched(method, headers) {
        return is_ours;
    }
    match headers.get("origin") {
        None => true,
        Some(_) if headers.get_all("origin").iter().count() > 1 => false,
        Some(origin) => {
            let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
            matches!((origin, authority), (Some(origin), Some(asked)) if host(origin).eq_ignore_ascii_case(host(asked)))
        }
    }
}

/// Whether a request without regard to its `Origin` may be looked at: no browser says that another site's page made it.
pub fn is_program(method: &Method, headers: &HeaderMap) -> bool {
    fetched(method, headers).unwrap_or(true)
}

/// What a browser says; None: it says nothing, or is none.
fn fetched(method: &Method, headers: &HeaderMap) -> Option<bool> {
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    // `none`: typed or chosen by the user, not by any page.
    headers.get(SEC_FETCH_SITE).map(|site| site == "same-origin" || (site == "none" && is_safe))
}

fn host(authority: &str) -> &str {
    authority.strip_suffix(":443").unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_programs_are_listened_to() {
        for (method, site, origin, good) in [
            ("GET", None, None, true),
            ("POST", None, None, true),
            ("POST", Some("same-origin"), Some("https://files.example:8443"), true),
            ("POST", Some("same-origin"), Some("https://renamed.by.a.proxy"), true),
            ("POST", Some("same-site"), None, false),
            ("POST", Some("cross-site"), None, false),
            ("POST", Some("none"), None, false),
            ("GET", Some("none"), None, true),
            ("GET", Some("cross-site"), None, false),
            ("GET", Some("same-site"), None, false),
            ("GET", Some("rubbish"), None, false),
            ("DELETE", None, Some("https://files.example:8443"), true),
            ("DELETE", None, Some("https://FILES.example:8443"), true),
            ("DELETE", None, Some("http://files.example:8443"), false),
            ("DELETE", None, Some("https://files.example"), false),
            ("DELETE", None, Some("https://evil.example:8443"), false),
            ("DELETE", None, Some("https://files.example:8443.evil"), false),
            ("GET", None, Some("https://evil.example"), false),
            ("POST", None, Some("null"), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let method = method.parse().unwrap();
            let got = is_ours(&method, &headers, Some("files.example:8443"));
            assert_eq!(got, good, "{method} {site:?} {origin:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("origin", "https://files.example".parse().unwrap());
        assert!(is_ours(&Method::POST, &headers, Some("files.example:443")), "443 is https's own port");
        assert!(!is_ours(&Method::POST, &headers, None));
    }
}
