//! What a volume is made of: versions, options, one mount per share, many mounts in one pod, and what no volume shows.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::set_up::{SECOND_EXPORT, SECOND_SERVER};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::SHARES;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let mut all = cases![
        a_file_written_on_n1_is_read_on_n2,
        one_pod_mounts_one_file_system_many_times,
        version_4_2_is_tried_first_and_every_option_asked_for_reaches_the_mount,
        the_newest_version_that_the_server_speaks_is_taken,
        version_3_is_used_only_when_asked_for_and_says_that_locks_are_local,
        volumes_of_one_share_use_one_mount_and_nothing_runs_setuid_or_as_device,
        a_volume_that_is_the_exports_root_hides_our_folder,
        no_sub_path_reveals_our_folder,
    ];
    all.extend(
        cases![an_exports_root_is_refused_where_our_folder_could_not_be_kept_apart]
            .into_iter()
            .map(Case::alone),
    );
    all
}

async fn a_file_written_on_n1_is_read_on_n2(context: Context) -> Result<()> {
    context.file_system("data").await?;
    let pod = |name: &str, node: &str| PodSpec::new(name).on(node).claim("data", "/data");
    let [one, two] = context.start([pod("one", "n1"), pod("two", "n2")]).await?;
    // Both ways, a new file and a changed one.
    for (writer, reader) in [("one", "two"), ("two", "one")] {
        context
            .exec(writer, &format!("echo from-{writer} > /data/file && md5sum /bin/busybox > /data/{writer}"))
            .await?;
        let read = context
            .exec(reader, &format!("cat /data/file && cat /data/{writer} && md5sum /bin/busybox"))
            .await?;
        let lines: Vec<&str> = read.lines().collect();
        ensure!(
            lines.len() == 3 && lines[0] == format!("from-{writer}") && lines[1] == lines[2],
            "{reader} read {read}"
        );
    }
    // A lock taken on one node is seen on the other, until it is given back.
    let here = context.mount_of(&one).await?.at + "/lock";
    let there = context.mount_of(&two).await?.at + "/lock";
    let hold = format!(
        "flock {here} sleep 10 >/dev/null 2>&1 </dev/null & sleep 2; flock -n {here} true || echo held"
    );
    ensure!(context.on("n1", &hold).await? == "held", "n1 did not get the lock");
    let tried = context.on("n2", &format!("flock -n {there} true || echo held")).await?;
    ensure!(tried == "held", "both nodes hold the same lock");
    context.on("n2", &format!("flock -w 30 {there} true")).await.context("the lock was never given back")?;
    Ok(())
}

async fn one_pod_mounts_one_file_system_many_times(context: Context) -> Result<()> {
    context.on_server("mkdir -p data/a/b data/other && chmod -R 0777 data").await?;
    context.file_system("data").await?;
    context.file_system("second").await?;
    let pod = PodSpec::new("user")
        .claim("data", "/all")
        .sub_path("data", "a", "/a")
        .sub_path("data", "a/b", "/b")
        .sub_path("data", "made/by/kubelet", "/made")
        .inline("data", "/a/b", "/inline")
        .claim("second", "/second")
        .inline("second", "", "/second-inline");
    let [pod] = context.start([pod]).await?;
    context.exec("user", "echo 1 > /b/x && echo 2 > /made/y && echo 3 > /second/z").await?;
    let same = "cat /all/a/b/x /a/b/x /inline/x /all/made/by/kubelet/y /second-inline/z";
    let read = context.exec("user", same).await?;
    ensure!(read == "1\n1\n1\n2\n3", "`{same}` shows {read:?}");
    ensure!(
        !context.try_exec("user", "ls /second/a").await?.success,
        "the second file system shows the first's folder"
    );
    context.stop("user").await?;
    let left = context.mounts_of(&pod).await?;
    ensure!(left.is_empty(), "mounts are left: {left:?}");
    Ok(())
}

async fn version_4_2_is_tried_first_and_every_option_asked_for_reaches_the_mount(
    context: Context,
) -> Result<()> {
    // Not nconnect: connections belong to the server, and the first mount of it on the node decided.
    let options = ["soft", "timeo=300", "retrans=5", "acregmin=7", "acdirmax=33", "lookupcache=none"];
    let spec = json!({ "backend": context.shared("data"), "mountOptions": options });
    context.file_system_with("data", spec).await?;
    context.file_system("plain").await?;
    let pods = [
        PodSpec::new("claim").on("n1").claim("data", "/data"),
        PodSpec::new("inline").on("n1").inline("data", "", "/data"),
        PodSpec::new("plain").on("n1").claim("plain", "/data"),
    ];
    let [claim, inline, plain] = context.start(pods).await?;
    for pod in [&claim, &inline] {
        let mount = context.mount_of(pod).await?;
        for option in options.into_iter().chain(["vers=4.2"]) {
            ensure!(mount.has(option), "{option} is not among {}", mount.super_options);
        }
    }
    let mount = context.mount_of(&plain).await?;
    for option in ["vers=4.2", "hard", "proto=tcp"] {
        ensure!(mount.has(option), "{option} is not among {}", mount.super_options);
    }
    Ok(())
}

