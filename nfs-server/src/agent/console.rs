//! What a person decides by the command line: only the socket inside the container offers it.

use tonic::{Request, Response, Status};
use workspacefs_agent_proto::v1;
use workspacefs_storage::folders::Folders;

use super::{Agent, convert, kept_as};

#[async_trait::async_trait]
impl v1::console_server::Console for Agent {
    async fn list_removed(
        &self,
        _: Request<v1::ListRemovedRequest>,
    ) -> Result<Response<v1::ListRemovedResponse>, Status> {
        let write = |views: Vec<_>| v1::ListRemovedResponse {
            folders: views.into_iter().map(convert::removed).collect(),
        };
        self.call("ListRemoved", || Ok(()), |folders, ()| folders.removed(), write).await
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreRequest>,
    ) -> Result<Response<v1::RestoreResponse>, Status> {
        let id = request.into_inner().id;
        let operation = |folders: &Folders, id: String| folders.restore(&id);
        self.call("Restore", || Ok(id), operation, convert::restored).await
    }

    async fn discard(&self, request: Request<v1::DiscardRequest>) -> Result<Response<v1::Removed>, Status> {
        let id = request.into_inner().id;
        let operation = |folders: &Folders, id: String| folders.discard(&id);
        self.call("Discard", || Ok(id), operation, kept_as).await
    }
}
