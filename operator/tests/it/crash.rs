//! Killed at every single write, before and after the server has carried it out, be it the API server or the embedded server's
//! agent: the next operator ends in the very state that an undisturbed one reaches, with nothing twice.

use serde_json::{Value, json};
use workspacefs_operator::config::Config;
use workspacefs_operator::files::config::FilesConfig;
use workspacefs_testkit::{FakeApi, Fault, Moment, builders};

use crate::embedded::*;
use crate::world::*;

/// Where a story takes place.
pub struct Scene {
    pub api: FakeApi,
    /// Of the NFS server of others.
    pub port: u16,
    /// Only where the story is about it.
    embedded: Option<Embedded>,
}

/// A way from one stable state to another.
#[derive(Clone, Copy)]
pub struct Story {
    /// Whether there is an embedded server, and whether the operator knows it before the event.
    pub embedded: Option<Since>,
    /// Whether `files` are switched on then.
    pub files: fn(Since) -> bool,
    /// What the undisturbed operator has brought up before, if anything.
    pub before: fn(&Scene),
    /// Whether it has, beside the FileSystems.
    pub begun: fn(&Scene) -> bool,
    /// What happens then.
    pub event: fn(&Scene),
    /// Whether everything is done.
    pub done: fn(&Scene) -> bool,
    /// At least so many writes to the API server must have been tried.
    pub writes_min: usize,
    /// Whether no Event may be there twice. (What goes and comes back is told each time.)
    pub events_once: bool,
}

/// Before the event of a story, or after it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Since {
    Before,
    Event,
}

/// Which write is the operator's last.
#[derive(Clone, Copy, Debug)]
enum Crash {
    Api(usize, Moment),
    Agent(usize, Moment),
}

impl Scene {
    pub fn bound(&self, namespace: &str, name: &str) -> bool {
        let is = |kind, status| {
            file_system(&self.api, namespace, name)
                .is_some_and(|fs| fs.condition(kind).is_some_and(|c| c.status == status))
        };
        let claim = claim(&self.api, namespace, name);
        let claim_bound = claim.is_some_and(|claim| at(&claim, "/status/phase") == "Bound");
        is("Ready", "True") && is("Reachable", "True") && claim_bound
    }

    /// The source and the target of a cache, on the NFS server.
    pub fn put_cache_file_systems(&self) {
        crate::cache::put_file_systems(&self.api, self.port);
    }

    fn put_managed(&self, name: &str, policy: &str) {
        let mut spec = builders::managed("10Gi");
        spec["reclaimPolicy"] = json!(policy);
        self.api.put(&builders::file_system(SPACE, name, spec));
    }

    /// Nothing is left of FileSystem `data`.
    pub fn empty(&self) -> bool {
        file_system(&self.api, SPACE, "data").is_none()
            && ["PersistentVolume", "PersistentVolumeClaim", "StorageClass"]
                .iter()
                .all(|kind| self.api.all(kind).is_empty())
    }

    /// Its status says so much, and is all well.
    fn has_capacity(&self, capacity: &str) -> bool {
        let fs = file_system(&self.api, SPACE, "data");
        fs.is_some_and(|fs| {
            at(&fs, "/status/usage/capacity") == capacity && fs.condition("Resized").is_none()
        }) && self.bound(SPACE, "data")
    }
}

pub const NFS: Story = Story {
    embedded: None,
    files: |_| false,
    before: |_| {},
    begun: |_| true,
    event: |_| {},
    done: |_| true,
    writes_min: 0,
    events_once: false,
};

