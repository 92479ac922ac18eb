//! The embedded NFS server, as the operator deals with it: where its Service is, what its agent is asked, what is known of
//! it. It exists only where the configuration names its Service.

pub mod certificates;
pub mod health;
pub mod isolation;
pub mod known;
pub mod secrets;
pub mod watcher;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use workspacefs_agent_proto::tls::Credentials;
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_agent_proto::v1::{
    EnsureFileSystemRequest, FileSystem, ListFileSystemsRequest, RemoveFileSystemRequest, Removed,
};

use self::secrets::Known;
use crate::metrics::{CallLabels, Metrics};

/// For how long the agent's answer is waited for, connecting included. Its own deadline for a connection is shorter.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// For how long the certificates are waited for, which an operator that has just started is still making.
const CERTIFICATE_TIME_MAX: Duration = Duration::from_secs(3);
/// An answer with every FileSystem and claim: some 300 bytes each.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The server's agent, asked by its callers' leave.
pub struct Server {
    client: Client,
    namespace: String,
    service: String,
    credentials: watch::Receiver<Known>,
    connection: Mutex<Connection>,
    metrics: Metrics,
}

#[derive(Default)]
struct Connection {
    /// The Service's address, as last read. Forgotten when a call does not get through: the Service may be another.
    address: Option<String>,
    agent: Option<Agent>,
}

/// A channel, and for whom it was made.
struct Agent {
    address: String,
    credentials: Credentials,
    client: AgentClient<Channel>,
}

/// Why the agent did not do what was asked.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No Service, no server.
    #[error("there is no Service {service} in namespace {namespace}")]
    NoService {
        /// Its name.
        service: String,
        /// Where it should be.
        namespace: String,
    },
    /// The Service has no address (of its own).
    #[error("Service {0} has no cluster IP")]
    NoAddress(String),
    /// The API server did not say where the Service is.
    #[error("cannot read the server's Service")]
    Api(#[source] Box<kube::Error>),
    /// Without a certificate the agent does not listen.
    #[error("no certificate to show to the server: {0}")]
    NoCertificate(String),
    /// The certificate or the address is malformed.
    #[error("cannot call the server")]
    Endpoint(#[source] tonic::transport::Error),
    /// It did not answer.
    #[error("the server does not answer within {0:?}")]
    Late(Duration),
    /// It said no.
    #[error("{}", words(.0))]
    Refused(Box<Status>),
}

/// What an error means to a FileSystem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Nobody knows what the server would say.
    Unavailable,
    /// There is not so much room.
    NoSpace,
    /// Something that is there forbids it.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// It is broken, or we are.
    Failed,
}

impl ServerError {
    /// What it means.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoService { .. }
            | Self::NoAddress(_)
            | Self::Api(_)
            | Self::NoCertificate(_)
            | Self::Endpoint(_)
            | Self::Late(_) => Kind::Unavailable,
            Self::Refused(status) => match status.code() {
                Code::ResourceExhausted | Code::OutOfRange => Kind::NoSpace,
                Code::FailedPrecondition | Code::AlreadyExists => Kind::Forbidden,
                Code::NotFound => Kind::NotFound,
                // What tonic makes of a connection that does not come about or breaks, of TLS that fails, of a deadline.
                Code::Unavailable
                | Code::Unknown
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::Unauthenticated
                | Code::PermissionDenied => Kind::Unavailable,
                Code::Ok | Code::InvalidArgument | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                    Kind::Failed
                }
            },
        }
    }

    fn outcome(&self) -> &'static str {
        match self.kind() {
            Kind::Unavailable => "unavailable",
            Kind::NoSpace => "no_space",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not_found",
            Kind::Failed => "failed",
        }
    }
}

/// What a status says to a person: the agent's words, or why the call did not get there.
fn words(status: &Status) -> String {
    let mut text = status.message().to_string();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = if text.is_empty() { cause_text } else { format!("{text}: {cause_text}") };
        }
        source = cause.source();
    }
    text
}

impl Server {
    /// Of the Service `service` in `namespace`; `credentials` tells what to show to the agent.
    pub fn new(
        client: Client,
        namespace: &str,
        service: &str,
        credentials: watch::Receiver<Known>,
        metrics: Metrics,
    ) -> Self {
        let (namespace, service) = (namespace.to_string(), service.to_string());
        Self { client, namespace, service, credentials, connection: Mutex::default(), metrics }
    }

    /// Where clients mount: the Service's address. Read once, and again after a call that did not get through.
    ///
    /// # Errors
    /// [`ServerError`] where there is none.
    pub async fn address(&self) -> Result<String, ServerError> {
        if let Some(address) = &self.connection().address {
            return Ok(address.clone());
        }
        let address = address_of(&self.client, &self.namespace, &self.service).await?;
        self.connection().address = Some(address.clone());
        Ok(address)
    }

