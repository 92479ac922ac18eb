//! Generated gRPC code, client and server, for the part of CSI that workspacefs speaks and for kubelet's plugin
//! registration. The protos in `proto/` are ours; names and field numbers are those of CSI 1.13.0 and of
//! k8s.io/kubelet. A crate of its own, so that our lints do not judge generated code.
#![allow(missing_docs, clippy::all)]

/// Container Storage Interface.
pub mod csi {
    /// Version 1 (spec 1.13.0).
    pub mod v1 {
        tonic::include_proto!("csi.v1");
    }
}

/// Kubelet's plugin registration.
pub mod pluginregistration {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("pluginregistration");
    }
}
