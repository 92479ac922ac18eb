//! The operator killed, gone, and back: nothing doubled, nothing lost, nothing of others' touched.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::{OPERATORS, node_of};
use crate::suites::pod::PodSpec;
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

const DEPLOYMENT: &str = "workspacefs-operator";

pub fn cases() -> Vec<Case> {
    let all = cases![
        an_operator_killed_midway_doubles_and_loses_nothing,
        what_happened_while_the_operator_was_away_is_caught_up_and_foreign_volumes_are_not_touched,
    ];
    all.into_iter().map(|case| case.alone().within(300)).collect()
}

async fn an_operator_killed_midway_doubles_and_loses_nothing(context: Context) -> Result<()> {
    let names: Vec<String> = (0..9).map(|number| format!("data-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        context.create_file_system(name, json!({ "backend": context.shared(name) })).await?;
        if number % 3 == 2 {
            kill_operators(&context).await?;
        }
    }
    for name in &names {
        context.condition(name, "Ready", "True", seconds(120)).await?;
        let uid = context.bound(name).await?.metadata.labels.unwrap_or_default();
        let uid = uid.get("workspacefs.io/filesystem-uid").context("a claim without our label")?.clone();
        let ours = ListParams::default().labels(&format!("workspacefs.io/filesystem-uid={uid}"));
        let (volumes, claims) = (context.volumes().list(&ours).await?, context.claims().list(&ours).await?);
        let counts = (volumes.items.len(), claims.items.len());
        ensure!(counts == (1, 1), "{name} has {} volumes and {} claims", counts.0, counts.1);
    }
    // Deletion is cut off as well.
    for name in &names {
        context.file_systems().delete(name, &DeleteParams::default()).await?;
    }
    kill_operators(&context).await?;
    let look = || async {
        let left = context.file_systems().list(&ListParams::default()).await?.items.len();
        let claims = context.claims().list(&ListParams::default()).await?.items.len();
        let of_namespace = |claim: &str| claim == context.namespace();
        let volumes = context.volumes().list(&ListParams::default()).await?;
        let volumes = volumes.into_iter().filter_map(|volume| volume.spec?.claim_ref?.namespace);
        let volumes = volumes.filter(|namespace| of_namespace(namespace)).count();
        ensure!(
            (left, claims, volumes) == (0, 0, 0),
            "{left} FileSystems, {claims} claims, {volumes} volumes are left"
        );
        Ok(())
    };
    until("all is gone", seconds(120), look).await
}

/// SIGKILL to every operator process, without a chance to say goodbye.
pub async fn kill_operators(context: &Context) -> Result<()> {
    for pod in context.product().list(&ListParams::default().labels(OPERATORS)).await? {
        let running =
            pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()?.state.clone());
        if running.is_some_and(|state| state.running.is_some()) {
            // It may have ended since: another kill's pod is on its way.
            if let Err(error) = super::driver::kill(context, &pod).await {
                context.note(format!("on {}: {error:#}", node_of(&pod)?));
            }
        }
    }
    Ok(())
}

async fn what_happened_while_the_operator_was_away_is_caught_up_and_foreign_volumes_are_not_touched(
    context: Context,
) -> Result<()> {
    context.file_system("kept").await?;
    context.file_system("doomed").await?;
    let deployments: Api<Deployment> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
    let replicas = deployments.get(DEPLOYMENT).await?.spec.and_then(|spec| spec.replicas).unwrap_or(1).max(1);
    scale(&context, 0).await?;
    let away = context.while_away().await;
    scale(&context, replicas).await?;
    let foreign = away?;
    let outcome = context.after_return(&foreign).await;
    context.volumes().delete(&foreign, &DeleteParams::default()).await?;
    outcome
}

async fn scale(context: &Context, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(context.client(), PRODUCT_NAMESPACE);
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments.patch(DEPLOYMENT, &PatchParams::default(), &patch).await?;
    let look = || async {
        let pods = context.product().list(&ListParams::default().labels(OPERATORS)).await?;
        let ready = pods.iter().filter(|pod| crate::suites::context::is_ready(pod)).count();
        let wanted = usize::try_from(replicas)?;
        ensure!(pods.items.len() == wanted && ready == wanted, "{ready} of {} are Ready", pods.items.len());
        Ok(())
    };
    until(&format!("{replicas} operators run"), seconds(120), look).await
}

impl Context {
    /// Changes everything that the operator minds. Gives the name of a PersistentVolume that took its name.
    async fn while_away(&self) -> Result<String> {
        // Publishing needs no operator.
        self.start([PodSpec::new("user").claim("doomed", "/data").inline("kept", "", "/kept")]).await?;
        self.claims().delete("kept", &DeleteParams::default()).await?;
        self.file_systems().delete("doomed", &DeleteParams::default()).await?;
        let taken = self.create_file_system("taken", json!({ "backend": self.shared("taken") })).await?;
        let name = format!("wsfs-{}", taken.metadata.uid.context("no uid")?);
        let foreign = json!({
            "metadata": { "name": name, "labels": { "owner": "somebody" } },
            "spec": {
                "capacity": { "storage": "1Gi" },
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "somebody",
                "hostPath": { "path": "/nowhere" },
            },
        });
        self.volumes().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
        Ok(name)
    }

    async fn after_return(&self, foreign: &str) -> Result<()> {
        let before = self.volumes().get(foreign).await?;
        self.usable("kept").await?;
        self.condition("doomed", "InUse", "True", seconds(60)).await?;
        let refused = self.condition("taken", "Ready", "False", seconds(60)).await?;
        let reason = refused.condition("Ready").map(|condition| condition.reason.clone()).unwrap_or_default();
        ensure!(reason == "NameTaken", "the reason is {reason}");
        self.file_systems().delete("taken", &DeleteParams::default()).await?;
        let look = || async {
            ensure!(self.file_systems().get_opt("taken").await?.is_none(), "it is there");
            Ok(())
        };
        until("the refused FileSystem is gone", seconds(60), look).await?;
        let after = self.volumes().get(foreign).await?;
        ensure!(
            after.spec == before.spec && after.metadata.labels == before.metadata.labels,
            "somebody's volume changed"
        );
        ensure!(after.metadata.deletion_timestamp.is_none(), "somebody's volume is being deleted");
        self.stop("user").await?;
        let look = || async {
            ensure!(self.file_systems().get_opt("doomed").await?.is_none(), "it is there");
            Ok(())
        };
        until("the FileSystem that was in use is gone", seconds(60), look).await
    }
}
