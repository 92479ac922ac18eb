//! Volumes on the share of an `nfs` FileSystem, and what holds for every FileSystem.

use std::sync::Arc;
use std::time::Duration;

use csi_driver::share::Leaving;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::Notify;
use tonic::Code;
use workspacefs_api::volume::{Folder, VolumeAttributes};
use workspacefs_api::{Backend, ClaimBackend, ReclaimPolicy};
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessType, BlockVolume, MountVolume};
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{
    CLAIM_NAMESPACE, OTHER_UID, Setup, State, Trouble, UID, World, capability, file_system, mount, nfs,
    parameters, setup, wish,
};

async fn default_setup() -> Setup {
    setup(World::with(vec![nfs("default", UID)])).await
}

#[tokio::test]
async fn a_created_volume_says_where_it_is_and_claims_no_size() {
    let mut setup = default_setup().await;
    let volume = setup.create(wish("pvc-1")).await.unwrap();
    assert_eq!(volume.volume_id, format!("v1.vol.{UID}.pvc-1"));
    assert_eq!(volume.capacity_bytes, 0, "nothing is enforced, so nothing is claimed");
    let attributes = VolumeAttributes::from_map(&volume.volume_context).unwrap();
    assert_eq!(attributes.folder, Folder::Volume("pvc-1".into()));
    assert_eq!((attributes.server.as_str(), attributes.file_system_uid.as_str()), ("nfs", UID));
    setup.server.stop().await;
}

#[tokio::test]
async fn creating_again_gives_the_same_volume_and_another_size_is_refused() {
    let mut setup = default_setup().await;
    let first = setup.create(wish("pvc-1")).await.unwrap();
    assert_eq!(setup.create(wish("pvc-1")).await.unwrap(), first);
    let bigger = CapacityRange { required_bytes: 20, limit_bytes: 20 };
    let other = CreateVolumeRequest { capacity_range: Some(bigger), ..wish("pvc-1") };
    assert_eq!(setup.create(other).await, Err(Code::AlreadyExists));
    assert_eq!(setup.world.0.lock().unwrap().volumes.len(), 1);
    setup.server.stop().await;
}

#[tokio::test]
async fn names_of_any_form_make_volumes_that_can_be_deleted_again() {
    let mut setup = default_setup().await;
    for name in ["a".repeat(128), "../../etc".into(), "with space/and slash".into(), "Ünïcode".into()] {
        let volume = setup.create(wish(&name)).await.unwrap();
        assert!(volume.volume_id.len() <= 128, "{}", volume.volume_id);
        assert_eq!(setup.create(wish(&name)).await.unwrap().volume_id, volume.volume_id);
        setup.delete(&volume.volume_id).await.unwrap();
    }
    assert!(setup.world.0.lock().unwrap().volumes.is_empty());
    setup.server.stop().await;
}

#[tokio::test]
async fn a_bad_wish_is_an_invalid_argument_and_makes_nothing() {
    let mut setup = default_setup().await;
    let with = |change: fn(&mut CreateVolumeRequest)| {
        let mut request = wish("pvc-1");
        change(&mut request);
        request
    };
    let snapshot = |request: &mut CreateVolumeRequest| {
        request.volume_content_source = Some(VolumeContentSource::default());
    };
    for (what, request) in [
        ("no name", with(|r| r.name.clear())),
        ("long name", with(|r| r.name = "a".repeat(129))),
        ("no capabilities", with(|r| r.volume_capabilities.clear())),
        ("block", with(|r| r.volume_capabilities.push(capability(AccessType::Block(BlockVolume {}))))),
        ("no access mode", with(|r| r.volume_capabilities[0].access_mode = None)),
        ("snapshot", with(snapshot)),
        ("mutable parameters", with(|r| r.mutable_parameters = parameters("a", "b"))),
        ("no parameters", with(|r| r.parameters.clear())),
        ("a claim of nobody knows which namespace", with(|r| drop(r.parameters.remove(CLAIM_NAMESPACE)))),
        ("unknown parameter", with(|r| drop(r.parameters.insert("server".into(), "evil".into())))),
        (
            "a claim of another namespace",
            with(|r| drop(r.parameters.insert(CLAIM_NAMESPACE.into(), "b".into()))),
        ),
        (
            "contradicting sizes",
            with(|r| r.capacity_range = Some(CapacityRange { required_bytes: 2, limit_bytes: 1 })),
        ),
        (
            "forbidden mount option",
            with(|r| {
                let mount = MountVolume { mount_flags: vec!["addr=10.0.0.1".into()], ..Default::default() };
                r.volume_capabilities = vec![capability(AccessType::Mount(mount))];
            }),
        ),
    ] {
        assert_eq!(setup.create(request).await, Err(Code::InvalidArgument), "{what}");
    }
    assert!(setup.world.0.lock().unwrap().volumes.is_empty());
    setup.server.stop().await;
}

