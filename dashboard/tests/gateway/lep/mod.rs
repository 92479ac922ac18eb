//! The wire contract of the `lep storage` client, row by row, with the file API itself behind the gateway.

mod errors;
mod login;
mod paths;
mod rights;
mod rsync;
mod storage;
mod uploads;

use axum::body::Body;
use axum::http::Request;
use workspacefs_api::files::tls_name;

use crate::real_files::RealFiles;
use crate::world::{JANE, Said, World, with};

pub const BASE: &str = "/api/v2/workspaces/ws";
const BOUNDARY: &str = "4f1d0c5be7a2";

pub struct Lep {
    pub world: World,
    pub files: RealFiles,
}

impl Lep {
    pub async fn start() -> Self {
        let world = World::start().await;
        let own = world.pki.leaf(&tls_name(&world.uid));
        let files = RealFiles::start(&own, &world.uid, world.key).await;
        *world.place.lock().unwrap() = files.address;
        Self { world, files }
    }

    /// As Jane, below the base of her workspace.
    pub async fn ask(&self, method: &str, path: &str) -> Said {
        self.ask_as(JANE, method, path).await
    }

    pub async fn ask_as(&self, token: &str, method: &str, path: &str) -> Said {
        self.world.ask(request(token, method, &format!("{BASE}{path}"))).await
    }

    /// Uploads as Jane, as the client does it.
    pub async fn upload(&self, path: &str, content: &str) -> Said {
        self.world.ask(upload(JANE, &format!("{BASE}{path}"), form("file", content))).await
    }

    /// Statuses of one method.
    pub async fn statuses(&self, method: &str, paths: &[(&str, u16)]) {
        for (path, status) in paths {
            let said = self.ask(method, path).await;
            assert_eq!(said.status.as_u16(), *status, "{method} {path}: {said:?}");
        }
    }
}

/// With the headers that the client sends.
pub fn request(token: &str, method: &str, path: &str) -> Request<Body> {
    let token = format!("Bearer {token}");
    let headers = [
        ("user-agent", "python-requests/2.32.5"),
        ("accept-encoding", "gzip, deflate"),
        ("accept", "*/*"),
        ("connection", "keep-alive"),
        ("authorization", token.as_str()),
    ];
    with(method, path, &headers, Body::empty())
}

pub fn upload(token: &str, path: &str, form: impl Into<Body>) -> Request<Body> {
    let mut request = request(token, "POST", path);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}").parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    *request.body_mut() = form.into();
    request
}

/// The beginning of a part, as the client writes it: its file's name is in raw UTF-8 and without a type.
pub fn head(part: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"lócal [x].txt\"\r\n\r\n"
    )
}

pub fn tail() -> String {
    format!("\r\n--{BOUNDARY}--\r\n")
}

pub fn form(part: &str, content: &str) -> String {
    format!("{}{content}{}", head(part), tail())
}
