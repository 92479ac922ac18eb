//! The gRPC plumbing, over a real unix socket.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::TestServer;
use csi_driver::identity::IdentityService;
use csi_driver::registration::{Refused, RegistrationService};
use tokio::sync::{Notify, mpsc};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::identity_client::IdentityClient;
use workspacefs_csi_proto::csi::v1::identity_server::{Identity, IdentityServer};
use workspacefs_csi_proto::csi::v1::*;
use workspacefs_csi_proto::pluginregistration::v1::registration_client::RegistrationClient;
use workspacefs_csi_proto::pluginregistration::v1::registration_server::RegistrationServer;
use workspacefs_csi_proto::pluginregistration::v1::{InfoRequest, RegistrationStatus};
use workspacefs_runtime::Readiness;

const DRAIN: Duration = Duration::from_secs(10);

/// Probe waits until it is told to go on; the other two show what goes wrong in a handler.
struct Slow {
    started: mpsc::UnboundedSender<()>,
    go_on: Arc<Notify>,
    finished: mpsc::UnboundedSender<()>,
}

#[tonic::async_trait]
impl Identity for Slow {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        panic!("a bug");
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Err(Status::failed_precondition("not today"))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let _ = self.started.send(());
        self.go_on.notified().await;
        let _ = self.finished.send(());
        Ok(Response::new(ProbeResponse { ready: Some(true) }))
    }
}

struct SlowServer {
    server: TestServer,
    started: mpsc::UnboundedReceiver<()>,
    go_on: Arc<Notify>,
    finished: mpsc::UnboundedReceiver<()>,
}

fn slow(drain: Duration) -> SlowServer {
    let (started_sender, started) = mpsc::unbounded_channel();
    let (finished_sender, finished) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let service = Slow { started: started_sender, go_on: go_on.clone(), finished: finished_sender };
    SlowServer {
        server: TestServer::start(Routes::new(IdentityServer::new(service)), drain),
        started,
        go_on,
        finished,
    }
}

