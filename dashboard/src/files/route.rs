//! What a request to a file API takes, from its method and the first parts of its path. What is not in this table does not exist.
//! Nothing is decoded: `files` refuses what it would read differently, and holds every request against the asserted rights too.

use axum::http::Method;

use crate::review::Right;

/// One kind of request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// What the caller must have, all of them.
    pub rights: &'static [Right],
    /// What comes back.
    pub answer: Answer,
    /// Whether it can change something: such requests are in the audit log.
    pub changes: bool,
    /// Whether its JSON body names paths that the audit log is to have.
    pub names_paths: bool,
    /// Whether an import runs from then on.
    pub imports: bool,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// JSON, or lines of it.
    Json,
    /// A file's contents.
    Content,
    /// An archive of a folder.
    Archive,
}

const READ: &[Right] = &[Right::Read];
const WRITE: &[Right] = &[Right::Write];
const DELETE: &[Right] = &[Right::Delete];
const MOVE: &[Right] = &[Right::Write, Right::Delete];

/// A connection to the rsync daemon. It deletes nothing: what it could delete would not go to the trash.
pub const TUNNEL: Route =
    Route { rights: WRITE, answer: Answer::Json, changes: true, names_paths: false, imports: false };
/// To be told the daemon's secret, which holds for a while whatever becomes of the caller's rights.
pub const SECRET: &[Right] = MOVE;

/// The route of `method` and `rest`, what follows `/api/`, as it was sent.
pub fn route(method: &Method, rest: &str) -> Option<Route> {
    let parts: Vec<&str> = rest.split('/').collect();
    let plain =
        |rights, changes| Route { rights, answer: Answer::Json, changes, names_paths: false, imports: false };
    let named = |rights| Route { names_paths: true, ..plain(rights, true) };
    Some(match (method.as_str(), parts.as_slice()) {
        ("GET", ["list" | "stat" | "search", ..] | ["usage"]) => plain(READ, false),
        ("GET" | "HEAD", ["content", ..]) => Route { answer: Answer::Content, ..plain(READ, false) },
        ("GET", ["archive", ..]) => Route { answer: Answer::Archive, ..plain(READ, false) },
        // Its body names what is read, and changes nothing.
        ("POST", ["bundle", ..]) => Route { answer: Answer::Archive, ..plain(READ, false) },
        ("PUT", ["content" | "folders", ..]) => plain(WRITE, true),
        ("POST", ["archive" | "content", ..]) => plain(WRITE, true),
        ("DELETE", ["content", ..]) => plain(DELETE, true),
        ("POST", ["move"]) => named(MOVE),
        ("POST", ["copy"]) => named(WRITE),
        ("GET", ["rsync"]) => plain(WRITE, false),
        ("GET", ["trash"]) => plain(READ, false),
        ("DELETE", ["trash"] | ["trash", _]) => plain(DELETE, true),
        ("POST", ["trash", _, "restore"]) => named(WRITE),
        ("GET" | "OPTIONS", ["uploads"]) | ("HEAD", ["uploads", _]) => plain(WRITE, false),
        ("POST", ["uploads"]) | ("PATCH" | "DELETE", ["uploads", _]) => plain(WRITE, true),
        ("GET", ["imports"] | ["imports", _]) => plain(READ, false),
        ("POST", ["imports"] | ["imports", _, "resume"]) => Route { imports: true, ..named(WRITE) },
        ("DELETE", ["imports", _]) => plain(WRITE, true),
        _ => return None,
    })
}

/// The request target for `files`: the same bytes, without what is the gateway's alone. Says too whether a preview is asked for.
pub fn target(rest: &str, query: Option<&str>, answer: Answer) -> (String, bool) {
    let mut preview = false;
    let mut kept = Vec::new();
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if answer == Answer::Content && key == "preview" {
            preview |= value == "1";
        } else {
            kept.push(pair);
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    (format!("/v1/{rest}{query}"), preview)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_takes_what_the_contract_says_and_nothing_else_exists() {
        const R: &[Right] = READ;
        const W: &[Right] = WRITE;
        const D: &[Right] = DELETE;
        for (method, rest, rights, changes) in [
            ("GET", "list/", R, false),
            ("GET", "list", R, false),
            ("GET", "list/a/b", R, false),
            ("GET", "stat/a", R, false),
            ("GET", "search/a", R, false),
            ("GET", "usage", R, false),
            ("GET", "content/a%2Fb", R, false),
            ("HEAD", "content/a", R, false),
            ("GET", "archive/a", R, false),
            ("POST", "bundle/a", R, false),
            ("POST", "bundle", R, false),
            ("POST", "archive/a", W, true),
            ("POST", "archive", W, true),
            ("PUT", "content/a", W, true),
            ("POST", "content/a", W, true),
            ("PUT", "folders/a", W, true),
            ("DELETE", "content/a", D, true),
            ("POST", "move", MOVE, true),
            ("POST", "copy", W, true),
            ("GET", "rsync", W, false),
            ("GET", "trash", R, false),
            ("DELETE", "trash", D, true),
            ("DELETE", "trash/1", D, true),
            ("POST", "trash/1/restore", W, true),
            ("OPTIONS", "uploads", W, false),
            ("GET", "uploads", W, false),
            ("POST", "uploads", W, true),
            ("HEAD", "uploads/1", W, false),
            ("PATCH", "uploads/1", W, true),
            ("DELETE", "uploads/1", W, true),
            ("POST", "imports", W, true),
            ("GET", "imports", R, false),
            ("GET", "imports/1", R, false),
            ("DELETE", "imports/1", W, true),
            ("POST", "imports/1/resume", W, true),
        ] {
            let route = route(&method.parse().unwrap(), rest).unwrap();
            assert_eq!((route.rights, route.changes), (rights, changes), "{method} {rest}");
        }
        for (method, rest) in [
            ("POST", "list/a"),
            ("POST", "contents/a"),
            ("PATCH", "content/a"),
            ("GET", "bundle/a"),
            ("PUT", "archive/a"),
            ("HEAD", "list/a"),
            ("GET", "move"),
            ("GET", ""),
            ("GET", "openapi.json"),
            ("GET", "%6Cist/a"),
            ("GET", "/list/a"),
            ("GET", "../healthz"),
            ("DELETE", "trash/1/x"),
            ("DELETE", "uploads"),
            ("POST", "trash/1"),
            ("CONNECT", "content/a"),
            ("TRACE", "content/a"),
        ] {
            assert_eq!(route(&method.parse().unwrap(), rest), None, "{method} {rest}");
        }
    }

    #[test]
    fn the_target_keeps_every_byte_but_the_gateways_own_parameter() {
        for (rest, query, answer, expected, preview) in [
            ("content/a%ff%2F", None, Answer::Content, "/v1/content/a%ff%2F", false),
            ("content/a", Some("preview=1"), Answer::Content, "/v1/content/a", true),
            ("content/a", Some("x=%26&preview=1&y"), Answer::Content, "/v1/content/a?x=%26&y", true),
            ("content/a", Some("preview=0"), Answer::Content, "/v1/content/a", false),
            ("list/a", Some("preview=1"), Answer::Json, "/v1/list/a?preview=1", false),
            ("list//a/../b", Some(""), Answer::Json, "/v1/list//a/../b", false),
        ] {
            assert_eq!(target(rest, query, answer), (expected.to_owned(), preview));
        }
    }
}
