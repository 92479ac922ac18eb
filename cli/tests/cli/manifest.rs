//! `wfs manifest`: exactly what it writes.

use serde_json::Value;

use crate::{Said, wfs};

fn written(arguments: &[&str]) -> String {
    let mut command = wfs(&["manifest"]);
    command.args(arguments);
    Said::by(command).ended(0).stdout
}

fn refused(arguments: &[&str], code: i32, why: &str) {
    let mut command = wfs(&["manifest"]);
    command.args(arguments);
    Said::by(command).ended(code).complains(why);
}

#[test]
fn a_pod_mounts_folders_of_claims() {
    let written = written(&[
        "dev",
        "--image=busybox:1",
        "--mount=default:/datasets/a:/data:ro",
        "--mount=default:/home",
        "--mount=more:/more",
    ]);
    let expected = "\
apiVersion: v1
kind: Pod
metadata:
  name: dev
spec:
  containers:
  - image: busybox:1
    name: dev
    volumeMounts:
    - mountPath: /data
      name: files-1
      readOnly: true
      subPath: datasets/a
    - mountPath: /home
      name: files-1
    - mountPath: /more
      name: files-2
  volumes:
  - name: files-1
    persistentVolumeClaim:
      claimName: default
  - name: files-2
    persistentVolumeClaim:
      claimName: more
";
    assert_eq!(written, expected);
}

#[test]
fn a_job_prefers_warm_nodes_and_waits_for_one_only_when_told_to() {
    let job = [
        "train",
        "--kind=job",
        "--image=trainer:1",
        "--namespace=team-a",
        "--inline",
        "--mount=default:/datasets:/data:ro",
        "--node-group=gpu",
        "--local-storage=nvme:/scratch",
        "--cache=warm",
    ];
    let expected = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: train
  namespace: team-a
spec:
  template:
    metadata:
      labels:
        app: train
    spec:
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - preference:
              matchExpressions:
              - key: cache.workspacefs.io/team-a.warm
                operator: In
                values:
                - ready
            weight: 100
      containers:
      - command:
        - train
        - /data
        image: trainer:1
        name: train
        volumeMounts:
        - mountPath: /data
          name: inline-1
          readOnly: true
        - mountPath: /scratch
          name: files-1
      nodeSelector:
        workspacefs.io/node-group: gpu
      restartPolicy: Never
      volumes:
      - csi:
          driver: csi.workspacefs.io
          readOnly: true
          volumeAttributes:
            fileSystem: default
            mountFrom: /datasets
        name: inline-1
      - name: files-1
        persistentVolumeClaim:
          claimName: nvme
";
    assert_eq!(written(&[&job[..], &["--", "train", "/data"]].concat()), expected);
    let required = "\
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions:
              - key: cache.workspacefs.io/team-a.warm
                operator: In
                values:
                - ready
      containers:
";
    let written = written(&[&job[..], &["--require-warm"]].concat());
    assert!(written.contains(required) && !written.contains("preferred"), "{written}");
}

#[test]
fn a_deployment_finds_its_pods() {
    let text = written(&["serve", "--kind=deployment", "--image=httpd", "--mount=default:/site"]);
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!((&object["kind"], &object["apiVersion"]), (&"Deployment".into(), &"apps/v1".into()));
    let labels = &object["spec"]["selector"]["matchLabels"];
    assert_eq!(labels, &object["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(labels["app"], "serve");
}

/// Each is a string to whoever reads the YAML, whatever it looks like.
#[test]
fn hostile_names_are_read_back_as_they_were() {
    for word in ["1e3", "0x10", "on", "y", "null", "true", "0o7", "1-1", "007", "12345678901234567890"] {
        let text = written(&[
            word,
            &format!("--image={word}"),
            &format!("--mount={word}:{word}:/{word}"),
            "--",
            word,
        ]);
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let container = &object["spec"]["containers"][0];
        for is in [
            &object["metadata"]["name"],
            &container["image"],
            &container["command"][0],
            &container["volumeMounts"][0]["subPath"],
            &object["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        ] {
            assert_eq!(is, word, "{text}");
        }
    }
    for folder in
        ["- x", "# x", "a: b", "~", "{{ x }}", "\"'", "* &a !b", "é\u{202e}x", "a\\nb", "%x", "| x", " x "]
    {
        let text = written(&["a", "--image=b", &format!("--mount=c:{folder}:/d"), "--", folder, "a\nb", ""]);
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let container = &object["spec"]["containers"][0];
        assert_eq!(container["volumeMounts"][0]["subPath"], folder, "{text}");
        assert_eq!(container["command"], serde_json::json!([folder, "a\nb", ""]), "{text}");
    }
}

#[test]
fn what_kubernetes_would_refuse_is_refused() {
    let good = ["a", "--image=b"];
    for (more, why) in [
        (&["--mount=c:../x:/d"][..], "\"..\""),
        (&["--mount=c:.workspacefs/cache:/d"], ".workspacefs"),
        (&["--mount=c:/d\n- x"], "control character"),
        (&["--mount=C:/d"], "small letters"),
        (&["--namespace=a.b"], "small letters"),
        (&["--cache=warm"], "--namespace"),
        (&["--require-warm"], "--cache"),
        (&["--local-storage=nvme:/d"], "--node-group"),
        (&["--node-group=a/b"], "label"),
    ] {
        refused(&[&good[..], more].concat(), 2, why);
    }
    refused(&["A", "--image=b"], 2, "small letters");
    refused(&["a", "--image=b\n"], 2, "visible");
    refused(&["a", "--image=b", "--mount=c:/d", "--mount=e:/d/"], 2, "two mounts at /d");
    let local = ["--node-group=gpu", "--local-storage=nvme:x:/d"];
    refused(&[&good[..], &local].concat(), 2, "as a whole");
    let long = "c".repeat(60);
    refused(&["a", "--image=b", "--namespace=team", &format!("--cache={long}")], 2, "62 characters");
}
