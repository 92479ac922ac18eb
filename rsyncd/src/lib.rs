//! The rsync daemon of one FileSystem: Debian's `rsync --daemon`, one process per connection, and what has to be around it. This
//! program takes the connections, writes the daemon's configuration ([`config`]) and its secret ([`secret`]), and is what the
//! daemon runs before each transfer ([`prepare`]). Why it is built so is ADR 19.
//!
//! It knows neither Kubernetes nor who asks: at its socket only `files` comes in, which believes the gateway's assertion; at its
//! port, where there is one, whoever knows the secret.

pub mod children;
pub mod cli;
pub mod config;
pub mod log;
pub mod prepare;
pub mod secret;
pub mod serve;
