//! What tests of our Kubernetes programs stand on: [`FakeApi`], an API server in this process, spoken to over HTTP by real
//! `kube` clients, with what the rest of a cluster would do (binding claims, collecting garbage, ending namespaces)
//! carried out by itself; and [`builders`] for objects. It can lose, delay and refuse requests on purpose ([`faults`]).
//!
//! It is not an API server: schemas, CEL and admission are left to the real one in the end-to-end tests. Whoever calls it may
//! do everything; it answers reviews of tokens and rights by what tests tell it ([`FakeApi::put_token`], [`FakeApi::grant`]).
//!
//! [`s3`] is a bucket's service, for what reads buckets; [`moto`] is one of others.
//!
//! [`lep`] starts the real clients of `lep storage`.
//!
//! And what tests of any of our processes stand on: [`step`], which kills one at each of its system calls.

mod access;
pub mod builders;
mod cluster;
pub mod faults;
mod http;
pub mod ids;
pub mod lep;
mod merge;
pub mod moto;
mod path;
mod python;
pub mod requests;
mod resources;
mod rules;
pub mod s3;
mod scale;
mod selector;
mod server;
mod state;
mod status;
pub mod step;
mod watch;

pub use access::{API_AUDIENCE, Grant};
pub use faults::{Fault, Moment};
pub use requests::{Request, Verb};
pub use server::FakeApi;
