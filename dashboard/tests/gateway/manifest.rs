//! The Mount page's manifest.

use serde_json::{Value, json};
use workspacefs_testkit::builders;

use crate::world::{JANE, JOE, Said, World, with};

/// What is done to a good form.
type Change<'a> = &'a dyn Fn(&mut Value);

async fn ask(world: &World, token: &str, form: &Value) -> Said {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    world.ask(with("POST", "/wfs/v1/workspaces/ws/manifest", &headers, form.to_string())).await
}

async fn world() -> World {
    let world = World::start().await;
    let mut fast = builders::file_system("ws", "fast", builders::managed("1Gi"));
    fast.spec.node_group = Some("gpu".into());
    world.api.put(&fast);
    let source = json!({"directory": {"path": "/mnt/x"}});
    let spec = json!({"nodeGroup": "gpu", "source": source, "workspaces": ["ws"]});
    world.api.put(&builders::local_storage("nvme", spec));
    world
        .sees(|objects| !objects.storages("ws").is_empty() && objects.file_system("ws", "fast").is_some())
        .await;
    world
}

#[tokio::test]
async fn an_endpoint_is_two_documents_in_the_workspace() {
    let world = world().await;
    let said = ask(
        &world,
        JANE,
        &json!({
            "kind": "endpoint", "name": "serve", "image": "httpd:2",
            "mounts": [{"fileSystem": "default", "from": "/site", "as": "/srv", "readOnly": true}],
        }),
    )
    .await;
    let yaml = said.json()["yaml"].as_str().unwrap().to_owned();
    let expected = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: serve
  namespace: ws
spec:
  replicas: 1
  selector:
    matchLabels:
      app: serve
  template:
    metadata:
      labels:
        app: serve
    spec:
      containers:
      - image: httpd:2
        name: serve
        ports:
        - containerPort: 8080
          name: http
        volumeMounts:
        - mountPath: /srv
          name: files-1
          readOnly: true
          subPath: site
      volumes:
      - name: files-1
        persistentVolumeClaim:
          claimName: default
---
apiVersion: v1
kind: Service
metadata:
  name: serve
  namespace: ws
spec:
  ports:
  - name: http
    port: 80
    targetPort: http
  selector:
    app: serve
";
    assert_eq!(yaml, expected);
}

#[tokio::test]
async fn what_is_wrong_names_its_field() {
    let world = world().await;
    let form = |change: Change| {
        let mut form = json!({
            "kind": "job", "name": "train", "image": "t:1", "nodeGroup": "gpu",
            "mounts": [{"fileSystem": "fast", "as": "/data"}, {"localStorage": "nvme", "as": "/scratch"}],
        });
        change(&mut form);
        form
    };
    assert_eq!(ask(&world, JANE, &form(&|_| {})).await.status, 200);
    let cases: [(Change, &str); 12] = [
        (&|form| form["name"] = json!("A b"), "name"),
        (&|form| form["image"] = json!("a\nb"), "image"),
        (&|form| form["nodeGroup"] = json!("a/b"), "nodeGroup"),
        (&|form| form["nodeGroup"] = Value::Null, "nodeGroup"),
        (&|form| form["nodeGroup"] = json!("cpu"), "nodeGroup"),
        (&|form| form["port"] = json!(0), "port"),
        (&|form| form["mounts"][0]["fileSystem"] = json!("nothing"), "mounts[0].fileSystem"),
        (&|form| form["mounts"][1]["localStorage"] = json!("nothing"), "mounts[1].localStorage"),
        (&|form| form["mounts"][1]["from"] = json!("/part"), "mounts[1].from"),
        (&|form| form["mounts"][0]["from"] = json!("../x"), "mounts[0].from"),
        (&|form| form["mounts"][1]["as"] = json!("/data/"), "mounts[1].as"),
        (&|form| form["mounts"][1]["as"] = json!("scratch"), "mounts[1].as"),
    ];
    for (change, field) in cases {
        let said = ask(&world, JANE, &form(change)).await;
        assert_eq!((said.status.as_u16(), said.json()["field"].as_str()), (400, Some(field)), "{said:?}");
    }
    let said = ask(&world, JANE, &form(&|form| form["mounts"][0]["unknown"] = json!(1))).await;
    assert_eq!(said.status, 400);
    assert_eq!(ask(&world, JOE, &form(&|_| {})).await.status, 404, "another's workspace");
}
