//! The files of `examples/`, exactly as they are.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{ListParams, LogParams};

use super::set_up::NODE_GROUP;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::wait::{seconds, until};

const FILE_SYSTEM: &str = include_str!("../../../../examples/filesystem.yaml");
const ENDPOINT: &str = include_str!("../../../../examples/endpoint.yaml");
const DEV_POD: &str = include_str!("../../../../examples/devpod.yaml");
const JOB: &str = include_str!("../../../../examples/job.yaml");
const DEDICATED: &str = include_str!("../../../../examples/dedicated-filesystem.yaml");

pub fn cases() -> Vec<Case> {
    cases![
        endpoint_dev_pod_and_job_share_one_file_system_across_nodes,
        the_dedicated_example_runs_in_its_node_group,
    ]
}

async fn endpoint_dev_pod_and_job_share_one_file_system_across_nodes(context: Context) -> Result<()> {
    context.become_workspace().await?;
    for example in [FILE_SYSTEM, ENDPOINT, DEV_POD, JOB] {
        context.apply(example).await?;
    }
    context.usable("datasets").await?;
    context.usable("default").await?;
    context.running("devpod-0").await?;
    let endpoints = endpoints(&context).await?;
    let nodes = [node_of(&endpoints[0])?, node_of(&endpoints[1])?];
    ensure!(nodes[0] != nodes[1], "both replicas run on {}", nodes[0]);

    // Each replica reads what the other wrote on the other node.
    let names = endpoints.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
    for (reader, (writer, node)) in [(&names[0], (&names[1], nodes[1])), (&names[1], (&names[0], nodes[0]))] {
        let read = context.exec(reader, &format!("cat /site/served-by-{writer}")).await?;
        ensure!(read == node, "{reader} reads {read:?} where {writer} wrote {node:?}");
    }

    // The Dev Pod sees the Endpoint through its Service and leaves a file in the second file system.
    let service: Api<Service> = Api::namespaced(context.client(), context.namespace());
    let address =
        service.get("endpoint").await?.spec.and_then(|spec| spec.cluster_ip).context("no cluster IP")?;
    let page = context.exec("devpod-0", &format!("wget -qO- http://{address}/index.html")).await?;
    ensure!(page == "hello from workspacefs", "the Endpoint serves {page:?}");
    // A name of this run's own: a client may remember for a while that a name did not exist.
    let note = format!("from-{}", address.replace('.', "-") + &names[0]);
    context.exec("devpod-0", &format!("test -s started && echo noted > /data/{note}")).await?;
    let seen = context.exec(&names[0], &format!("cat /data/{note}")).await?;
    context.exec("devpod-0", &format!("rm /data/{note}")).await?;
    ensure!(seen == "noted", "the Endpoint sees {seen:?}");

    // The Job read the Endpoint's page by an inline volume and left its hash for everybody.
    let report = context.job_log("report").await?;
    let expected =
        context.exec("devpod-0", &format!("wget -qO- http://{address}/index.html | sha256sum")).await?;
    ensure!(report.trim() == expected, "the Job reports {report:?}, the page's hash is {expected:?}");
    let kept = context.exec("devpod-0", "cat /data/report").await?;
    ensure!(kept == expected, "the Dev Pod reads {kept:?} in the Job's report");
    Ok(())
}

async fn the_dedicated_example_runs_in_its_node_group(context: Context) -> Result<()> {
    context.apply(DEDICATED).await?;
    let file_system = context.usable("scratch").await?;
    ensure!(file_system.spec.node_group.as_deref() == Some(NODE_GROUP), "the example's group is another one");
    let log = context.job_log("train").await?;
    ensure!(log.trim() == "trained on n1", "n1 alone is in the group, the Job says {log:?}");
    let volume = format!("wsfs-{}", file_system.metadata.uid.context("no uid")?);
    let affinity = context.volumes().get(&volume).await?.spec.and_then(|spec| spec.node_affinity);
    ensure!(affinity.is_some(), "the PersistentVolume has no node affinity: it was luck");
    Ok(())
}

/// The two replicas, Ready, in the order of their names.
async fn endpoints(context: &Context) -> Result<[Pod; 2]> {
    let of_app = ListParams::default().labels("app=endpoint");
    let look = || async {
        let list = context.pods().list(&of_app).await?.items;
        ensure!(list.len() == 2, "there are {} replicas", list.len());
        Ok(list)
    };
    let list = until("the Endpoint has two replicas", seconds(30), look).await?;
    let mut ready = Vec::new();
    for pod in list {
        let name = pod.metadata.name.context("a pod without a name")?;
        ready.push(context.running(&name).await?);
    }
    ready.try_into().map_err(|_| anyhow::anyhow!("two replicas"))
}

impl Context {
    /// What a Job's pod printed, once it has succeeded.
    pub async fn job_log(&self, job: &str) -> Result<String> {
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let look = || async {
            let pods = self.pods().list(&of_job).await?;
            let done =
                |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Succeeded"));
            let pod = pods.into_iter().find(done).context("none of its pods has succeeded")?;
            pod.metadata.name.context("a pod without a name")
        };
        let pod = until(&format!("Job {job} succeeds"), seconds(150), look).await?;
        Ok(self.pods().logs(&pod, &LogParams::default()).await?)
    }
}
