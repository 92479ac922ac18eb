//! What is only asked: capacity per node, what a volume can do, what the controller can.

use std::collections::HashMap;

use tonic::Code;
use workspacefs_csi_proto::csi::v1::controller_service_capability::Type;
use workspacefs_csi_proto::csi::v1::controller_service_capability::rpc::Type as RpcType;
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{GIB, NODE_KEY, OTHER_UID, Setup, UID, mount, setup, wish, world};

fn of(name: &str) -> HashMap<String, String> {
    [("localStorage".to_owned(), name.to_owned())].into()
}

fn topology(entries: &[(&str, &str)]) -> Option<Topology> {
    Some(Topology { segments: entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect() })
}

/// What is different in a request.
type Change<'a> = &'a dyn Fn(&mut ValidateVolumeCapabilitiesRequest);

/// Available, and the largest volume.
async fn capacity(s: &mut Setup, request: GetCapacityRequest) -> Result<(i64, i64), Code> {
    let answer = s.client.get_capacity(request).await.map_err(|status| status.code())?.into_inner();
    assert_eq!(answer.minimum_volume_size, Some(4096));
    Ok((answer.available_capacity, answer.maximum_volume_size.unwrap()))
}

#[tokio::test]
async fn capacity_is_what_each_node_says_and_without_a_node_all_of_them() {
    let mut s = setup(world()).await;
    s.world.entry("n3", false, Some(50 * GIB));
    s.world.entry("n4", true, None);
    for (node, gib) in [("n1", 10), ("n2", 20), ("n3", 0), ("n4", 0), ("n9", 0)] {
        let request = GetCapacityRequest {
            parameters: of("fast"),
            accessible_topology: topology(&[(NODE_KEY, node)]),
            ..Default::default()
        };
        assert_eq!(capacity(&mut s, request).await, Ok((gib * GIB, gib * GIB)), "{node}");
    }
    for anywhere in [None, topology(&[])] {
        let request = GetCapacityRequest {
            parameters: of("fast"),
            accessible_topology: anywhere,
            ..Default::default()
        };
        assert_eq!(capacity(&mut s, request).await, Ok((30 * GIB, 20 * GIB)));
    }
    s.server.stop().await;
}

#[tokio::test]
async fn where_no_volume_can_be_made_there_is_no_capacity() {
    let mut s = setup(world()).await;
    let ask = |change: fn(&mut GetCapacityRequest)| {
        let mut request = GetCapacityRequest { parameters: of("fast"), ..Default::default() };
        change(&mut request);
        request
    };
    for request in [
        ask(|r| r.parameters.clear()),
        ask(|r| r.parameters = of("slow")),
        ask(|r| r.volume_capabilities.push(mount(5))),
        ask(|r| r.accessible_topology = topology(&[("topology.kubernetes.io/zone", "z")])),
        ask(|r| r.accessible_topology = topology(&[(NODE_KEY, "n1"), ("topology.kubernetes.io/zone", "z")])),
    ] {
        assert_eq!(capacity(&mut s, request.clone()).await, Ok((0, 0)), "{request:?}");
    }
    let unknown = ask(|r| drop(r.parameters.insert("size".into(), "1".into())));
    assert_eq!(capacity(&mut s, unknown).await, Err(Code::InvalidArgument));
    s.world.set(|state| {
        let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
        state.storages[0].metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    });
    assert_eq!(capacity(&mut s, ask(|_| {})).await, Ok((0, 0)), "it is going");
    s.server.stop().await;
}

#[tokio::test]
async fn what_a_volume_can_do_is_confirmed_and_what_it_cannot_is_said() {
    let mut s = setup(world()).await;
    let volume = s.create(wish("pvc-1", GIB)).await.unwrap();
    let ask = |change: &dyn Fn(&mut ValidateVolumeCapabilitiesRequest)| {
        let mut request = ValidateVolumeCapabilitiesRequest {
            volume_id: volume.volume_id.clone(),
            volume_capabilities: vec![mount(1)],
            ..Default::default()
        };
        change(&mut request);
        request
    };
    let context = volume.volume_context.clone();
    let mut foreign = context.clone();
    foreign.insert("node".into(), "n2".into());
    let wanted: [(Change<'_>, bool); 7] = [
        (&|_| {}, true),
        (&|r| r.volume_capabilities = [1, 2, 6, 7].map(mount).to_vec(), true),
        (&|r| (r.volume_context, r.parameters) = (context.clone(), of("fast")), true),
        (&|r| r.volume_capabilities.push(mount(3)), false),
        (&|r| r.volume_context = foreign.clone(), false),
        (&|r| r.parameters = of("slow"), false),
        (&|r| drop(r.mutable_parameters.insert("a".into(), "b".into())), false),
    ];
    for (change, confirmed) in wanted {
        let request = ask(change);
        let answer = s.client.validate_volume_capabilities(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.confirmed.is_some(), confirmed, "{request:?}: {}", answer.message);
        assert_eq!(answer.message.is_empty(), confirmed);
    }
    let share = ask(&|r| r.volume_id = format!("v1.ls.{UID}.{OTHER_UID}"));
    assert!(s.client.validate_volume_capabilities(share).await.unwrap().into_inner().confirmed.is_none());
    for (request, code) in [
        (ask(&|r| r.volume_id.clear()), Code::InvalidArgument),
        (ask(&|r| r.volume_capabilities.clear()), Code::InvalidArgument),
        (ask(&|r| r.volume_id = "fake-vol-id".into()), Code::NotFound),
        (ask(&|r| r.volume_id = format!("v1.lv.{UID}.{OTHER_UID}")), Code::NotFound),
        (ask(&|r| r.volume_id = r.volume_id.replace(UID, OTHER_UID)), Code::NotFound),
    ] {
        let answer = s.client.validate_volume_capabilities(request.clone()).await;
        assert_eq!(answer.unwrap_err().code(), code, "{request:?}");
    }
    s.server.stop().await;
}

#[tokio::test]
async fn the_controller_says_what_it_can_do() {
    let mut s = setup(world()).await;
    let answer =
        s.client.controller_get_capabilities(ControllerGetCapabilitiesRequest {}).await.unwrap().into_inner();
    let rpcs: Vec<RpcType> = answer
        .capabilities
        .into_iter()
        .map(|one| match one.r#type {
            Some(Type::Rpc(rpc)) => rpc.r#type(),
            None => panic!("no RPC"),
        })
        .collect();
    assert_eq!(
        rpcs,
        [
            RpcType::CreateDeleteVolume,
            RpcType::GetCapacity,
            RpcType::ExpandVolume,
            RpcType::SingleNodeMultiWriter
        ]
    );
    s.server.stop().await;
}
