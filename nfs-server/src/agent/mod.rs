//! The gRPC service: messages in, checked types, one operation on the folders, messages out. What an operation does on the
//! disk happens in a thread of its own and runs to its end even if the caller hangs up.

mod console;
mod convert;
pub mod listen;
pub mod state;
mod status;

use std::time::Instant;

use convert::RequestError;
use state::State;
use status::Coded;
use tonic::{Code, Request, Response, Status};
use workspacefs_agent_proto::{EXPORT, v1};
use workspacefs_storage::folders::Folders;

use crate::metrics::CallMetrics;

/// The service.
#[derive(Clone)]
pub struct Agent {
    state: State,
    metrics: CallMetrics,
}

impl Agent {
    /// The service on what the process can do.
    pub fn new(state: State, metrics: CallMetrics) -> Self {
        Self { state, metrics }
    }

    /// Runs one call: `read` checks the request, `operation` does it, `write` makes the answer.
    async fn call<Q, T, R, E>(
        &self,
        name: &'static str,
        read: impl FnOnce() -> Result<Q, RequestError>,
        operation: impl FnOnce(&Folders, Q) -> Result<T, E> + Send + 'static,
        write: impl FnOnce(T) -> R,
    ) -> Result<Response<R>, Status>
    where
        Q: Send + 'static,
        T: Send + 'static,
        E: Coded + Send + 'static,
    {
        let started = Instant::now();
        let run = async {
            let asked = read().map_err(|error| error.status())?;
            let folders = self.state.folders().map_err(|error| error.status())?;
            let task = tokio::task::spawn_blocking(move || operation(&folders, asked));
            match task.await {
                Ok(result) => result.map_err(|error| error.status()),
                Err(_) => Err(Status::internal("the agent panicked; its log has the place")),
            }
        };
        let result = run.await;
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.metrics.observe(name, code, started.elapsed());
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        match &result {
            Ok(_) if is_question(name) => tracing::debug!(call = name, milliseconds, "answered"),
            Ok(_) => tracing::info!(call = name, milliseconds, "done"),
            Err(status) => {
                tracing::warn!(call = name, milliseconds, ?code, cause = status.message(), "failed");
            }
        }
        result.map(|answer| Response::new(write(answer)))
    }
}

/// What is asked all day and changes nothing.
fn is_question(name: &str) -> bool {
    name.starts_with("Get") || name.starts_with("List") || name == "EnsureFileSystem"
}

#[async_trait::async_trait]
impl v1::agent_server::Agent for Agent {
    async fn get_server(&self, _: Request<v1::GetServerRequest>) -> Result<Response<v1::Server>, Status> {
        let serving = self.state.is_serving();
        let write = |overview: workspacefs_storage::folders::types::Overview| v1::Server {
            bytes_total: overview.bytes_total,
            bytes_free: overview.bytes_free,
            bytes_unpromised: overview.bytes_unpromised,
            serving,
            export: EXPORT.into(),
            trash_folders: overview.trash_folders,
        };
        self.call("GetServer", || Ok(()), |folders, ()| folders.overview(), write).await
    }

    async fn ensure_file_system(
        &self,
        request: Request<v1::EnsureFileSystemRequest>,
    ) -> Result<Response<v1::FileSystem>, Status> {
        let read = || convert::file_system_wish(request.into_inner());
        let operation = |folders: &Folders, wish| folders.ensure_file_system(&wish);
        self.call("EnsureFileSystem", read, operation, convert::file_system).await
    }

    async fn remove_file_system(
        &self,
        request: Request<v1::RemoveFileSystemRequest>,
    ) -> Result<Response<v1::Removed>, Status> {
        let request = request.into_inner();
        let read = || Ok((convert::uid(request.uid)?, convert::disposal(request.disposal)?));
        let operation = |folders: &Folders, (uid, disposal)| folders.remove_file_system(&uid, disposal);
        self.call("RemoveFileSystem", read, operation, kept_as).await
    }

    async fn list_file_systems(
        &self,
        _: Request<v1::ListFileSystemsRequest>,
    ) -> Result<Response<v1::ListFileSystemsResponse>, Status> {
        let write = |views: Vec<_>| v1::ListFileSystemsResponse {
            file_systems: views.into_iter().map(convert::file_system).collect(),
        };
        self.call("ListFileSystems", || Ok(()), |folders, ()| folders.file_systems(), write).await
    }

    async fn ensure_claim(
        &self,
        request: Request<v1::EnsureClaimRequest>,
    ) -> Result<Response<v1::Claim>, Status> {
        let read = || convert::claim_wish(request.into_inner());
        let operation = |folders: &Folders, wish| folders.ensure_claim(&wish);
        self.call("EnsureClaim", read, operation, convert::claim).await
    }

    async fn get_claim(&self, request: Request<v1::GetClaimRequest>) -> Result<Response<v1::Claim>, Status> {
        let request = request.into_inner();
        let read = || convert::claim_key(request.file_system_uid, request.name);
        self.call("GetClaim", read, |folders, key| folders.claim(&key), convert::claim).await
    }

    async fn grow_claim(
        &self,
        request: Request<v1::GrowClaimRequest>,
    ) -> Result<Response<v1::Claim>, Status> {
        let request = request.into_inner();
        let (required, limit) = (request.required_bytes, request.limit_bytes);
        let read = || convert::claim_key(request.file_system_uid, request.name);
        let operation = move |folders: &Folders, key| folders.grow_claim(&key, required, limit);
        self.call("GrowClaim", read, operation, convert::claim).await
    }

    async fn remove_claim(
        &self,
        request: Request<v1::RemoveClaimRequest>,
    ) -> Result<Response<v1::Removed>, Status> {
        let request = request.into_inner();
        let read = || {
            let key = convert::claim_key(request.file_system_uid, request.name)?;
            Ok((key, convert::disposal(request.disposal)?))
        };
        let operation = |folders: &Folders, (key, disposal)| folders.remove_claim(&key, disposal);
        self.call("RemoveClaim", read, operation, kept_as).await
    }
}

fn kept_as(path: Option<String>) -> v1::Removed {
    v1::Removed { kept_as: path.unwrap_or_default() }
}
