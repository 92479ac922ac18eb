//! With a kubeconfig and nothing else: through the port-forward of the API server, as the context's token or as a ServiceAccount that a
//! client certificate may ask a token for; and each verb, compared with what a pod sees.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::FS;
use super::desk::{Desk, pin, shop};
use crate::credentials::Credentials;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Content, MIB, Shop};
use crate::suites::pod::PodSpec;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

const POD: &str = "user";
/// What the pod says of a file that is not there.
const NONE: &str = "none";
/// Larger than what goes in one request.
const BIG: Content = Content("through a port-forward");
const BIG_LENGTH: usize = 40 * MIB as usize + 321;
const SPARSE_LENGTH: u64 = 256 * MIB + 1;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_kubeconfig_with_a_token_is_all_that_wfs_needs_and_a_pod_sees_what_it_did,
        a_context_with_a_client_certificate_acts_as_the_service_account_that_is_named,
        a_login_is_kept_until_it_is_forgotten,
    ];
    // Each call of `wfs` forwards a port anew.
    all.into_iter().map(|case| case.within(600)).collect()
}

async fn a_kubeconfig_with_a_token_is_all_that_wfs_needs_and_a_pod_sees_what_it_did(
    context: Context,
) -> Result<()> {
    let Shop { token, .. } = shop(&context).await?;
    may_forward(&context, "editor").await?;
    context.start([PodSpec::new(POD).claim(FS, "/data")]).await?;
    let mut desk = Desk::bare(&context)?;
    desk.keeps_secret(&token);
    desk.write("home/.kube/config", kubeconfig(&context, json!({ "token": token }))?)?;

    let who = format!("system:serviceaccount:{}:editor", context.namespace());
    // The API server hears of a Role as anybody does.
    let known = || async {
        let said = desk.wfs(&["whoami"]).await?.ended(0)?;
        said.says(&who)?.says("pod workspacefs-system/workspacefs-dashboard-0").map(drop)
    };
    until("the Role lets wfs through", seconds(60), known).await?;
    desk.wfs(&["doctor"]).await?.ended(0)?.says(&who)?.says("ok    port-forward: you may")?;
    desk.storage(&["ls"]).await?.ended(0)?.prints("")?;
    desk.storage(&["mkdir", "/a b/deep"]).await?.ended(0)?.says("made /a b/deep")?;
    desk.write("one.txt", "one")?;
    desk.write("big", BIG.bytes(0, BIG_LENGTH))?;
    desk.storage(&["upload", "one.txt", "/a b/"]).await?.ended(0)?;
    desk.storage(&["upload", "big", "/big"]).await?.ended(0)?;
    ensure!(context.exec(POD, "cat '/data/a b/one.txt'").await? == "one", "a pod sees another file");
    let sum = context.exec(POD, "sha256sum /data/big").await?;
    ensure!(sum.starts_with(&BIG.digest(BIG_LENGTH as u64)), "a pod sees another large file: {sum}");
    desk.storage(&["download", "/big", "back"]).await?.ended(0)?;
    ensure!(desk.read("back")? == desk.read("big")?, "what came back is another file");
    keeps_holes(&context, &desk).await?;

    context.exec(POD, "printf 'of a pod' > '/data/a b/deep/two'").await?;
    desk.storage(&["cat", "/a b/deep/two"]).await?.ended(0)?.prints("of a pod")?;
    desk.storage(&["ls", "/a b"]).await?.ended(0)?.prints("deep/\none.txt\n")?;
    desk.storage(&["stat", "/a b/one.txt"]).await?.ended(0)?.says("size:     3")?;
    desk.storage(&["du", "/a b"]).await?.ended(0)?.says("2 files")?;
    desk.storage(&["du"]).await?.ended(0)?.says("available:")?;
    desk.storage(&["find", "--name", "TWO"]).await?.ended(0)?.prints("/a b/deep/two\n")?;
    changes(&context, &desk).await
}

