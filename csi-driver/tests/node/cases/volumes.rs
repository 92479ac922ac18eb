//! The volumes that CreateVolume makes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use csi_driver::share::{Keep, Leaving, PosixOwner, ShareError, ShareSpec, VolumeName, VolumeRecord};
use tokio::time::Instant;
use tonic::Code;

use crate::source;
use crate::world::{Claim, UID, World, names, refused};

const RECORD: VolumeRecord = VolumeRecord { required_bytes: 1 << 30, limit_bytes: 0 };
const OWNER: PosixOwner = PosixOwner { uid: 1000, gid: 100, mode: 0o2770 };

fn name(name: &str) -> VolumeName {
    VolumeName { file_system: UID.into(), name: name.into() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

pub async fn volumes_are_created_once_published_and_trashed(world: World) {
    let export = world.export("e");
    let claim = Claim { volume: Some("pvc-1".into()), ..Claim::of(&export, "") };
    let spec = ShareSpec::new(&claim.attributes(), &[]);
    let shares = world.shares_kept(Keep::Detached);
    let node = world.node();
    // Not created at publish.
    refused(node.publish(claim.at(&world.target("v"))).await, Code::NotFound, &["pvc-1"]);
    assert_eq!(shares.volume_record(&spec, name("pvc-1"), soon()).await, Ok(None));
    let created = shares.create_volume(&spec, name("pvc-1"), RECORD, OWNER, soon()).await.unwrap();
    assert!(created.new && created.record == RECORD);
    let folder = export.join(format!(".workspacefs/volumes/{UID}/pvc-1"));
    let metadata = fs::metadata(&folder).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1000, 100, 0o2770));
    // Again, asking for something else: the first record comes back.
    let other = VolumeRecord { required_bytes: 5, limit_bytes: 6 };
    let again = shares.create_volume(&spec, name("pvc-1"), other, OWNER, soon()).await.unwrap();
    assert!(!again.new && again.record == RECORD);
    assert_eq!(shares.volume_record(&spec, name("pvc-1"), soon()).await, Ok(Some(RECORD)));
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    fs::write(world.target("v").join("file"), "precious").unwrap();
    assert!(folder.join("file").exists());
    node.unpublish(&claim.id(), &world.target("v")).await.unwrap();
    // Deleting is moving.
    let trash = || Leaving::Trash("pvc-1".into());
    let place = shares.remove_volume(&spec, name("pvc-1"), trash(), soon()).await.unwrap().unwrap();
    assert_eq!(shares.remove_volume(&spec, name("pvc-1"), trash(), soon()).await, Ok(None));
    assert_eq!(shares.volume_record(&spec, name("pvc-1"), soon()).await, Ok(None));
    let trash = names(&export.join(".workspacefs/trash"));
    assert!(trash.len() == 1 && trash[0].starts_with("pvc-1."), "{trash:?}");
    assert_eq!(place, format!(".workspacefs/trash/{}", trash[0]));
    let moved = export.join(place).join("file");
    assert_eq!(fs::read_to_string(moved).unwrap(), "precious");
    // The same name again is another volume.
    assert!(shares.create_volume(&spec, name("pvc-1"), other, OWNER, soon()).await.unwrap().new);
    assert_eq!(names(&folder), Vec::<String>::new());
}

pub async fn hostile_names_reach_nothing(world: World) {
    let export = world.export("e");
    fs::create_dir(export.join("victim")).unwrap();
    let spec = ShareSpec::new(&Claim::of(&export, "").attributes(), &[]);
    let shares = world.shares_kept(Keep::Detached);
    for bad in ["../../../victim", "..", ".", "", "a/b", "a\0b", ".hidden"] {
        let result = shares.remove_volume(&spec, name(bad), Leaving::Trash("x".into()), soon()).await;
        assert!(matches!(result, Err(ShareError::NotFound { .. })), "{bad:?}: {result:?}");
        let result = shares.create_volume(&spec, name(bad), RECORD, OWNER, soon()).await;
        assert!(matches!(result, Err(ShareError::NotFound { .. })), "{bad:?}: {result:?}");
    }
    let uid = VolumeName { file_system: "../..".into(), name: "victim".into() };
    assert!(shares.remove_volume(&spec, uid, Leaving::Trash("x".into()), soon()).await.is_err());
    assert_eq!(names(&export), ["victim"]);
}

pub async fn a_detached_share_leaves_no_mount(world: World) {
    let export = world.export("e");
    let spec = ShareSpec::new(&Claim::of(&export, "").attributes(), &[]);
    let shares = world.shares_kept(Keep::Detached);
    shares.create_volume(&spec, name("pvc-1"), RECORD, OWNER, soon()).await.unwrap();
    assert_eq!(world.mounts(), []);
    assert!(shares.helper_id(&spec.key()).await.is_some());
    assert!(shares.sweep(|_| false, Duration::from_secs(5)).await.is_empty());
    assert_eq!(shares.helper_id(&spec.key()).await, None, "the share is let go");
    assert_eq!(shares.volume_record(&spec, name("pvc-1"), soon()).await, Ok(Some(RECORD)));
    // On a share that squashes root nothing can be created, and it is said why.
    let squashed = ShareSpec { server: source::SQUASHING.into(), ..spec };
    let result = shares.create_volume(&squashed, name("pvc-2"), RECORD, OWNER, soon()).await;
    assert!(matches!(result, Err(ShareError::Untrusted { .. } | ShareError::Squashed { .. })), "{result:?}");
}
