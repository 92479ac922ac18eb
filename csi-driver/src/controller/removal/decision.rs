//! What is to be done about one FileSystem, and which others have a part in its folder: pure functions.

use kube::{Resource, ResourceExt};
use workspacefs_api::volume::Folder;
use workspacefs_api::{FILES_FINALIZER, FINALIZER, NfsBackend, ReclaimPolicy};

use super::Guarded;
use crate::controller::seams::{Home, Keeper};
use crate::share::OwnFolder;

/// What to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Next {
    /// It is not ours to act on, or not yet.
    Nothing,
    /// Its files stay, as its policy says by now: take the finalizer off.
    LetGo,
    /// Its files stay though its policy says otherwise, for this reason.
    Keep(String),
    /// Move its folder away.
    Remove(Box<Removal>),
}

/// A folder to be moved away.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removal {
    /// How to reach its share.
    pub home: Home,
    /// Which folder, of which FileSystem.
    pub folder: OwnFolder,
    /// Into the archive, not into the trash.
    pub archive: bool,
    /// Where it lies on its server, part by part.
    place: Vec<String>,
}

/// Whether another FileSystem speaks against a removal.
#[derive(Debug, Eq, PartialEq)]
pub enum Rival {
    /// No.
    No,
    /// Yes, for this reason.
    Yes(String),
    /// Yes, if this server is the removal's under another name.
    IfSameServer {
        /// The other FileSystem's server.
        server: String,
        /// Then for this reason.
        reason: String,
    },
}

/// What is to be done about `object`.
pub fn next(object: &Guarded) -> Next {
    let has = |name: &str| object.finalizers().iter().any(|finalizer| finalizer == name);
    let meta = object.meta();
    if meta.deletion_timestamp.is_none() || !has(FILES_FINALIZER) || has(FINALIZER) {
        return Next::Nothing;
    }
    let fs = match &object.0 {
        Ok(fs) => fs,
        Err(unreadable) => return Next::Keep(format!("it cannot be read: {unreadable}")),
    };
    let archive = match fs.spec.reclaim_policy {
        ReclaimPolicy::Retain => return Next::LetGo,
        ReclaimPolicy::Delete => false,
        ReclaimPolicy::Archive => true,
    };
    let Some(nfs) = &fs.spec.backend.nfs else {
        return Next::LetGo;
    };
    let home = match Home::of(fs) {
        Ok(home) if home.keeper == Keeper::Share => home,
        Ok(_) => return Next::LetGo,
        Err(error) => return Next::Keep(workspacefs_runtime::chain(&error)),
    };
    let path = match &home.attributes.folder {
        Folder::Own(path) if !path.is_root() => path.as_str().to_owned(),
        _ => return Next::Keep("it is an export's root: a whole export is never taken away".into()),
    };
    let folder = OwnFolder { path, file_system: home.attributes.file_system_uid.clone() };
    Next::Remove(Box::new(Removal { home, folder, archive, place: place(nfs) }))
}

/// Whether `other`, which is another FileSystem, has a part in the folder that is to be moved away.
pub fn rival(removal: &Removal, other: &Guarded) -> Rival {
    let name = || format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
    let fs = match &other.0 {
        Ok(fs) => fs,
        // Where its files are nobody knows.
        Err(_) => {
            return Rival::Yes(format!("FileSystem {} cannot be read, and may have a part in it", name()));
        }
    };
    let Some(nfs) = &fs.spec.backend.nfs else {
        return Rival::No;
    };
    let theirs = place(nfs);
    if !theirs.iter().zip(&removal.place).all(|(a, b)| a == b) {
        return Rival::No;
    }
    let relation = match theirs.len().cmp(&removal.place.len()) {
        std::cmp::Ordering::Less => "is around it",
        std::cmp::Ordering::Equal => "is the same",
        std::cmp::Ordering::Greater => "is in it",
    };
    let reason = format!("the folder of FileSystem {} {relation}", name());
    match nfs.server.eq_ignore_ascii_case(removal.home.server()) {
        true => Rival::Yes(reason),
        false => Rival::IfSameServer { server: nfs.server.clone(), reason },
    }
}