/// A sparse file takes no room on the server, which is reached by NFS.
async fn keeps_holes(context: &Context, desk: &Desk) -> Result<()> {
    let sparse = File::create(desk.path("sparse"))?;
    sparse.set_len(SPARSE_LENGTH)?;
    sparse.write_all_at(b"end", SPARSE_LENGTH - 3)?;
    desk.storage(&["upload", "sparse", "/sparse"]).await?.ended(0)?;
    let seen = context.on_server(&format!("stat -c '%s %b' {FS}/sparse && tail -c 3 {FS}/sparse")).await?;
    let (facts, end) = seen.split_once('\n').context("too few lines")?;
    let (size, blocks) = facts.split_once(' ').context("too few words")?;
    ensure!(size.parse() == Ok(SPARSE_LENGTH) && end == "end", "another sparse file is stored: {seen}");
    let taken = blocks.parse::<u64>()? * 512;
    ensure!(taken < 16 * MIB, "of {SPARSE_LENGTH} bytes, nearly all of them zeros, {taken} are taken");
    Ok(())
}

/// Moves, copies, deletes and restores; a pod sees each.
async fn changes(context: &Context, desk: &Desk) -> Result<()> {
    desk.storage(&["mv", "/a b/one.txt", "/moved/uno"]).await?.ended(0)?;
    sees(context, "moved/uno", "one").await?;
    sees(context, "a b/one.txt", NONE).await?;
    desk.storage(&["cp", "-r", "/a b", "/copy"]).await?.ended(0)?;
    sees(context, "copy/deep/two", "of a pod").await?;
    desk.storage(&["rm", "/moved/uno", "/nowhere"]).await?.ended(3)?.complains("/nowhere")?;
    sees(context, "moved/uno", NONE).await?;
    let trash = desk.storage(&["trash", "ls", "-o", "json"]).await?.ended(0)?.report()?;
    ensure!(trash["path"] == "moved/uno", "the trash holds {trash}");
    let id = trash["id"].as_str().context("no id")?;
    desk.storage(&["trash", "restore", id]).await?.ended(0)?.says("restored /moved/uno")?;
    sees(context, "moved/uno", "one").await?;
    desk.storage(&["rmdir", "/copy"]).await?.ended(1)?.complains("rmdir -r")?;
    desk.storage(&["rmdir", "-r", "/copy"]).await?.ended(0)?;
    sees(context, "copy/deep/two", NONE).await
}

/// Waits until the pod reads this in a file, or finds none. That a name was not there an NFS client may believe for a minute longer.
async fn sees(context: &Context, name: &str, expected: &str) -> Result<()> {
    let line = format!("cat '/data/{name}' 2>/dev/null || echo {NONE}");
    let look = || async {
        let seen = context.exec(POD, &line).await?;
        ensure!(seen == expected, "in {name} it sees {seen:?}, not {expected:?}");
        Ok(())
    };
    until("the pod sees what was done", seconds(90), look).await
}

async fn a_context_with_a_client_certificate_acts_as_the_service_account_that_is_named(
    context: Context,
) -> Result<()> {
    shop(&context).await?;
    let credentials = Credentials::of(&context.cluster().layout());
    let user = json!({
        "client-certificate": credentials.file("kubelet-client.crt"),
        "client-key": credentials.file("kubelet-client.key"),
    });
    let mut desk = Desk::bare(&context)?;
    desk.write("config", kubeconfig(&context, user)?)?;
    desk.set("KUBECONFIG", desk.path("config"));
    desk.storage(&["ls"]).await?.ended(2)?.complains("--service-account")?;
    desk.write("file", "by a certificate")?;
    desk.storage(&["upload", "file", "/", "--service-account", "editor"]).await?.ended(0)?;
    desk.set("WFS_SERVICE_ACCOUNT", "editor");
    desk.storage(&["cat", "file"]).await?.ended(0)?.prints("by a certificate")?;
    let who = format!("system:serviceaccount:{}:editor", context.namespace());
    desk.wfs(&["whoami"]).await?.ended(0)?.says(&who)?;
    desk.wfs(&["doctor"]).await?.ended(0)?.says("ok    driver on each node: all have it")?;
    // A certificate that may do everything asks for a token of somebody who may not write.
    context.person("stranger", None).await?;
    desk.storage(&["upload", "file", "/no", "--service-account", "stranger"]).await?.ended(1)?.says_why()?;
    desk.storage(&["ls", "--service-account", "nobody"]).await?.ended(1)?.says_why()?;
    ensure!(context.on_server("ls default").await? == "file", "somebody wrote who may not");
    Ok(())
}

