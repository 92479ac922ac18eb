//! The embedded NFS server's agent over gRPC: mutual TLS, a deadline on each call, its own words passed on.
//!
//! One connection per server is kept. The credentials are read before each call, three small files that the operator
//! renews: when they have changed the next call connects anew.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use workspacefs_agent_proto::tls::Credentials;
use workspacefs_agent_proto::v1;
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_runtime::chain;

use super::seams::Agents;

/// How long a call may take, connecting included. Above it nothing is known of what the agent does.
const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// The agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The process was started without credentials.
    #[error(
        "this controller has no credentials for the embedded NFS server: it was started without --agent-tls"
    )]
    NotSetUp,
    /// They cannot be read, or are malformed.
    #[error("cannot use the credentials for the embedded NFS server in {folder}")]
    Credentials {
        /// `--agent-tls`.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No connection, so nothing was asked; or it broke, and the agent with it.
    #[error("the embedded NFS server at {server} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// In words.
        reason: String,
    },
    /// It was asked, and may be at work still.
    #[error("the embedded NFS server at {server} did not answer within {} s", CALL_TIME_MAX.as_secs())]
    Late {
        /// Its address.
        server: String,
    },
    /// It answered, and said no.
    #[error("{words}")]
    Refused {
        /// What kind of no.
        code: Code,
        /// Its own words.
        words: String,
    },
}

/// Agents that are reached with the credentials of a folder.
#[derive(Clone, Debug)]
pub struct TlsAgents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None: this process speaks to no agent.
    folder: Option<PathBuf>,
    kept: Mutex<HashMap<String, (Credentials, Channel)>>,
}

impl TlsAgents {
    /// `folder` holds the three files of [`workspacefs_agent_proto::tls`].
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner { folder, kept: Mutex::default() }))
    }

    fn channel(&self, server: &str) -> Result<Channel, AgentError> {
        let folder = self.0.folder.as_ref().ok_or(AgentError::NotSetUp)?;
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| AgentError::Credentials {
            folder: folder.clone(),
            source,
        };
        // A Secret's files lie in memory: reading them waits for nobody.
        let credentials = Credentials::read(folder).map_err(|error: io::Error| unusable(error.into()))?;
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((with, channel)) = kept.get(server)
            && *with == credentials
        {
            return Ok(channel.clone());
        }
        let endpoint = credentials.endpoint(server).map_err(|error| unusable(error.into()))?;
        let channel = endpoint.connect_lazy();
        kept.insert(server.to_owned(), (credentials, channel.clone()));
        Ok(channel)
    }

    /// One call. A connection that failed is not used again.
    async fn call<Q, A, F>(
        &self,
        server: &str,
        question: Q,
        call: impl FnOnce(AgentClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, AgentError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let client = AgentClient::new(self.channel(server)?);
        let mut request = Request::new(question);
        // So that it does not begin what nobody waits for any more.
        request.set_timeout(CALL_TIME_MAX);
        let error = match timeout(CALL_TIME_MAX, call(client, request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => failure(server, &status),
            Err(_) => AgentError::Late { server: server.into() },
        };
        if !matches!(error, AgentError::Refused { .. }) {
            self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
        }
        Err(error)
    }
}

/// Whether the agent said it, or the way to it.
fn failure(server: &str, status: &Status) -> AgentError {
    let server = server.to_owned();
    // What the transport reports carries its cause; an answer that came over the wire carries none.
    match std::error::Error::source(status) {
        Some(cause) => match is_timeout(cause) {
            true => AgentError::Late { server },
            false => AgentError::Unreachable { server, reason: chain(cause) },
        },
        None if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            AgentError::Late { server }
        }
        None => AgentError::Refused { code: status.code(), words: status.message().to_owned() },
    }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[async_trait]
impl Agents for TlsAgents {
    async fn ensure_claim(
        &self,
        server: &str,
        request: v1::EnsureClaimRequest,
    ) -> Result<v1::Claim, AgentError> {
        self.call(server, request, |mut agent, request| async move { agent.ensure_claim(request).await })
            .await
    }

    async fn get_claim(&self, server: &str, request: v1::GetClaimRequest) -> Result<v1::Claim, AgentError> {
        self.call(server, request, |mut agent, request| async move { agent.get_claim(request).await }).await
    }

    async fn grow_claim(&self, server: &str, request: v1::GrowClaimRequest) -> Result<v1::Claim, AgentError> {
        self.call(server, request, |mut agent, request| async move { agent.grow_claim(request).await }).await
    }

    async fn remove_claim(
        &self,
        server: &str,
        request: v1::RemoveClaimRequest,
    ) -> Result<v1::Removed, AgentError> {
        self.call(server, request, |mut agent, request| async move { agent.remove_claim(request).await })
            .await
    }

    async fn list_file_systems(&self, server: &str) -> Result<Vec<v1::FileSystem>, AgentError> {
        let request = v1::ListFileSystemsRequest {};
        let answer = self
            .call(server, request, |mut agent, request| async move { agent.list_file_systems(request).await })
            .await?;
        Ok(answer.file_systems)
    }
}