#[tokio::test]
async fn while_file_systems_are_brought_up() {
    tell(Story {
        event: |scene| {
            scene.api.put(&builders::namespace("work", &[("workspacefs.io/workspace", "true")]));
            put_nfs(&scene.api, "data", scene.port);
        },
        done: |scene| scene.bound(SPACE, "data") && scene.bound("work", "default"),
        writes_min: 11,
        events_once: true,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_a_deleted_claim_is_made_again() {
    tell(Story {
        before: |scene| drop(put_nfs(&scene.api, "data", scene.port)),
        event: |scene| assert!(scene.api.delete("PersistentVolumeClaim", SPACE, "data")),
        done: |scene| scene.bound(SPACE, "data"),
        writes_min: 2,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_a_file_system_is_taken_away() {
    tell(Story {
        before: |scene| drop(put_nfs(&scene.api, "data", scene.port)),
        event: |scene| assert!(scene.api.delete("FileSystem", SPACE, "data")),
        done: Scene::empty,
        writes_min: 4,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_mount_options_change() {
    tell(Story {
        before: |scene| drop(put_nfs(&scene.api, "data", scene.port)),
        event: |scene| {
            scene.api.edit("FileSystem", SPACE, "data", |fs| {
                fs["spec"]["mountOptions"] = json!(["soft"]);
                fs["metadata"]["generation"] = json!(2);
            });
        },
        done: |scene| {
            let observed =
                file_system(&scene.api, SPACE, "data").map(|fs| at(&fs, "/status/observedGeneration"));
            observed == Some(json!(2)) && scene.bound(SPACE, "data")
        },
        writes_min: 3,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_the_reclaim_policy_changes_what_the_class_cannot() {
    tell(Story {
        before: |scene| drop(put_nfs(&scene.api, "data", scene.port)),
        event: |scene| {
            scene.api.edit("FileSystem", SPACE, "data", |fs| {
                fs["spec"]["reclaimPolicy"] = json!("Archive");
                fs["metadata"]["generation"] = json!(2);
            });
        },
        done: |scene| {
            let class: Option<Value> = scene.api.find("StorageClass", "", "team-a.data");
            let observed =
                file_system(&scene.api, SPACE, "data").map(|fs| at(&fs, "/status/observedGeneration"));
            class.is_some_and(|class| class["reclaimPolicy"] == "Delete") && observed == Some(json!(2))
        },
        writes_min: 4,
        ..NFS
    })
    .await;
}

#[tokio::test]
async fn while_a_further_claims_volume_gets_the_node_affinity_of_its_group() {
    const AFFINITY: &str = "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0";
    tell(Story {
        before: |scene| {
            let mut spec = builders::nfs("127.0.0.1", scene.port);
            spec["nodeGroup"] = json!("gpu");
            drop(scene.api.put(&builders::file_system(SPACE, "data", spec)));
        },
        event: |scene| {
            let uid = file_system(&scene.api, SPACE, "data").and_then(|fs| fs.metadata.uid).unwrap();
            let csi = json!({"driver": "csi.workspacefs.io", "volumeHandle": format!("v1.vol.{uid}.pvc-1")});
            let spec = json!({"csi": csi, "capacity": {"storage": "1Gi"}});
            drop(scene.api.put(&builders::volume("pvc-1", spec)));
        },
        done: |scene| {
            let made: Option<Value> = scene.api.find("PersistentVolume", "", "pvc-1");
            made.is_some_and(|made| at(&made, AFFINITY)["values"] == json!(["gpu"]))
                && scene.bound(SPACE, "data")
        },
        writes_min: 1,
        ..NFS
    })
    .await;
}

const EMBEDDED: Story = Story { embedded: Some(Since::Before), ..NFS };

#[tokio::test]
async fn while_the_embedded_server_comes_and_its_first_file_system() {
    tell(Story {
        embedded: Some(Since::Event),
        event: |scene| scene.put_managed("data", "Retain"),
        done: |scene| scene.has_capacity("10Gi"),
        writes_min: 10,
        ..EMBEDDED
    })
    .await;
}

#[tokio::test]
async fn while_a_managed_one_grows() {
    tell(Story {
        before: |scene| scene.put_managed("data", "Retain"),
        event: |scene| {
            scene.api.edit("FileSystem", SPACE, "data", |fs| {
                fs["spec"]["backend"]["managed"]["capacity"] = json!("20Gi");
                fs["metadata"]["generation"] = json!(2);
            });
        },
        done: |scene| {
            let claim = claim(&scene.api, SPACE, "data");
            claim.is_some_and(|claim| at(&claim, "/spec/resources/requests/storage") == "20Gi")
                && scene.has_capacity("20Gi")
        },
        writes_min: 2,
        ..EMBEDDED
    })
    .await;
}

#[tokio::test]
async fn while_a_managed_one_is_taken_away_and_its_files_into_the_trash() {
    tell(Story {
        before: |scene| scene.put_managed("data", "Delete"),
        event: |scene| assert!(scene.api.delete("FileSystem", SPACE, "data")),
        done: Scene::empty,
        writes_min: 4,
        ..EMBEDDED
    })
    .await;
}

#[tokio::test]
async fn while_a_managed_one_is_made_again_over_what_was_retained() {
    tell(Story {
        before: |scene| scene.put_managed("data", "Retain"),
        event: |scene| {
            // The old one first has to go: the new one is put by whoever waits for that.
            scene.api.edit("FileSystem", SPACE, "data", |fs| {
                fs["metadata"]["annotations"] = json!({"test/again": "yes"});
            });
            assert!(scene.api.delete("FileSystem", SPACE, "data"));
        },
        done: |scene| {
            if scene.empty() {
                scene.put_managed("data", "Retain");
            }
            let fs = file_system(&scene.api, SPACE, "data");
            fs.is_some_and(|fs| fs.metadata.annotations.is_none()) && scene.has_capacity("10Gi")
        },
        writes_min: 8,
        ..EMBEDDED
    })
    .await;
}

/// How many operators are killed side by side: each test mostly waits for quiet.
const AT_ONCE: usize = 5;

/// Runs a story undisturbed, then killed at each write.
pub async fn tell(story: Story) {
    let nfs = NfsServer::start().await;
    let undisturbed = play(story, nfs.port, None).await.expect("without a crash it ends");
    let writes = kill_at_each(story, nfs.port, &undisturbed, Crash::Api).await;
    assert!(writes >= story.writes_min, "only {writes} writes were tried");
    if story.embedded.is_some() {
        let changes = kill_at_each(story, nfs.port, &undisturbed, Crash::Agent).await;
        assert!(changes >= 1, "the agent was asked for nothing");
    }
}

/// How many there were.
async fn kill_at_each(
    story: Story,
    port: u16,
    undisturbed: &Value,
    crash: fn(usize, Moment) -> Crash,
) -> usize {
    for first in (0..).step_by(AT_ONCE) {
        let crashes = (first..first + AT_ONCE).flat_map(|nth| [(nth, Moment::Before), (nth, Moment::After)]);
        let ends = crashes.map(|(nth, moment)| async move {
            let crash = crash(nth, moment);
            (nth, crash, play(story, port, Some(crash)).await)
        });
        for (nth, crash, end) in futures::future::join_all(ends).await {
            match end {
                Some(end) => assert_eq!(end, *undisturbed, "killed at {crash:?}"),
                None => return nth,
            }
        }
    }
    unreachable!("a story without end")
}

/// The end state; None where there was no such write to be killed at.
async fn play(story: Story, port: u16, crash: Option<Crash>) -> Option<Value> {
    let api = api().await;
    let embedded = match story.embedded {
        Some(_) => Some(Embedded::start(&api).await),
        None => None,
    };
    let scene = Scene { api, port, embedded };
    let api = &scene.api;
    let config = |now| {
        let config = match story.embedded {
            Some(since) if since == Since::Before || now == Since::Event => embedded_config(),
            Some(_) => config(),
            None => config_with_default(port),
        };
        Config { files: (story.files)(now).then(FilesConfig::default), files_clean_up: true, ..config }
    };
    (story.before)(&scene);
    let operator = Operator::start(api, "a", config(Since::Before));
    api.until("the beginning", |api| {
        api.all("FileSystem").iter().all(|fs| {
            let text = |field: &str| fs["metadata"][field].as_str().unwrap().to_string();
            scene.bound(&text("namespace"), &text("name"))
        }) && (story.begun)(&scene)
    })
    .await;
    api.settled(QUIET).await;
    operator.stop().await;

    let sprung = set_trap(&scene, crash);
    (story.event)(&scene);
    let config: Config = config(Since::Event);
    let operator = Operator::start(api, "a", config.clone());
    let operator = match sprung {
        None => operator,
        Some(sprung) => {
            let undisturbed = async {
                api.until("the end, without a crash", |_| (story.done)(&scene)).await;
                api.settled(QUIET).await;
            };
            tokio::select! {
                () = sprung => {}
                () = undisturbed => return None,
            }
            operator.kill().await;
            Operator::start(api, "a", config)
        }
    };
    api.until(&format!("the end, killed at {crash:?}"), |_| (story.done)(&scene)).await;
    api.settled(QUIET).await;
    operator.stop().await;
    if story.events_once {
        let told = |event: &Value| format!("{}: {}", event["regarding"]["namespace"], event["reason"]);
        let mut events: Vec<String> = api.all("Event").iter().map(told).collect();
        events.sort_unstable();
        let all = events.len();
        events.dedup();
        assert_eq!(events.len(), all, "{events:?}");
    }
    Some(portrait(&scene))
}

/// Ends when the operator has come to that write.
fn set_trap(scene: &Scene, crash: Option<Crash>) -> Option<std::pin::Pin<Box<dyn Future<Output = ()>>>> {
    Some(match crash? {
        Crash::Api(nth, moment) => {
            let sprung = scene.api.trap(nth, moment, Fault::Hold, |r| r.resource != "leases");
            Box::pin(async { drop(sprung.await.expect("the trap is there")) })
        }
        Crash::Agent(nth, moment) => {
            let sprung = scene.embedded.as_ref().expect("a story with an agent").agent.trap(nth, moment);
            Box::pin(async { sprung.await.expect("the trap is there") })
        }
    })
}

/// What there is in the end, without what differs from run to run: versions, times, and the uids of what was made.
fn portrait(scene: &Scene) -> Value {
    let api = &scene.api;
    let kinds = [
        "FileSystem",
        "FsCache",
        "LocalStorage",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "StorageClass",
        "Node",
        "Deployment",
        "Service",
        "NetworkPolicy",
    ];
    let mut all: Vec<Value> = kinds.iter().flat_map(|kind| api.all(kind)).collect();
    let mut names = Vec::new();
    for object in &all {
        let (kind, meta) = (&object["kind"], &object["metadata"]);
        names.push((
            meta["uid"].as_str().unwrap().to_string(),
            format!("<{kind} {}/{}>", meta["namespace"], meta["name"]),
        ));
    }
    for namespace in api.all("Namespace") {
        names.push((namespace["metadata"]["uid"].as_str().unwrap().into(), "<namespace>".into()));
    }
    all.iter_mut().for_each(strip);
    // The entries of Secrets and ConfigMaps, not what is in them.
    let kept: Vec<Value> = ["Secret", "ConfigMap"].iter().flat_map(|kind| api.all(kind)).collect();
    all.extend(kept.iter().map(|object| {
        let entries: Vec<&String> =
            object["data"].as_object().into_iter().flat_map(|data| data.keys()).collect();
        json!([object["metadata"]["name"], entries, object["metadata"]["ownerReferences"]])
    }));
    if let Some(embedded) = &scene.embedded {
        let secrets: Vec<Value> = api.all("Secret").iter().map(|s| s["metadata"]["name"].clone()).collect();
        let folders: Vec<Value> =
            embedded.agent.all().iter().map(|fs| json!([fs.folder, fs.capacity_bytes])).collect();
        all.push(json!({"secrets": secrets, "folders": folders, "kept": embedded.agent.kept()}));
    }
    let mut text = serde_json::to_string(&all).unwrap();
    if let Some(embedded) = &scene.embedded {
        text = text.replace(&embedded.address, "<address>");
        // Of FileSystems that are gone.
        for (n, uid) in embedded.agent.ended().iter().enumerate() {
            text = text.replace(uid, &format!("<ended {n}>"));
        }
    }
    // A volume's name holds a uid, so volumes come last.
    for (uid, name) in names.iter().filter(|(_, name)| !name.contains("wsfs-")) {
        text = text.replace(uid, &name.replace('"', "'"));
    }
    for (uid, _) in &names {
        text = text.replace(uid, "<uid>");
    }
    serde_json::from_str(&text).unwrap()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Digests of certificates and keys.
            map.retain(|key, _| !key.starts_with("files.workspacefs.io/"));
            let times =
                ["creationTimestamp", "lastTransitionTime", "observedAt", "refreshedAt", "verifiedAt"];
            for field in times.iter().chain(&["resourceVersion", "lastJob"]) {
                map.remove(*field);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => {
            items.retain(|item| !item.as_str().is_some_and(|text| text.starts_with("--public-key=")));
            items.iter_mut().for_each(strip);
        }
        _ => {}
    }
}
