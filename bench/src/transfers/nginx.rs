//! nginx as a process of ours: one worker, nothing but its own folder, the same certificate as `files`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::identity::{Identity, free_address};
use super::process::Process;

/// A running one.
#[derive(Debug)]
pub struct Nginx {
    /// It.
    pub process: Process,
    /// Where it speaks TLS.
    pub tls: SocketAddr,
    /// Where it does not.
    pub plain: SocketAddr,
}

/// What its configuration is made of.
struct Settings<'a> {
    root: &'a Path,
    folder: &'a Path,
    identity: &'a Identity,
    tls: SocketAddr,
    plain: SocketAddr,
}

impl Nginx {
    /// Serves `root`, and takes uploads into it. Its own files lie in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, root: &Path, folder: &Path, identity: &Identity) -> Result<Self> {
        let (tls, plain) = (free_address()?, free_address()?);
        let settings = Settings { root, folder, identity, tls, plain };
        let path: PathBuf = folder.join("nginx.conf");
        std::fs::write(&path, settings.text())?;
        // Beside what it serves: what was taken gets its name by a rename, as with us.
        std::fs::create_dir_all(root.join(BODIES))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(path).arg("-e").arg(folder.join("nginx.log"));
        Ok(Self { process: Process::start(&command, tls)?, tls, plain })
    }
}

/// Where bodies lie while they come.
const BODIES: &str = ".nginx";

impl Settings<'_> {
    /// A piece of a body as large as ours, where its default of 16 KiB would cost it many calls.
    fn text(&self) -> String {
        let Self { root, folder, identity, tls, plain } = self;
        let (root, folder) = (root.display(), folder.display());
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let others = ["proxy", "fastcgi", "uwsgi", "scgi"];
        let others: String =
            others.iter().map(|name| format!("    {name}_temp_path {folder}/nginx-{name};\n")).collect();
        format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n    access_log off;\n    sendfile on;\n    tcp_nopush on;\n{others}\
             \x20   client_body_temp_path {root}/{BODIES};\n    client_body_buffer_size 1m;\n    client_max_body_size 0;\n\
             \x20   ssl_protocols TLSv1.3;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n\
             \x20   server {{\n        listen {tls} ssl;\n        listen {plain};\n        root {root};\n\
             \x20       location / {{ dav_methods PUT; }}\n    }}\n}}\n"
        )
    }
}