/// Export and folder as one path: an export can lie in another one.
fn place(nfs: &NfsBackend) -> Vec<String> {
    let folder = nfs.folder.as_deref().unwrap_or_default();
    let parts = nfs.export.split('/').chain(folder.split('/'));
    parts.filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn read(meta: Value, spec: Value) -> Guarded {
        let mut metadata = json!({"namespace": "team-a", "name": "data", "uid": UID});
        if let (Some(all), Some(more)) = (metadata.as_object_mut(), meta.as_object()) {
            all.extend(more.clone());
        }
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "metadata": metadata, "spec": spec,
        });
        serde_json::from_value::<DeserializeGuard<_>>(object).unwrap()
    }

    fn nfs(server: &str, export: &str, folder: &str) -> Value {
        json!({"nfs": {"server": server, "export": export, "folder": folder}})
    }

    fn going(policy: &str, backend: Value) -> Guarded {
        let meta = json!({"deletionTimestamp": "2026-08-01T00:00:00Z", "finalizers": [FILES_FINALIZER]});
        read(meta, json!({"backend": backend, "reclaimPolicy": policy}))
    }

    fn removal(server: &str, export: &str, folder: &str) -> Removal {
        match next(&going("Delete", nfs(server, export, folder))) {
            Next::Remove(removal) => *removal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_go_only_with_their_file_system_after_the_operator_and_as_its_policy_says() {
        let spec = json!({"backend": nfs("s", "/e", "a"), "reclaimPolicy": "Delete"});
        let going_ = json!("2026-08-01T00:00:00Z");
        for meta in [
            json!({}),
            json!({"finalizers": [FILES_FINALIZER]}),
            json!({"deletionTimestamp": going_, "finalizers": []}),
            json!({"deletionTimestamp": going_, "finalizers": [FINALIZER]}),
            json!({"deletionTimestamp": going_, "finalizers": [FINALIZER, FILES_FINALIZER]}),
        ] {
            assert_eq!(next(&read(meta.clone(), spec.clone())), Next::Nothing, "{meta}");
        }
        assert_eq!(next(&going("Retain", nfs("s", "/e", "a"))), Next::LetGo);
        for (policy, archive) in [("Delete", false), ("Archive", true)] {
            match next(&going(policy, nfs("s", "/e", "a/b"))) {
                Next::Remove(removal) => {
                    assert_eq!(removal.archive, archive);
                    assert_eq!(removal.folder, OwnFolder { path: "a/b".into(), file_system: UID.into() });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_has_no_folder_of_its_own_on_a_share_of_ours_keeps_its_files() {
        let managed = json!({"managed": {"capacity": "1Gi"}});
        assert_eq!(next(&going("Delete", managed)), Next::LetGo, "the operator's and the agent's business");
        assert_eq!(next(&going("Delete", json!({"persistentVolumeClaim": {"claimName": "c"}}))), Next::LetGo);
        for broken in [
            json!({"nfs": {"server": "s", "export": "/e"}}),
            nfs("s", "/e", "/"),
            nfs("s", "/e", "../x"),
            nfs("s", "/e", ".workspacefs"),
            nfs("s,addr=1", "/e", "a"),
            json!({"nfs": 7}),
        ] {
            assert!(matches!(next(&going("Delete", broken.clone())), Next::Keep(_)), "{broken}");
        }
    }

    #[test]
    fn another_file_system_with_the_same_a_nested_or_a_surrounding_folder_is_a_rival() {
        let ours = removal("nfs", "/export", "teams/a");
        let other = |server: &str, export: &str, folder: &str| {
            let spec = json!({"backend": nfs(server, export, folder)});
            rival(&ours, &read(json!({"name": "other"}), spec))
        };
        for (export, folder, words) in [
            ("/export", "teams/a", "the same"),
            ("/export/", "teams/a", "the same"),
            ("/export", "teams/a/deep", "in it"),
            ("/export", "teams", "around it"),
            ("/export/teams", "a", "the same"),
            ("/export/teams/a", "b", "in it"),
            ("/", "export/teams/a", "the same"),
        ] {
            match other("NFS", export, folder) {
                Rival::Yes(reason) => assert!(reason.contains(words), "{export} {folder}: {reason}"),
                no => panic!("{export} {folder}: {no:?}"),
            }
            let elsewhere = other("10.0.0.1", export, folder);
            assert!(matches!(elsewhere, Rival::IfSameServer { .. }), "{export} {folder}: {elsewhere:?}");
        }
        for (export, folder) in
            [("/export", "teams/ab"), ("/export", "other"), ("/else", "teams/a"), ("/export/teams", "b")]
        {
            assert_eq!(other("nfs", export, folder), Rival::No, "{export} {folder}");
        }
        let root = read(json!({}), json!({"backend": {"nfs": {"server": "nfs", "export": "/export"}}}));
        assert!(matches!(rival(&ours, &root), Rival::Yes(_)), "a whole export is around everything in it");
        assert_eq!(
            rival(&ours, &read(json!({}), json!({"backend": {"managed": {"capacity": "1Gi"}}}))),
            Rival::No
        );
        assert!(matches!(rival(&ours, &read(json!({}), json!({"backend": 7}))), Rival::Yes(_)));
    }
}