async fn a_login_is_kept_until_it_is_forgotten(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    let mut desk = Desk::with_token(&context, &door, &token)?;
    let url = format!("https://{}", door.address());
    for name in ["WFS_URL", "WFS_CA"] {
        desk.unset(name);
    }
    desk.set("WFS_TOKEN", "of-nobody");
    desk.wfs(&["login", &url, "--ca", &pin(&door)]).await?.ended(1)?.says_why()?;
    desk.set("WFS_TOKEN", token.as_str());
    desk.wfs(&["login", &url]).await?.ended(1)?.complains("cannot reach the gateway")?;
    desk.wfs(&["login", &url, "--ca", &pin(&door)]).await?.ended(0)?.says("logged in as")?;
    for name in ["WFS_TOKEN", "WFS_WORKSPACE"] {
        desk.unset(name);
    }
    let who = format!("system:serviceaccount:{}:editor", context.namespace());
    desk.wfs(&["whoami"]).await?.ended(0)?.says(&who)?.says(context.namespace())?;
    desk.storage(&["ls"]).await?.ended(0)?.prints("")?;
    desk.wfs(&["logout"]).await?.ended(0)?.says("logged out")?;
    desk.set("KUBECONFIG", "/dev/null");
    desk.storage(&["ls"]).await?.failed()?.says_why().map(drop)
}

/// A kubeconfig of one context in the case's namespace, with that user and the cluster of the administrator's.
pub fn kubeconfig(context: &Context, user: Value) -> Result<String> {
    let text = std::fs::read_to_string(context.cluster().kubeconfig("admin"))?;
    let mut config: Value = serde_json::from_str(&text)?;
    let cluster = config["clusters"][0]["name"].clone();
    config["users"] = json!([{ "name": "me", "user": user }]);
    let of = json!({ "cluster": cluster, "user": "me", "namespace": context.namespace() });
    config["contexts"] = json!([{ "name": "here", "context": of }]);
    config["current-context"] = "here".into();
    Ok(config.to_string())
}

/// Lets a ServiceAccount of the case's namespace forward to the gateway's pod, and to no other. The Role lies in the product's
/// namespace and belongs to the case's, so that it goes with it.
async fn may_forward(context: &Context, account: &str) -> Result<()> {
    let namespace = Api::<Namespace>::all(context.client()).get(context.namespace()).await?;
    let metadata = json!({ "name": context.namespace(), "ownerReferences": [{
        "apiVersion": "v1", "kind": "Namespace", "name": context.namespace(), "uid": namespace.uid(),
    }] });
    let pod = json!({ "apiGroups": [""], "resourceNames": ["workspacefs-dashboard-0"] });
    // A WebSocket begins as a GET; newer API servers ask for create too.
    let mut rule = pod;
    rule["resources"] = json!(["pods/portforward"]);
    rule["verbs"] = json!(["get", "create"]);
    let role: Role = serde_json::from_value(json!({ "metadata": metadata, "rules": [rule] }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": context.namespace() },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": context.namespace() }],
    }))?;
    let made = PostParams::default();
    Api::namespaced(context.client(), PRODUCT_NAMESPACE).create(&made, &role).await?;
    Api::namespaced(context.client(), PRODUCT_NAMESPACE).create(&made, &binding).await?;
    Ok(())
}
