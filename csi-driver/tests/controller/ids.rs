//! Volume ids as attackers write them: by the ten million against the decision what an id means, by the thousand against
//! the whole controller. Nothing outside the volumes of the FileSystem that an id names is ever touched.

use std::path::{Component, Path};
use std::time::Instant;

use csi_driver::controller::delete_volume::Doomed;
use tonic::{Code, Request};
use workspacefs_api::volume::VolumeId;
use workspacefs_csi_proto::csi::v1::controller_server::Controller as _;
use workspacefs_csi_proto::csi::v1::*;
use workspacefs_testkit::ids::{HostileIds, means_folder};

use crate::world::{GIB, Kept, OTHER_UID, UID, World, managed, managed_world, nfs};

/// As many as an environment variable says, for longer runs.
fn cases(default: u64) -> u64 {
    std::env::var("WSFS_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn ten_million_hostile_ids_mean_a_folder_of_ours_or_nothing() {
    let (cases, started) = (cases(10_000_000), Instant::now());
    let mut ids = HostileIds::new(&[UID, OTHER_UID]);
    let (mut folders, mut own) = (0_u64, 0_u64);
    for _ in 0..cases {
        let id = ids.next_id();
        match Doomed::by(id) {
            // A judge of its own, written another way, agrees on what is no folder of ours.
            Doomed::Nothing => assert!(means_folder(id).is_none(), "{id:?} was passed over"),
            Doomed::FileSystemItself => own += 1,
            Doomed::Folder { uid, folder } => {
                assert_eq!(means_folder(id), Some((uid.as_str(), folder.as_str())), "{id:?}");
                folders += 1;
            }
        }
    }
    println!("{cases} ids in {:?}: {folders} folders, {own} FileSystems", started.elapsed());
    assert!(folders > cases / 1000 && own > cases / 1000, "the ids were not near enough to be dangerous");
    assert!(folders + own < cases / 2, "the ids were hardly hostile");
}

#[test]
fn an_accepted_id_prints_as_the_same_bytes_and_its_folder_is_one_plain_name() {
    let mut ids = HostileIds::new(&[UID, OTHER_UID]);
    for _ in 0..cases(200_000) {
        let id = ids.next_id();
        let Ok(parsed) = VolumeId::parse(id) else {
            continue;
        };
        assert_eq!(parsed.to_string(), id);
        if let VolumeId::Volume { folder, .. } = &parsed {
            let parts: Vec<Component<'_>> = Path::new(folder).components().collect();
            assert_eq!(parts, [Component::Normal(folder.as_ref())], "{id:?}");
        }
    }
}

/// What there is to touch: volumes of both FileSystems, under names that ids may name.
fn full(world: World, volumes: bool) -> World {
    world.set(|state| {
        for uid in [UID, OTHER_UID] {
            for name in HostileIds::NAMES {
                if volumes {
                    state.volumes.insert(format!("{uid}/{name}"), Default::default());
                } else {
                    let kept: &mut Kept = state.agent.file_systems.entry(uid.into()).or_default();
                    kept.capacity = 1000 * GIB as u64;
                    kept.claims.insert((*name).into(), GIB as u64);
                }
            }
        }
    });
    world
}

/// Everything that is there, as `<uid>/<name>`.
fn there(world: &World) -> Vec<String> {
    world.get(|state| {
        let claims = state.agent.file_systems.iter();
        let claims =
            claims.flat_map(|(uid, kept)| kept.claims.keys().map(move |name| format!("{uid}/{name}")));
        state.volumes.keys().cloned().chain(claims).collect()
    })
}

#[tokio::test]
async fn a_hostile_id_deletes_the_volume_it_names_or_nothing_and_never_anything_else() {
    let of_shares = || full(World::with(vec![nfs("a", UID), nfs("b", OTHER_UID)]), true);
    let of_agent = || {
        let world = managed_world();
        world.set(|state| state.file_systems.push(managed("b", OTHER_UID)));
        full(world, false)
    };
    for make in [&of_shares as &dyn Fn() -> World, &of_agent] {
        let mut world = make();
        let mut ids = HostileIds::new(&[UID, OTHER_UID]);
        let mut deleted = 0;
        for _ in 0..20_000 {
            let id = ids.next_id().to_owned();
            let before = there(&world);
            let request = DeleteVolumeRequest { volume_id: id.clone(), ..Default::default() };
            let result = world.controller().delete_volume(Request::new(request)).await;
            let after = there(&world);
            let gone: Vec<&String> = before.iter().filter(|one| !after.contains(one)).collect();
            match means_folder(&id) {
                Some((uid, name)) if before.contains(&format!("{uid}/{name}")) => {
                    result.unwrap();
                    assert_eq!(gone, [&format!("{uid}/{name}")], "{id:?}");
                    deleted += 1;
                    world = make();
                }
                _ => {
                    assert!(gone.is_empty(), "{id:?} took {gone:?}");
                    let codes = [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition];
                    assert!(result.is_ok() || result.is_err_and(|e| codes.contains(&e.code())), "{id:?}");
                }
            }
        }
        assert!(deleted > 50, "only {deleted} ids named a volume that is there");
    }
}

#[tokio::test]
async fn a_hostile_id_grows_and_confirms_nothing_that_it_does_not_name() {
    let world = managed_world();
    world.set(|state| state.file_systems.push(managed("b", OTHER_UID)));
    let world = full(world, false);
    let mut ids = HostileIds::new(&[UID, OTHER_UID]);
    for _ in 0..5_000 {
        let id = ids.next_id().to_owned();
        let before = world.get(|state| state.agent.file_systems.clone());
        let request = ControllerExpandVolumeRequest {
            volume_id: id.clone(),
            capacity_range: Some(CapacityRange { required_bytes: 2 * GIB, limit_bytes: 0 }),
            ..Default::default()
        };
        let grown = world.controller().controller_expand_volume(Request::new(request)).await;
        let after = world.get(|state| state.agent.file_systems.clone());
        let mut wanted = before;
        match means_folder(&id) {
            Some((uid, name)) if wanted.get(uid).is_some_and(|kept| kept.claims.contains_key(name)) => {
                grown.unwrap();
                wanted.get_mut(uid).unwrap().claims.insert(name.into(), 2 * GIB as u64);
            }
            _ if id.starts_with("v1.fs.") => {}
            _ => {
                let code = grown.unwrap_err().code();
                assert!([Code::InvalidArgument, Code::NotFound].contains(&code), "{id:?}: {code:?}");
            }
        }
        assert!(after == wanted, "{id:?} changed another volume");
    }
}
