//! Clients of what is measured, over its socket.

use anyhow::{Context, Result};
use tonic::transport::{Channel, Endpoint};

/// A channel to a socket, unix://...
///
/// # Errors
/// Nobody listens.
pub async fn connect(endpoint: &str) -> Result<Channel> {
    let connected = Endpoint::from_shared(endpoint.to_owned())?.connect().await;
    connected.with_context(|| format!("nobody answers at {endpoint}"))
}
