//! The real clients, `leptonai` 0.27.3 and 0.22.5 from PyPI, unmodified, against the program itself: every verb of `lep storage`, over TLS
//! on loopback, with a fake API server and the file API behind it. They are installed once, into the folder of caches, and need
//! `python3` with `venv`: where that is missing these tests fail.

#![allow(clippy::unwrap_used)]

// Of these two not everything is needed here.
#[allow(dead_code)]
#[path = "gateway/pki.rs"]
mod pki;
#[allow(dead_code)]
#[path = "gateway/real_files.rs"]
mod real_files;
#[path = "real_lep/server.rs"]
mod server;
#[path = "real_lep/verbs.rs"]
mod verbs;
