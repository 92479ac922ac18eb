//! CSI Identity: who we are. Both processes answer it, alike: an orchestrator may ask either.

use tonic::{Request, Response, Status};
use workspacefs_api::{DRIVER, LOCAL_DRIVER};
use workspacefs_csi_proto::csi::v1::identity_server::Identity;
use workspacefs_csi_proto::csi::v1::plugin_capability::service::Type as ServiceType;
use workspacefs_csi_proto::csi::v1::plugin_capability::volume_expansion::Type as ExpansionType;
use workspacefs_csi_proto::csi::v1::plugin_capability::{Service, Type, VolumeExpansion};
use workspacefs_csi_proto::csi::v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};

/// The Identity service of one of our drivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdentityService {
    /// `csi.workspacefs.io`.
    Shared,
    /// `local.csi.workspacefs.io`.
    Local,
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: match self {
                Self::Shared => DRIVER.into(),
                Self::Local => LOCAL_DRIVER.into(),
            },
            vendor_version: env!("CARGO_PKG_VERSION").into(),
            manifest: Default::default(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        // The plugin as a whole has a controller, whichever of its processes is asked.
        let service = |kind: ServiceType| Type::Service(Service { r#type: kind.into() });
        // Online: a quota, on the server or on the disk, grows while the volume is in use.
        let expansion = Type::VolumeExpansion(VolumeExpansion { r#type: ExpansionType::Online.into() });
        let capabilities = match self {
            // No topology: a share is reached from everywhere, and a node's group may change. The operator sets the node affinity
            // of PersistentVolumes.
            Self::Shared => vec![service(ServiceType::ControllerService), expansion],
            // A disk is reached from its own node only.
            Self::Local => vec![
                service(ServiceType::ControllerService),
                service(ServiceType::VolumeAccessibilityConstraints),
                expansion,
            ],
        };
        let capabilities =
            capabilities.into_iter().map(|kind| PluginCapability { r#type: Some(kind) }).collect();
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        // Answering is being ready: a dead server makes single volumes fail, never the driver.
        Ok(Response::new(ProbeResponse { ready: Some(true) }))
    }
}