#[tokio::test]
async fn each_driver_says_who_it_is_and_only_that_of_disks_is_bound_to_nodes() {
    use plugin_capability::service::Type as ServiceType;
    let service = |kind: ServiceType| {
        plugin_capability::Type::Service(plugin_capability::Service { r#type: kind.into() })
    };
    let online = plugin_capability::volume_expansion::Type::Online.into();
    let expansion =
        plugin_capability::Type::VolumeExpansion(plugin_capability::VolumeExpansion { r#type: online });
    let controller = service(ServiceType::ControllerService);
    let bound = service(ServiceType::VolumeAccessibilityConstraints);
    for (driver, name, wanted) in [
        (IdentityService::Shared, "csi.workspacefs.io", vec![controller, expansion]),
        (IdentityService::Local, "local.csi.workspacefs.io", vec![controller, bound, expansion]),
    ] {
        let server = TestServer::start(Routes::new(IdentityServer::new(driver)), DRAIN);
        let mut client = IdentityClient::new(server.connect().await);
        let info = client.get_plugin_info(GetPluginInfoRequest {}).await.unwrap().into_inner();
        assert_eq!(info.name, name);
        assert!(!info.vendor_version.is_empty());
        let answer = client.get_plugin_capabilities(GetPluginCapabilitiesRequest {}).await.unwrap();
        let wanted: Vec<_> = wanted.into_iter().map(|kind| PluginCapability { r#type: Some(kind) }).collect();
        assert_eq!(answer.into_inner().capabilities, wanted);
        assert_eq!(client.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
        server.stop().await;
    }
}

#[tokio::test]
async fn an_rpc_nobody_implements_is_unimplemented() {
    let server = TestServer::start(Routes::new(IdentityServer::new(IdentityService::Shared)), DRAIN);
    let mut client = ControllerClient::new(server.connect().await);
    let answer = client.create_volume(CreateVolumeRequest::default()).await.unwrap_err();
    assert_eq!(answer.code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_with_internal_and_the_server_lives_on() {
    let SlowServer { server, go_on, .. } = slow(DRAIN);
    let mut client = IdentityClient::new(server.connect().await);
    let answer = client.get_plugin_info(GetPluginInfoRequest {}).await.unwrap_err();
    assert_eq!(answer.code(), Code::Internal);
    go_on.notify_one();
    assert!(client.probe(ProbeRequest {}).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn an_rpc_runs_to_its_end_when_the_caller_hangs_up() {
    let mut slow = slow(DRAIN);
    let mut client = IdentityClient::new(slow.server.connect().await);
    let call = tokio::spawn(async move { client.probe(ProbeRequest {}).await });
    slow.started.recv().await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Time for the cancellation to reach the server; a handler that it stopped would never finish.
    tokio::time::sleep(Duration::from_millis(200)).await;
    slow.go_on.notify_one();
    tokio::time::timeout(Duration::from_secs(5), slow.finished.recv())
        .await
        .expect("the handler was cut")
        .unwrap();
    slow.server.stop().await;
}

#[tokio::test]
async fn shutdown_lets_the_rpcs_under_way_finish_and_takes_no_new_ones() {
    let mut slow = slow(DRAIN);
    let mut client = IdentityClient::new(slow.server.connect().await);
    let call = tokio::spawn(async move { client.probe(ProbeRequest {}).await });
    slow.started.recv().await.unwrap();
    let go_on = slow.go_on.clone();
    let stop = tokio::spawn(slow.server.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!stop.is_finished(), "the server waits for the RPC");
    go_on.notify_one();
    assert!(call.await.unwrap().is_ok(), "the caller gets its answer");
    stop.await.unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let mut slow = slow(Duration::from_millis(300));
    let mut client = IdentityClient::new(slow.server.connect().await);
    let call = tokio::spawn(async move { client.probe(ProbeRequest {}).await });
    slow.started.recv().await.unwrap();
    let asked = Instant::now();
    slow.server.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5));
    call.abort();
}

#[tokio::test]
async fn every_rpc_is_counted_and_timed_by_name_and_code() {
    let SlowServer { server, go_on, .. } = slow(DRAIN);
    let mut client = IdentityClient::new(server.connect().await);
    go_on.notify_one();
    client.probe(ProbeRequest {}).await.unwrap();
    client.get_plugin_capabilities(GetPluginCapabilitiesRequest {}).await.unwrap_err();
    client.get_plugin_info(GetPluginInfoRequest {}).await.unwrap_err();
    let metrics = server.metrics();
    for wanted in [
        r#"workspacefs_rpc_seconds_count{rpc="Probe",code="OK"} 1"#,
        r#"workspacefs_rpc_seconds_count{rpc="GetPluginCapabilities",code="FAILED_PRECONDITION"} 1"#,
        r#"workspacefs_rpc_seconds_count{rpc="GetPluginInfo",code="INTERNAL"} 1"#,
        "workspacefs_rpcs_in_flight 0",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in\n{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn kubelet_learns_where_the_driver_is_and_readiness_waits_for_its_word() {
    let readiness = Readiness::new();
    let (service, mut refused) = RegistrationService::new(
        workspacefs_api::DRIVER,
        "/plugins/csi.sock".as_ref(),
        readiness.gate("kubelet"),
    );
    let server = TestServer::start(Routes::new(RegistrationServer::new(service)), DRAIN);
    let mut kubelet = RegistrationClient::new(server.connect().await);

    let info = kubelet.get_info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", "csi.workspacefs.io"));
    assert_eq!(info.endpoint, "/plugins/csi.sock");
    assert_eq!(info.supported_versions, ["1.0.0"]);

    assert_eq!(readiness.closed(), ["kubelet"]);
    let good = RegistrationStatus { plugin_registered: true, error: String::new() };
    kubelet.notify_registration_status(good.clone()).await.unwrap();
    assert!(readiness.closed().is_empty());
    assert!(refused.try_recv().is_err());

    let bad = RegistrationStatus { plugin_registered: false, error: "topology differs".into() };
    kubelet.notify_registration_status(bad.clone()).await.unwrap();
    kubelet.notify_registration_status(bad).await.expect("a second refusal while ending is answered too");
    assert_eq!(refused.await, Ok(Refused("topology differs".into())));
    assert_eq!(readiness.closed(), ["kubelet"]);
    server.stop().await;
}
