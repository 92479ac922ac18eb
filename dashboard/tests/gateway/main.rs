//! The gateway as a whole, over TLS on loopback: before it real HTTP clients, behind it a fake API server and a fake file API.

#![allow(clippy::unwrap_used)]

mod audit;
mod batch;
mod contract;
mod cross_site;
mod fake_files;
mod imports;
mod lep;
mod limits;
mod manifest;
mod passing;
mod pki;
mod process;
mod proxy_port;
mod rbac;
mod real_files;
mod revocation;
mod sessions;
mod tokens;
mod tunnel;
mod workspaces;
mod world;
