//! `wfs cache refresh`, against testkit's API server.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use workspacefs_testkit::{FakeApi, builders};

use crate::{Said, wfs};

const ANNOTATION: &str = "cache.workspacefs.io/refresh";

struct World {
    api: FakeApi,
    dir: TempDir,
}

impl World {
    /// FsCache `warm` in namespace `team-a`, and a kubeconfig whose current context is of another cluster.
    async fn new() -> Self {
        let world = Self { api: FakeApi::start().await, dir: tempfile::tempdir().unwrap() };
        world.api.put(&builders::namespace("team-a", &[]));
        let spec = json!({"source": {"fileSystem": "a", "paths": ["/x"]}, "target": {"fileSystem": "b"}});
        world.api.put(&builders::fs_cache("team-a", "warm", spec));
        let cluster = |name: &str, server: &str| json!({"name": name, "cluster": {"server": server}});
        let context = |name: &str| json!({"name": name, "context": {"cluster": name, "user": "me", "namespace": "team-a"}});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
            "clusters": [cluster("here", world.api.url()), cluster("nowhere", "http://127.0.0.1:1")],
            "contexts": [context("here"), context("nowhere")],
            "users": [{"name": "me", "user": {}}],
        });
        fs::write(world.kubeconfig(), config.to_string()).unwrap();
        world
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = wfs(&["cache", "refresh"]);
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        let command = self.command(arguments);
        tokio::task::spawn_blocking(|| Said::by(command)).await.unwrap()
    }

    /// The value of the annotation.
    fn asked(&self) -> Option<String> {
        let cache: Option<Value> = self.api.find("FsCache", "team-a", "warm");
        Some(cache?["metadata"]["annotations"][ANNOTATION].as_str()?.to_string())
    }

    /// Runs it with --wait; what the operator writes for the value that is asked for is `status`'s affair.
    async fn waits(&self, arguments: &[&str], status: impl FnOnce(&str) -> Value) -> Said {
        let before = self.asked();
        let mut command = self.command(&[&["warm", "--context=here", "--wait"], arguments].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.api
            .until("it is asked for", |_| self.asked().is_some_and(|asked| Some(&asked) != before.as_ref()))
            .await;
        let status = status(&self.asked().unwrap());
        self.api.edit("FsCache", "team-a", "warm", |cache| cache["status"] = status);
        Said::of(tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_asks_for_one_refresh_in_the_cluster_of_the_context() {
    let world = World::new().await;
    world.run(&["warm", "--context", "here"]).await.ended(0).says("FsCache team-a/warm is asked for");
    let first = world.asked().unwrap();
    let quiet = world.run(&["warm", "--context", "here", "--quiet"]).await.ended(0);
    assert_eq!(quiet.stdout, "");
    assert_ne!(world.asked().unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_says_why() {
    let world = World::new().await;
    world.run(&["cold", "--context=here"]).await.ended(1).complains("there is no FsCache team-a/cold");
    world.run(&["warm", "--context=here", "-n", "team-b"]).await.ended(1).complains("no FsCache team-b/warm");
    world.run(&["warm"]).await.ended(1).complains("cannot read FsCache");
    world.run(&["warm", "--context=elsewhere"]).await.ended(1).complains("kubeconfig");
    world.run(&["warm", "--timeout=1m"]).await.ended(2);
    world.run(&["warm", "--wait", "--timeout=soon"]).await.ended(2).complains("90s");
    assert_eq!(world.asked(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_what_came_of_the_refresh_that_was_waited_for() {
    let world = World::new().await;
    let path = |state: &str| json!([{"path": "/x", "state": state, "message": "why"}]);
    let done =
        |asked: &str| json!({"refreshedFor": asked, "asOf": "2026-01-01T00:00:00Z", "paths": path("Whole")});
    world.waits(&[], done).await.ended(0).says("as of 2026-01-01T00:00:00Z");
    let partial = |asked: &str| json!({"refreshedFor": asked, "paths": path("Missing")});
    world.waits(&[], partial).await.ended(3).complains("/x (Missing, why)");
    let failed = |asked: &str| {
        let copy = json!({
            "node": "*", "phase": "Failed", "refreshedFor": asked, "failures": 1,
            "failedAt": "2026-01-01T00:00:00Z", "message": "the target is full",
        });
        json!({"copies": [copy]})
    };
    world.waits(&[], failed).await.ended(1).complains("the target is full");
    let goes_on = |_: &str| json!({"refreshedFor": "another"});
    world.waits(&["--timeout=3s"], goes_on).await.ended(4).complains("it goes on");
}