#[tokio::test]
async fn a_file_system_that_cannot_be_used_is_named() {
    let claim = Backend {
        persistent_volume_claim: Some(ClaimBackend { claim_name: "c".into() }),
        ..Default::default()
    };
    let mut going = nfs("going", OTHER_UID);
    going.metadata.deletion_timestamp = Some(Time(Default::default()));
    let mut setup = setup(World::with(vec![file_system("claim", UID, claim), going])).await;
    for (name, code, words) in [
        (
            "missing",
            Code::InvalidArgument,
            "FileSystem \"missing\" in namespace \"team-a\", and there is none",
        ),
        ("claim", Code::FailedPrecondition, "backend is not nfs"),
        ("going", Code::FailedPrecondition, "team-a/going is being deleted"),
    ] {
        let request = CreateVolumeRequest { parameters: parameters("team-a", name), ..wish("pvc-1") };
        let status = setup.client.create_volume(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{name}");
        assert!(status.message().contains(words), "{}", status.message());
        assert!(status.details().is_empty(), "CSI wants no details");
    }
    setup.server.stop().await;
}

#[tokio::test]
async fn create_volume_ends_in_a_terminal_code_whatever_fails() {
    let mut setup = default_setup().await;
    for (trouble, code) in [
        (Trouble::Unreachable, Code::Internal),
        (Trouble::Full, Code::ResourceExhausted),
        (Trouble::Denied, Code::FailedPrecondition),
    ] {
        setup.world.set(|state| state.trouble = trouble);
        assert_eq!(setup.create(wish("pvc-1")).await, Err(code), "{trouble:?}");
    }
    setup.world.set(|state| state.api_away = true);
    assert_eq!(setup.create(wish("pvc-1")).await, Err(Code::Internal));
    setup.server.stop().await;
}

#[tokio::test]
async fn while_one_call_works_on_a_volume_a_second_is_aborted_and_others_go_on() {
    let mut setup = default_setup().await;
    let hold = Arc::new(Notify::new());
    setup.world.set(|state| state.hold = Some(hold.clone()));
    let mut client = setup.client.clone();
    let first = tokio::spawn(async move { client.create_volume(wish("pvc-1")).await });
    let id = format!("v1.vol.{UID}.pvc-1");
    // The first call is under way as soon as a second one is refused.
    let refused = async {
        loop {
            match setup.delete(&id).await {
                Err(Code::Aborted) => return,
                other => assert_eq!(other, Ok(()), "before the first has begun"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("never aborted");
    assert_eq!(setup.create(wish("pvc-1")).await, Err(Code::Aborted));
    assert_eq!(setup.delete(&format!("v1.vol.{UID}.pvc-2")).await, Ok(()));
    hold.notify_one();
    assert!(first.await.unwrap().is_ok());
    setup.world.set(|state| state.hold = None);
    assert!(setup.create(wish("pvc-1")).await.is_ok(), "the guard went with its call");
    setup.server.stop().await;
}

#[tokio::test]
async fn deleting_on_a_file_system_with_delete_moves_to_the_trash_and_can_be_repeated() {
    let mut fs = nfs("default", UID);
    fs.spec.reclaim_policy = ReclaimPolicy::Delete;
    let mut setup = setup(World::with(vec![fs])).await;
    let id = setup.create(wish("pvc-1")).await.unwrap().volume_id;
    for _ in 0..2 {
        assert_eq!(setup.delete(&id).await, Ok(()));
    }
    setup.world.set(|state| {
        assert_eq!(state.left, [(format!("{UID}/pvc-1"), Leaving::Trash("pvc-1".into()))]);
    });
    setup.server.stop().await;
}

#[tokio::test]
async fn deleting_on_a_file_system_with_archive_or_retain_keeps_the_files_under_a_readable_name() {
    for policy in [ReclaimPolicy::Archive, ReclaimPolicy::Retain] {
        let mut fs = nfs("default", UID);
        fs.spec.reclaim_policy = policy;
        let mut setup = setup(World::with(vec![fs])).await;
        let id = setup.create(wish("pvc-1")).await.unwrap().volume_id;
        assert_eq!(setup.delete(&id).await, Ok(()));
        setup.world.get(|state| match state.left.as_slice() {
            [(_, Leaving::Archive(name))] => {
                let stamp = name.strip_prefix("team-a.default.pvc-1.20").expect(name);
                assert!(stamp.len() == 14 && stamp.ends_with('Z'), "{name}");
            }
            other => panic!("{policy:?}: {other:?}"),
        });
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn a_claim_of_another_namespace_gets_a_volume_only_where_the_class_says_so() {
    let mut setup = default_setup().await;
    let foreign = |allowed: Option<&str>| {
        let mut request = wish("pvc-1");
        request.parameters.insert(CLAIM_NAMESPACE.into(), "team-b".into());
        if let Some(allowed) = allowed {
            request.parameters.insert("allowedNamespaces".into(), allowed.into());
        }
        request
    };
    for allowed in [None, Some("team-c"), Some("team-a"), Some("")] {
        assert_eq!(setup.create(foreign(allowed)).await, Err(Code::InvalidArgument), "{allowed:?}");
    }
    assert!(setup.world.get(|state| state.volumes.is_empty()));
    for allowed in ["team-b", "team-c, team-b", "*"] {
        assert!(setup.create(foreign(Some(allowed))).await.is_ok(), "{allowed}");
    }
    setup.server.stop().await;
}

#[tokio::test]
async fn a_share_has_no_size_to_grow_and_says_so_instead_of_pretending() {
    let mut setup = default_setup().await;
    let id = setup.create(wish("pvc-1")).await.unwrap().volume_id;
    for id in [id, format!("v1.fs.{UID}")] {
        let status = setup.expand(&id, 1, 0).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("nothing enforces a size there"), "{}", status.message());
    }
    setup.server.stop().await;
}

#[tokio::test]
async fn the_capacity_of_a_share_is_what_can_be_written_to_it() {
    let mut setup = default_setup().await;
    let mut ask = async |parameters| {
        let request = GetCapacityRequest { parameters, ..Default::default() };
        setup.client.get_capacity(request).await.map(|answer| answer.into_inner())
    };
    let answer = ask(parameters("team-a", "default")).await.unwrap();
    assert_eq!((answer.available_capacity, answer.maximum_volume_size), (7, None), "any size is accepted");
    let none = ask(Default::default()).await.unwrap();
    assert_eq!(none.available_capacity, 0, "without parameters no volume can be made");
    let missing = ask(parameters("team-a", "missing")).await.unwrap_err();
    assert_eq!(missing.code(), Code::InvalidArgument);
    let mut foreign = parameters("team-a", "default");
    foreign.insert("unknown".into(), "x".into());
    assert_eq!(ask(foreign).await.unwrap_err().code(), Code::InvalidArgument);
    setup.world.set(|state| state.trouble = Trouble::Unreachable);
    let silent = setup.client.get_capacity(GetCapacityRequest {
        parameters: parameters("team-a", "default"),
        ..Default::default()
    });
    assert_eq!(silent.await.unwrap_err().code(), Code::Unavailable);
    setup.server.stop().await;
}

#[tokio::test]
async fn an_id_that_is_not_ours_deletes_nothing_and_succeeds() {
    let mut setup = default_setup().await;
    setup.create(wish("pvc-1")).await.unwrap();
    setup.world.set(|state| state.api_away = true);
    for id in [
        "fake-vol-id",
        "v1.vol..pvc-1",
        "../../etc",
        &format!("v1.vol.{UID}.../pvc-1"),
        &format!("v1.vol.{UID}./pvc-1"),
        &format!("v1.vol.{UID}.pvc-1/"),
        &format!("v1.vol.{}.pvc-1", UID.to_uppercase()),
        &format!("v2.vol.{UID}.pvc-1"),
    ] {
        assert_eq!(setup.delete(id).await, Ok(()), "{id}: not even the API server is asked");
    }
    assert_eq!(setup.delete("").await, Err(Code::InvalidArgument));
    setup.world.set(|state| assert_eq!((state.volumes.len(), state.left.len()), (1, 0)));
    setup.server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deleted_is_not_said_to_be() {
    let mut setup = default_setup().await;
    let id = setup.create(wish("pvc-1")).await.unwrap().volume_id;
    assert_eq!(
        setup.delete(&format!("v1.fs.{UID}")).await,
        Err(Code::FailedPrecondition),
        "a FileSystem itself"
    );
    setup.world.set(|state| state.trouble = Trouble::Unreachable);
    assert_eq!(setup.delete(&id).await, Err(Code::Unavailable));
    setup.world.set(|state| state.api_away = true);
    assert_eq!(setup.delete(&id).await, Err(Code::Unavailable));
    setup
        .world
        .set(|state| *state = State { volumes: std::mem::take(&mut state.volumes), ..State::default() });
    let status = setup
        .client
        .delete_volume(DeleteVolumeRequest { volume_id: id, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let place = format!(".workspacefs/volumes/{UID}/pvc-1");
    assert!(status.message().contains(&place), "the message says where the files are: {}", status.message());
    assert_eq!(setup.world.0.lock().unwrap().volumes.len(), 1);
    setup.server.stop().await;
}

#[tokio::test]
async fn capabilities_are_confirmed_for_volumes_that_exist() {
    let mut setup = default_setup().await;
    let volume = setup.create(wish("pvc-1")).await.unwrap();
    let context = volume.volume_context.clone();
    let full = setup
        .validate(&volume.volume_id, |r| {
            r.volume_context = context.clone();
            r.parameters = parameters("team-a", "default");
        })
        .await
        .unwrap();
    let confirmed = full.confirmed.unwrap();
    assert_eq!(confirmed.volume_capabilities, [mount()]);
    assert_eq!((confirmed.volume_context, confirmed.parameters), (context, parameters("team-a", "default")));
    assert!(setup.validate(&format!("v1.fs.{UID}"), |_| ()).await.unwrap().confirmed.is_some());

    for id in ["fake-vol-id", &format!("v1.vol.{UID}.pvc-2"), &format!("v1.vol.{OTHER_UID}.pvc-1")] {
        assert_eq!(setup.validate(id, |_| ()).await, Err(Code::NotFound), "{id}");
    }
    assert_eq!(setup.validate("", |_| ()).await, Err(Code::InvalidArgument));
    let none = setup.validate(&volume.volume_id, |r| r.volume_capabilities.clear()).await;
    assert_eq!(none, Err(Code::InvalidArgument));
    setup.world.set(|state| state.trouble = Trouble::Unreachable);
    assert_eq!(setup.validate(&volume.volume_id, |_| ()).await, Err(Code::Unavailable));
    setup.server.stop().await;
}

#[tokio::test]
async fn what_a_volume_cannot_do_is_not_confirmed_and_the_message_says_why() {
    let mut setup = default_setup().await;
    let volume = setup.create(wish("pvc-1")).await.unwrap();
    let other = setup.create(wish("pvc-2")).await.unwrap();
    type Change = Box<dyn FnOnce(&mut ValidateVolumeCapabilitiesRequest)>;
    let cases: [(&str, Change); 4] = [
        ("block", Box::new(|r| r.volume_capabilities.push(capability(AccessType::Block(BlockVolume {}))))),
        ("context", Box::new(|r| r.volume_context = other.volume_context)),
        ("belongs to FileSystem team-a/default", Box::new(|r| r.parameters = parameters("team-a", "else"))),
        ("mutable", Box::new(|r| r.mutable_parameters = parameters("a", "b"))),
    ];
    for (words, change) in cases {
        let answer = setup.validate(&volume.volume_id, change).await.unwrap();
        assert!(answer.confirmed.is_none() && answer.message.contains(words), "{words}: {}", answer.message);
    }
    setup.server.stop().await;
}

#[tokio::test]
async fn the_controller_says_what_it_can() {
    use controller_service_capability::rpc::Type;
    let mut setup = default_setup().await;
    let answer = setup.client.controller_get_capabilities(ControllerGetCapabilitiesRequest {}).await.unwrap();
    let found: Vec<i32> = answer
        .into_inner()
        .capabilities
        .into_iter()
        .map(|capability| match capability.r#type {
            Some(controller_service_capability::Type::Rpc(rpc)) => rpc.r#type,
            None => panic!("an empty capability"),
        })
        .collect();
    let wanted =
        [Type::CreateDeleteVolume, Type::GetCapacity, Type::ExpandVolume, Type::SingleNodeMultiWriter];
    assert_eq!(found, wanted.map(|kind| kind as i32));
    setup.server.stop().await;
}
