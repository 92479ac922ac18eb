//! Making the driver known to kubelet, without a sidecar: a second socket in kubelet's `plugins_registry` folder.
//!
//! Kubelet (1.37, pkg/kubelet/pluginmanager) watches that folder. A socket that appears there is asked GetInfo (within
//! a second), then kubelet calls NodeGetInfo on the driver's own socket and reports by NotifyRegistrationStatus. A socket
//! that appears again, under the same name too, is registered anew. When it disappears the driver is forgotten, and mounts
//! and unmounts wait until it is back.
//!
//! A failed registration ends the process: CrashLoopBackOff shows the trouble to people, and a restart reads everything
//! anew. It does not make kubelet hurry: its back-off (up to two minutes) is kept per path of the socket. The path stays
//! the same all the same, because kubelet does the forgetting and the registering of one path one after the other; with
//! a path per process the forgetting of the old one could undo the registration of the new one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::oneshot;
use tonic::{Request, Response, Status};
use workspacefs_csi_proto::pluginregistration::v1::registration_server::Registration;
use workspacefs_csi_proto::pluginregistration::v1::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use workspacefs_runtime::Gate;

/// What kubelet's handler for CSI drivers is called.
const PLUGIN_TYPE: &str = "CSIPlugin";
/// Kubelet takes any 1.x and looks at nothing but the number before the dot.
const CSI_VERSION: &str = "1.0.0";

/// Where the registration socket belongs.
pub fn socket_path(kubelet_dir: &Path, driver: &str) -> PathBuf {
    kubelet_dir.join("plugins_registry").join(format!("{driver}-reg.sock"))
}

/// Kubelet refused the driver.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("kubelet did not register the driver: {0}")]
pub struct Refused(pub String);

/// The Registration service.
#[derive(Debug)]
pub struct RegistrationService {
    driver: &'static str,
    driver_socket: String,
    registered: Gate,
    refused: Mutex<Option<oneshot::Sender<Refused>>>,
}

impl RegistrationService {
    /// `driver_socket` is the path where the driver's Identity and Node are served. `registered` opens when kubelet has taken the
    /// driver; the receiver gets kubelet's words if it has not.
    pub fn new(
        driver: &'static str,
        driver_socket: &Path,
        registered: Gate,
    ) -> (Self, oneshot::Receiver<Refused>) {
        let (sender, receiver) = oneshot::channel();
        let driver_socket = driver_socket.to_string_lossy().into_owned();
        (Self { driver, driver_socket, registered, refused: Mutex::new(Some(sender)) }, receiver)
    }
}

#[tonic::async_trait]
impl Registration for RegistrationService {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: PLUGIN_TYPE.into(),
            name: self.driver.into(),
            endpoint: self.driver_socket.clone(),
            supported_versions: vec![CSI_VERSION.into()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        if status.plugin_registered {
            tracing::info!(driver = self.driver, "registered with kubelet");
            self.registered.open();
        } else {
            self.registered.close();
            let sender = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(sender) = sender {
                // The receiver is gone only when the process ends already.
                let _ = sender.send(Refused(status.error));
            }
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
