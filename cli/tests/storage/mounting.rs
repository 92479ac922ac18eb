//! `wfs manifest` for those who come from `lep`, and kinds with more than one object.

use crate::World;

#[test]
fn an_endpoint_is_a_deployment_with_its_service() {
    let world = World::new();
    let said = world.wfs(&[
        "manifest",
        "endpoint",
        "web",
        "--image=web:1",
        "--mount=default:/d:/data:ro",
        "--port=9000",
    ]);
    let said = said.ended(0);
    let objects: Vec<&str> = said.stdout.split("---\n").collect();
    assert_eq!(objects.len(), 2, "{}", said.stdout);
    assert!(said.stdout.contains("kind: Deployment") && said.stdout.contains("kind: Service"));
    assert!(said.stdout.contains("containerPort: 9000") && said.stdout.contains("subPath: d"));
    world.wfs(&["manifest", "devpod", "me", "--image=i"]).ended(0).says("kind: StatefulSet").says("infinity");
    world.wfs(&["manifest", "job", "--image=i"]).ended(0).says("kind: Job").says("name: job");
    assert_eq!(world.gateway.seen(), Vec::<String>::new());
}

#[test]
fn a_spec_of_lep_becomes_a_manifest() {
    let world = World::new();
    world.write(
        "spec.json",
        r#"{"metadata": {"id": "web"}, "spec": {"container": {"image": "web:1", "ports": [{"container_port": 8000}]},
            "resource_requirement": {"affinity": {"allowed_dedicated_node_groups": ["gpu"]}},
            "mounts": [{"path": "/data", "mount_path": "/mnt/data"},
                {"path": "/", "mount_path": "/scratch", "from": "node-local:scratch",
                    "mount_options": {"local_cache_size_mib": 1}}]}}"#,
    );
    world
        .wfs(&["manifest", "--from-lep", "spec.json"])
        .ended(0)
        .says("claimName: default")
        .says("claimName: scratch")
        .says("subPath: data")
        .says("containerPort: 8000")
        .says(": gpu")
        .complains("local_cache_size_mib is not taken over");
    let spec = String::from_utf8(world.read("spec.json")).unwrap();
    world.write(
        "more.json",
        spec.replace(r#""spec": {"#, r#""spec": {"envs": [{"name": "A", "value": "of-a-secret"}], "#),
    );
    let said = world
        .wfs(&["manifest", "--from-lep", "more.json"])
        .ended(0)
        .complains("to be added by hand: spec.envs");
    assert!(!said.stderr.contains("of-a-secret"), "{}", said.stderr);
    world
        .wfs(&["manifest", "devpod", "me", "--from-lep", "spec.json", "--image=i"])
        .ended(0)
        .says("kind: StatefulSet");
    world.write("part.yaml", "spec: {mounts: [{path: /d, mount_path: /m, from: 'node-local:scratch'}]}");
    world
        .wfs(&["manifest", "job", "x", "--from-lep", "part.yaml", "--image=i", "--node-group=g"])
        .ended(2)
        .complains("only be mounted as a whole");
    world.wfs(&["manifest", "x", "--from-lep", "part.yaml"]).ended(2).complains("--image does");
    world.wfs(&["manifest", "x", "--from-lep", "missing"]).ended(1).complains("cannot read missing");
    world
        .wfs(&["manifest", "x", "--image=i", "--local-storage=s:/s"])
        .ended(2)
        .complains("choose the node group");
}