    /// The address as it was last read, if the last call got through.
    pub fn known_address(&self) -> Option<String> {
        self.connection().address.clone()
    }

    /// Makes a FileSystem's folder, or brings its capacity to what is asked.
    ///
    /// # Errors
    /// [`ServerError`], with the agent's words.
    pub async fn ensure(&self, request: EnsureFileSystemRequest) -> Result<FileSystem, ServerError> {
        self.call("ensure", async |mut agent| agent.ensure_file_system(Request::new(request)).await).await
    }

    /// Ends a FileSystem. One that is not there has ended.
    ///
    /// # Errors
    /// [`ServerError`], with the agent's words.
    pub async fn remove(&self, request: RemoveFileSystemRequest) -> Result<Removed, ServerError> {
        let call =
            self.call("remove", async |mut agent| agent.remove_file_system(Request::new(request)).await);
        match call.await {
            Err(error) if error.kind() == Kind::NotFound => Ok(Removed::default()),
            removed => removed,
        }
    }

    /// All FileSystems, with their claims.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn list(&self) -> Result<Vec<FileSystem>, ServerError> {
        let call = async |mut agent: AgentClient<Channel>| {
            agent.list_file_systems(Request::new(ListFileSystemsRequest {})).await
        };
        self.call("list", call).await.map(|answer| answer.file_systems)
    }

    async fn call<T>(
        &self,
        call: &'static str,
        ask: impl AsyncFnOnce(AgentClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, ServerError> {
        let asked = async {
            let agent = self.agent().await?;
            ask(agent).await.map_err(|status| ServerError::Refused(Box::new(status)))
        };
        let answer = timeout(CALL_TIME_MAX, asked).await.unwrap_or(Err(ServerError::Late(CALL_TIME_MAX)));
        let outcome = answer.as_ref().map_or_else(ServerError::outcome, |_| "done");
        self.metrics.agent_calls.get_or_create(&CallLabels { call, outcome }).inc();
        if outcome == "unavailable" {
            // A connection to a node that is gone answers nothing for a quarter of an hour, also when the server is back.
            *self.connection() = Connection::default();
        }
        answer.map(Response::into_inner)
    }

    async fn agent(&self) -> Result<AgentClient<Channel>, ServerError> {
        let mut known = self.credentials.clone();
        // Whether it came in time or not: what there is to say stands in it.
        drop(timeout(CERTIFICATE_TIME_MAX, known.wait_for(Result::is_ok)).await);
        let credentials = known.borrow().clone().map_err(ServerError::NoCertificate)?;
        let address = self.address().await?;
        let mut connection = self.connection();
        if let Some(agent) = &connection.agent
            && agent.address == address
            && agent.credentials == credentials
        {
            return Ok(agent.client.clone());
        }
        let channel = credentials.endpoint(&address).map_err(ServerError::Endpoint)?.connect_lazy();
        let client = AgentClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        connection.agent = Some(Agent { address, credentials, client: client.clone() });
        Ok(client)
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a Service.
///
/// # Errors
/// [`ServerError`] where there is none.
pub async fn address_of(client: &Client, namespace: &str, service: &str) -> Result<String, ServerError> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(service).await.map_err(|error| ServerError::Api(Box::new(error)))?;
    let missing = || ServerError::NoService { service: service.into(), namespace: namespace.into() };
    let address = found.ok_or_else(missing)?.spec.and_then(|spec| spec.cluster_ip);
    let own = address.filter(|address| !address.is_empty() && address != "None");
    own.ok_or_else(|| ServerError::NoAddress(service.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    #[test]
    fn what_the_agent_says_decides_and_whatever_keeps_it_from_speaking_is_unavailable() {
        for (code, kind) in [
            (Code::ResourceExhausted, Kind::NoSpace),
            (Code::OutOfRange, Kind::NoSpace),
            (Code::FailedPrecondition, Kind::Forbidden),
            (Code::NotFound, Kind::NotFound),
            (Code::Unavailable, Kind::Unavailable),
            (Code::Unknown, Kind::Unavailable),
            (Code::DeadlineExceeded, Kind::Unavailable),
            (Code::InvalidArgument, Kind::Failed),
            (Code::Internal, Kind::Failed),
        ] {
            let error = ServerError::Refused(Box::new(Status::new(code, "5 GiB are left")));
            assert_eq!(error.kind(), kind, "{code:?}");
            assert_eq!(chain(&error), "5 GiB are left");
        }
        assert_eq!(ServerError::NoCertificate("x".into()).kind(), Kind::Unavailable);
    }
}
