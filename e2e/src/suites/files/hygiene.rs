//! What holds for the gateway and for `files` whatever is asked of them: no token, key or cookie in a log, an Event or a figure,
//! figures that name nobody, no port that is not declared, no privilege; and at last nothing is left.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::content::Content;
use super::door::GATEWAY;
use super::imports::{form, service};
use super::people::{DATA, Shop};
use super::pods::FILES;
use super::tus::Upload;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

/// The gateway, as the chart calls it.
const COMPONENT: &str = "dashboard";
/// What nobody else says: a token that is none, the secret half of a key that is none.
const NO_TOKEN: &str = "canary-no-token-5e1c0a-must-not-be-seen";
const NO_KEY: &str = "canary-no-key-9b77d2-must-not-be-seen";
/// In the name of a file: figures have no place for it.
const FILE: &str = "canary-of-a-file";

pub fn cases() -> Vec<Case> {
    let all = cases![
        no_token_key_or_cookie_is_told_and_figures_name_nobody,
        the_gateway_and_files_have_no_privilege_and_no_port_that_is_not_declared,
        nothing_of_files_is_left_when_no_file_system_is_there,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn no_token_key_or_cookie_is_told_and_figures_name_nobody(context: Context) -> Result<()> {
    let shop = Shop::open(&context).await?;
    let mut words = secrets(&context).await?;
    words
        .extend([shop.token.as_str(), NO_TOKEN, NO_KEY, ACCESS_KEY_ID, SECRET_ACCESS_KEY].map(str::to_owned));
    words.extend(everything_is_said(&context, &shop).await?);
    context.logs_are_clean_of(&words).await?;
    let events: Api<Event> = Api::all(context.client());
    for event in events.list(&ListParams::default()).await? {
        let message = event.message.unwrap_or_default();
        let told = words.iter().any(|word| message.contains(word));
        ensure!(!told, "a secret stands in an Event of {:?}", event.involved_object.name);
    }
    let uid = context.file_systems().get(DATA).await?.uid().context("no uid")?;
    let names = [context.namespace(), "serviceaccount", &uid, FILE];
    let mut figures: Vec<String> = context
        .figures_that_name_nobody(&[COMPONENT], &names)
        .await?
        .into_iter()
        .map(|figures| figures.text)
        .collect();
    let of_files = context.served(&context.files_pod(DATA).await?, "/metrics").await?;
    for name in names {
        let found = of_files.lines().find(|line| line.contains(name));
        ensure!(found.is_none(), "figures of files name somebody: {found:?}");
    }
    ensure!(of_files.lines().any(|line| line.starts_with("workspacefs_")), "no figure of files:\n{of_files}");
    figures.push(of_files);
    let told = words.iter().any(|word| figures.iter().any(|text| text.contains(word)));
    ensure!(!told, "a secret stands in the figures");
    audited(&context).await
}

/// Uses all that takes a secret, once well and once in vain; gives the words of the session that must not be told either.
async fn everything_is_said(context: &Context, shop: &Shop) -> Result<Vec<String>> {
    let (answer, person) = shop.door.log_in(&shop.token).await?;
    shop.door.try_log_in(NO_TOKEN).await?.refused(401, "Unauthenticated")?;
    shop.door.with(NO_TOKEN).get("session").await?.refused(401, "Unauthenticated")?;
    // A login that is no JSON: what is said of it must not quote it.
    let broken = format!("{{\"token\": \"{NO_TOKEN}\"");
    let request = shop.door.nobody().ask(reqwest::Method::POST, "login");
    let request = request.header("content-type", "application/json").body(broken);
    let refused = super::answer::answered(request).await?;
    ensure!(!String::from_utf8_lossy(&refused.body).contains(NO_TOKEN), "a login is repeated: {refused:?}");

    let files = person.files(context.namespace(), DATA);
    files.put(&format!("content/{FILE}"), "x").await?.expect(201)?;
    let upload = Upload::begin(&files, "in%20pieces", Content("small"), 1000).await?;
    upload.send(0, 1000).await?;
    files.get("content/there/is/none").await?.refused(404, "NotFound")?;
    let service = service().await?;
    service.store().put("photo", "photo");
    let mut wrong = form(&service);
    wrong["secretAccessKey"] = NO_KEY.into();
    let said = files.post("imports", &wrong).await?;
    ensure!((400..500).contains(&said.status), "a wrong key is taken: {said:?}");
    let import = files.post("imports", &form(&service)).await?.expect(201)?.json()?;
    let place = format!("imports/{}", import["id"].as_str().context("no id")?);
    let look = || async {
        let import = files.get(&place).await?.json()?;
        ensure!(import["state"] == "done", "it is {import}");
        Ok(())
    };
    until("the import is done", seconds(60), look).await?;
    let cookie = person.cookie().and_then(|cookie| cookie.split_once('=')).context("no cookie")?.1.to_owned();
    let csrf = answer.json()?["csrf"].as_str().context("no csrf")?.to_owned();
    Ok(vec![cookie, csrf])
}

/// The lines of every private key of gateway and files.
async fn secrets(context: &Context) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let of_product = [
        (PRODUCT_NAMESPACE, "workspacefs-gateway"),
        (PRODUCT_NAMESPACE, "workspacefs-files-authority"),
        (context.namespace(), "workspacefs-files"),
    ];
    for (namespace, name) in of_product {
        let api: Api<Secret> = Api::namespaced(context.client(), namespace);
        let data = api.get(name).await.with_context(|| format!("Secret {name}"))?.data.unwrap_or_default();
        let before = lines.len();
        for value in data.into_values() {
            let text = String::from_utf8_lossy(&value.0).into_owned();
            if text.contains("PRIVATE KEY") {
                // A short last line would be found anywhere.
                let long = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 20);
                lines.extend(long.map(str::to_owned));
            }
        }
        ensure!(lines.len() > before, "no key in the Secret {name}: nothing was tested");
    }
    Ok(lines)
}