async fn the_newest_version_that_the_server_speaks_is_taken(context: Context) -> Result<()> {
    let nfs = json!({ "server": SECOND_SERVER, "export": SECOND_EXPORT, "folder": context.folder("data") });
    context.file_system_with("data", json!({ "backend": { "nfs": nfs } })).await?;
    let mut asked = nfs.clone();
    asked["version"] = "4.0".into();
    context.file_system_with("old", json!({ "backend": { "nfs": asked } })).await?;
    let pods = [
        PodSpec::new("newest").on("n1").claim("data", "/data"),
        PodSpec::new("asked").on("n1").claim("old", "/data"),
    ];
    let [newest, asked] = context.start(pods).await?;
    let mount = context.mount_of(&newest).await?;
    ensure!(mount.has("vers=4.1"), "the server speaks 4.1, the mount has {}", mount.super_options);
    let mount = context.mount_of(&asked).await?;
    ensure!(mount.has("vers=4.0"), "4.0 was asked for, the mount has {}", mount.super_options);
    context.exec("newest", "echo x > /data/x").await?;
    context.exec("asked", "cat /data/x").await?;
    context.on("n2", &format!("rm -rf {SECOND_EXPORT}/e2e/{}", context.namespace())).await?;
    Ok(())
}

async fn version_3_is_used_only_when_asked_for_and_says_that_locks_are_local(context: Context) -> Result<()> {
    let mut backend = context.shared("data");
    backend["nfs"]["version"] = "3".into();
    context.create_file_system("data", json!({ "backend": backend })).await?;
    context.condition("data", "LocksLocal", "True", seconds(60)).await?;
    context.usable("data").await?;
    let plain = context.file_system("plain").await?;
    let local = plain.condition("LocksLocal").is_some_and(|condition| condition.status == "True");
    ensure!(!local, "a FileSystem of version 4 says that its locks are local");
    let [pod] = context.start([PodSpec::new("user").on("n1").claim("data", "/data")]).await?;
    let mount = context.mount_of(&pod).await?;
    ensure!(
        mount.kind == "nfs" && mount.has("vers=3"),
        "the mount is {} with {}",
        mount.kind,
        mount.super_options
    );
    ensure!(
        mount.has("local_lock=all") || mount.has("nolock"),
        "locks are not local: {}",
        mount.super_options
    );
    // No lock service is asked, which might never answer.
    context.exec("user", "echo x > /data/x").await?;
    context.on("n1", &format!("timeout 20 flock {}/x true", mount.at)).await?;
    Ok(())
}

async fn volumes_of_one_share_use_one_mount_and_nothing_runs_setuid_or_as_device(
    context: Context,
) -> Result<()> {
    // An option that no other case has makes a share of this case's own.
    let options = ["acregmax=61"];
    for name in ["one", "two"] {
        let spec = json!({ "backend": context.shared(name), "mountOptions": options });
        context.file_system_with(name, spec).await?;
    }
    let pods = [
        PodSpec::new("first").on("n1").claim("one", "/data").inline("two", "", "/two"),
        PodSpec::new("second").on("n1").claim("one", "/data"),
    ];
    let [first, second] = context.start(pods).await?;
    let mine = async || -> Result<Vec<_>> {
        let mut mounts = context.mounts("n1").await?;
        mounts.retain(|mount| mount.has("acregmax=61"));
        Ok(mounts)
    };
    let mounts = mine().await?;
    let shares = mounts.iter().filter(|mount| mount.at.starts_with(SHARES)).count();
    ensure!(shares == 1 && mounts.len() == 4, "one share and three volumes expected: {mounts:#?}");
    for mount in &mounts {
        let options: Vec<&str> = mount.options.split(',').collect();
        ensure!(
            options.contains(&"nosuid") && options.contains(&"nodev"),
            "{} has {}",
            mount.at,
            mount.options
        );
    }
    // The share stays for the second pod and goes with it.
    context.stop("first").await?;
    ensure!(context.mounts_of(&first).await?.is_empty(), "the first pod's mounts are left");
    context.exec("second", "echo still > /data/here").await?;
    context.stop("second").await?;
    ensure!(context.mounts_of(&second).await?.is_empty(), "the second pod's mounts are left");
    let look = || async {
        let left = mine().await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    };
    crate::suites::wait::until("the share is unmounted after its last user", seconds(30), look).await
}

