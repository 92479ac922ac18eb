//! How the operator and the CSI controller talk to the embedded NFS server's agent: generated gRPC code, client and
//! server, and the names that both ends must agree on. `proto/agent.proto` says what each call promises.

/// Version 1.
pub mod v1 {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("workspacefs.agent.v1");
}

pub mod tls;

/// TCP port on which the agent serves operator and controller.
pub const PORT: u16 = 9443;
/// The one export, as clients mount it.
pub const EXPORT: &str = "/workspacefs";
/// Name of the Service in front of the server.
pub const SERVICE: &str = "workspacefs-nfs";