/// Each change is in the gateway's log with who made it.
async fn audited(context: &Context) -> Result<()> {
    let log = context.product().logs(&format!("{GATEWAY}-0"), &Default::default()).await?;
    let who = format!("system:serviceaccount:{}:editor", context.namespace());
    for path in [FILE, "in%20pieces"] {
        let found =
            log.lines().any(|line| line.contains("audit") && line.contains(&who) && line.contains(path));
        ensure!(found, "no line of the audit log names {who} and {path}");
    }
    Ok(())
}

async fn the_gateway_and_files_have_no_privilege_and_no_port_that_is_not_declared(
    context: Context,
) -> Result<()> {
    Shop::open(&context).await?;
    context.only_declared_ports_are_open(COMPONENT).await?;
    let files = context.files_pod(DATA).await?;
    context.only_declared_ports_are_open_in(&files).await?;
    let gateway = context.pods_of(COMPONENT).await?.pop().context("no gateway is Ready")?;
    for (pod, program) in [(&files, "files"), (&gateway, "dashboard")] {
        let said = status_of(&context, pod, program).await?;
        let found: BTreeSet<&str> = said.lines().collect();
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
            ensure!(found.contains(line), "{program} has not {line:?}:\n{said}");
        }
    }
    let token = "/var/run/secrets/kubernetes.io";
    let found = seen_by_files(&context, &files, token).await?;
    ensure!(found.trim() == "none", "files have a token: {found}");
    let spec = files.spec.context("no spec")?;
    ensure!(spec.automount_service_account_token == Some(false), "a token may be mounted");
    Ok(())
}

/// What the kernel says of a pod's process of that name.
async fn status_of(context: &Context, pod: &Pod, program: &str) -> Result<String> {
    in_process(context, pod, program, "cat $p/status").await
}

/// Whether a path is there for `files`.
async fn seen_by_files(context: &Context, pod: &Pod, path: &str) -> Result<String> {
    in_process(context, pod, "files", &format!("ls -d $p/root{path} 2>/dev/null || echo none")).await
}

async fn in_process(context: &Context, pod: &Pod, program: &str, look: &str) -> Result<String> {
    let uid = pod.uid().context("no uid")?;
    let line = format!(
        "cd /proc && for p in $(grep -ls pod{uid} [0-9]*/cgroup | cut -d/ -f1); do \
         [ \"$(cat $p/comm 2>/dev/null)\" = {program} ] && {{ {look}; exit 0; }}; done; echo no process {program}; exit 1"
    );
    context.on(node_of(pod)?, &line).await
}

/// The last of a suite's cases: no pod of `files`, no mount and no record is left, and no log told a secret.
pub async fn nothing_of_files_is_left_when_no_file_system_is_there(context: Context) -> Result<()> {
    let pods: Api<Pod> = Api::all(context.client());
    let look = || async {
        let left = pods.list(&ListParams::default().labels(FILES)).await?;
        let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
        ensure!(left.is_empty(), "pods of files are left: {left:?}");
        Ok(())
    };
    until("no pod of files is left", seconds(60), look).await?;
    context.nothing_is_left().await?;
    context.logs_are_clean().await
}