/// A FileSystem that is the export's root, with a record of ours beneath it.
async fn exports_root(context: &Context) -> Result<()> {
    let nfs = json!({ "server": "10.99.0.21", "export": "/export/shared" });
    context.file_system_with("root", json!({ "backend": { "nfs": nfs } })).await?;
    // The first mount of this one creates a folder and so our own beside it.
    context.file_system("data").await?;
    context.start([PodSpec::new("first").claim("data", "/data")]).await?;
    let kept = context
        .on("nfs", "stat -c '%u %a' /export/shared/.workspacefs && ls /export/shared/.workspacefs/owners")
        .await?;
    let mut lines = kept.lines();
    ensure!(lines.next() == Some("0 700"), "our folder is not root's alone: {kept}");
    lines.next().context("no record was made, so nothing is to be hidden").map(drop)
}

async fn a_volume_that_is_the_exports_root_hides_our_folder(context: Context) -> Result<()> {
    exports_root(&context).await?;
    context
        .start([PodSpec::new("user").on("n1").claim("root", "/claim").inline("root", "", "/inline")])
        .await?;
    for at in ["/claim", "/inline"] {
        hidden(&context, "user", at).await?;
        // It is the root for all the rest.
        let folder = context.folder("data");
        context.exec("user", &format!("test -d {at}/{folder}")).await?;
    }
    Ok(())
}

async fn no_sub_path_reveals_our_folder(context: Context) -> Result<()> {
    exports_root(&context).await?;
    // kubelet's subPath is a bind without what is mounted beneath it, and follows links inside the volume.
    let link = format!("e2e/{}/to-the-root", context.namespace());
    context.on_server("ln -s ../.. to-the-root").await?;
    let pod = |name: &str, path: &str| PodSpec::new(name).on("n1").sub_path("root", path, "/data");
    // A folder below the root is mounted as ever.
    context.start([pod("plain", &context.folder("data"))]).await?;
    for pod in [pod("dot", "."), pod("link", &link), pod("ours", ".workspacefs")] {
        context.create(&pod).await?;
    }
    // The kernel refuses to bind the root without what hides our folder.
    for name in ["dot", "link"] {
        ensure!(!context.runs(name).await?, "{name} runs");
        context.event(name, &["Failed", "subPath"], seconds(5)).await?;
    }
    // What hides it can be bound: it is empty. Not to start at all is as good.
    if context.runs("ours").await? {
        let listed = context.exec("ours", "ls -A /data").await?;
        ensure!(listed.is_empty(), "subPath .workspacefs shows {listed}");
    }
    Ok(())
}

async fn an_exports_root_is_refused_where_our_folder_could_not_be_kept_apart(context: Context) -> Result<()> {
    exports_root(&context).await?;
    let forbidden = context.sysctl("n1", "user.max_user_namespaces", "0")?;
    context.create(&PodSpec::new("user").on("n1").claim("root", "/data")).await?;
    context.event("user", &["FailedMount", "user.max_user_namespaces", "a folder"], seconds(60)).await?;
    // A folder of the same share needs none.
    context.start([PodSpec::new("other").on("n1").claim("data", "/data")]).await?;
    forbidden.end().await?;
    context.running("user").await.map(drop)
}

/// Nothing of ours can be seen or changed in the volume, not even by root.
async fn hidden(context: &Context, pod: &str, at: &str) -> Result<()> {
    // So that a failure below is the command's.
    context.exec(pod, &format!("test -d {at}")).await?;
    let listed = context.try_exec(pod, &format!("ls -A {at}/.workspacefs")).await?;
    ensure!(
        !listed.success || listed.text.trim().is_empty(),
        "{pod}: {at}/.workspacefs shows {}",
        listed.text
    );
    for change in [
        "touch AT/.workspacefs/x",
        "mkdir -p AT/.workspacefs/owners",
        "rmdir AT/.workspacefs",
        "mv AT/.workspacefs AT/moved",
    ] {
        let change = change.replace("AT", at);
        let ran = context.try_exec(pod, &change).await?;
        ensure!(!ran.success, "{pod}: `{change}` succeeded");
    }
    Ok(())
}
