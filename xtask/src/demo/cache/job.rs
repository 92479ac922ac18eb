//! The training-like Job: reads every file of the dataset once, one after the other, and says in its log what that took.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde_json::{Value, json};
use workspacefs_api::NODE_GROUP_LABEL;
use workspacefs_e2e::suites::{Context, LOCAL_GROUP, PodSpec, seconds, until};

use super::steps::kubectl;

/// Where the Job has the dataset.
pub const DATASET: &str = "/data/datasets";

/// Time for it on a busy computer; no rule.
const TIME_MAX: Duration = seconds(240);

/// The node's own caches only: what lies in the storage host's memory stays there, so that the way to it is what is measured.
const DROP_CACHES: &str = "sync; for i in 1 2 3; do echo 3 > /proc/sys/vm/drop_caches; done";

/// One process opens all the files: starting one for each would take longer than reading them. Busybox's date knows no parts of a
/// second, the kernel's uptime knows hundredths: without the point it is a whole number of them.
const SCRIPT: &str = r#"set -e -o pipefail
cd /data/datasets
read -r begin rest < /proc/uptime
digest=$(find . -type f | sort | xargs cat | sha256sum)
read -r end rest < /proc/uptime
begin=${begin%.*}${begin#*.}
end=${end%.*}${end#*.}
echo "files $(find . -type f | wc -l)"
echo "hundredths $((end - begin))"
echo "digest ${digest%% *}"
echo "trained on ${digest%% *}" > /scratch/checkpoint
grep ' /data' /proc/self/mountinfo
"#;

/// What a Job's log says.
#[derive(Debug, PartialEq)]
pub struct Reading {
    /// Files that were read.
    pub files: usize,
    /// What that took, finding them included.
    pub took: Duration,
    /// Of all their bytes, in the order of their names.
    pub digest: String,
    /// Its mount table at and below the claim.
    pub mounts: String,
}

/// Runs it to its end, from cold caches.
pub async fn read(context: &Context, name: &str) -> Result<Reading> {
    context.on("n1", DROP_CACHES).await?;
    context.apply(&object(name)?.to_string()).await?;
    let jobs: Api<Job> = Api::namespaced(context.client(), context.namespace());
    let look = || async {
        let status = jobs.get(name).await?.status.unwrap_or_default();
        let (succeeded, failed) = (status.succeeded.unwrap_or(0), status.failed.unwrap_or(0));
        ensure!(succeeded + failed > 0, "it has not ended");
        Ok(failed == 0)
    };
    let succeeded = until(&format!("Job {name} ends"), TIME_MAX, look).await?;
    let log = kubectl(context, &["logs", &format!("job/{name}")]).await?;
    ensure!(succeeded, "Job {name} failed; it says:\n{log}");
    parse(&log).with_context(|| format!("Job {name} says:\n{log}"))
}

fn object(name: &str) -> Result<Value> {
    let pod = PodSpec::new(name).runs(SCRIPT).claim("default", "/data").claim("scratch", "/scratch");
    let pod = pod.with("nodeSelector", json!({ NODE_GROUP_LABEL: LOCAL_GROUP })).build()?;
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        // Once: a second try would find warm caches.
        "spec": { "backoffLimit": 0, "template": { "spec": pod.spec } },
    }))
}

fn parse(log: &str) -> Result<Reading> {
    let word = |name: &str| {
        let found = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.with_context(|| format!("no line begins with `{name}`"))
    };
    let hundredths: u64 = word("hundredths")?.parse()?;
    Ok(Reading {
        files: word("files")?.parse()?,
        took: Duration::from_millis(hundredths * 10),
        digest: word("digest")?.to_owned(),
        mounts: log.lines().filter(|line| line.contains(" - ")).collect::<Vec<_>>().join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_job_says_is_understood() {
        let mount = "36 35 0:40 /data /data rw - nfs4 10.99.0.21:/e rw";
        let reading = parse(&format!("files 2001\nhundredths 832\ndigest ff0d\n{mount}\n")).unwrap();
        let took = Duration::from_millis(8320);
        assert_eq!(reading, Reading { files: 2001, took, digest: "ff0d".into(), mounts: mount.into() });
        let error = parse("files 2001\n").unwrap_err();
        assert!(error.to_string().contains("hundredths"), "{error}");
    }
}
