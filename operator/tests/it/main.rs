//! The whole operator, controllers and lease, against testkit's API server. Each test states a rule.

#![allow(clippy::unwrap_used)]

mod cache;
mod cache_bucket;
mod cache_claim;
mod cache_crash;
mod cache_ends;
mod cache_fill;
mod cache_guide;
mod cache_local;
mod cache_lost;
mod cache_metrics;
mod cache_policies;
mod cache_refusals;
mod certificates;
mod claims_of_others;
mod classes;
mod conditions;
mod crash;
mod deletion;
mod embedded;
mod ends;
mod files;
mod files_crash;
mod files_policies;
mod isolation;
mod leader;
mod local;
mod local_asked;
mod local_claims;
mod local_classes;
mod local_crash;
mod local_ends;
mod local_nodes;
mod local_volumes;
mod managed;
mod outage;
mod policy;
mod retire;
mod shares;
mod volumes;
mod workspaces;
mod world;
