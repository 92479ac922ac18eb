//! Runs a suite: cases that may go together a few at a time, the others one after another, in the order of the list.
//! Every case gets a namespace, which is removed afterwards; a namespace that does not go away is a failure of its case.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::case::{Case, LIMIT, Suite};
use super::context::Context;
use super::report::{self, Finished};
use super::wait::{patient, seconds, until};
use crate::Cluster;
use crate::host::pressure;

/// On every namespace that a case has; the value is the suite.
const LABEL: &str = "workspacefs.io/e2e";

/// Time for a namespace to go.
const REMOVAL_TIME_MAX: Duration = seconds(150);

/// No case begins beside others while processes wait for a processor so much of the time, in percent: pods that start beside
/// too many others do not start in time.
const PRESSURE_MAX: f32 = 80.0;

/// Time for what has begun to show in it.
const PRESSURE_PAUSE: Duration = seconds(3);

/// Time for a client's request: the API server's own longest wait is shorter.
const REQUEST_TIME_MAX: Duration = seconds(70);

/// Which cases of a suite.
#[derive(Debug)]
pub enum Choice {
    /// Those whose name contains one of these, as a person types it; all if there are none.
    Containing(Vec<String>),
    /// Those of exactly these names.
    Named(Vec<&'static str>),
}

impl Choice {
    fn takes(&self, name: &str) -> bool {
        match self {
            Choice::Containing(parts) => {
                parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
            }
            Choice::Named(names) => names.contains(&name),
        }
    }
}

/// What of a suite to run, and how.
pub struct Options {
    /// Which cases.
    pub only: Choice,
    /// How many at a time.
    pub parallel: usize,
    /// Failed cases keep their namespaces.
    pub keep: bool,
    /// When no further case begins, and no long one somewhat before; those are left out.
    pub until: Option<SystemTime>,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// Names of the cases that passed.
    pub passed: Vec<&'static str>,
    /// Names of those that did not.
    pub failed: Vec<&'static str>,
    /// Names of those that did not run, for want of time.
    pub left_out: Vec<&'static str>,
}

/// Runs the suite on a cluster that has the product, printing as it goes.
pub fn run(cluster: &Cluster, suite: Suite, options: &Options) -> Result<Summary> {
    within(cluster, async |client| {
        remove_leftovers(&client, suite.name).await?;
        (suite.prepare)(cluster).context("preparing the machines")?;
        let runner = Runner { cluster, client, suite: suite.name, keep: options.keep };
        let cases = suite.cases.into_iter().filter(|case| options.only.takes(case.name)).collect();
        let summary = runner.run_all(cases, options).await;
        (suite.tidy_up)(cluster).context("tidying up the machines")?;
        summary
    })
}

/// For a measurement: `work` gets what a case of the suite has, a namespace of its own on machines that are prepared for the
/// suite.
pub fn with_context<T: Send>(
    cluster: &Cluster,
    suite: &Suite,
    name: &'static str,
    work: impl AsyncFnOnce(Context) -> Result<T> + Send,
) -> Result<T> {
    within(cluster, async |client| {
        remove_leftovers(&client, suite.name).await?;
        (suite.prepare)(cluster).context("preparing the machines")?;
        let context = Context::new(cluster, client, namespace_name(name));
        make_namespace(&context, suite.name).await?;
        let result = work(context.clone()).await;
        let removed = clean_up(&context).await;
        (suite.tidy_up)(cluster).context("tidying up the machines")?;
        // What went wrong first.
        let result = result?;
        removed?;
        Ok(result)
    })
}

/// For a demonstration: `work` gets what a case has, but makes and removes the namespace itself, and prepares the machines.
pub fn in_namespace<T: Send>(
    cluster: &Cluster,
    namespace: &str,
    work: impl AsyncFnOnce(Context) -> Result<T> + Send,
) -> Result<T> {
    within(cluster, async |client| work(Context::new(cluster, client, namespace.to_owned())).await)
}

/// Removes the namespaces that a run of the suite of that name removes first. For whoever is about to install the product in
/// another way: pods on a server that goes cannot end.
pub fn clear(cluster: &Cluster, suite: &str) -> Result<()> {
    within(cluster, async |client| remove_leftovers(&client, suite).await)
}

/// Runs something on a thread in the cluster's network; the runtime's threads are its children and so are there too.
fn within<T: Send>(cluster: &Cluster, action: impl AsyncFnOnce(Client) -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            cluster.enter_network()?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = runtime.block_on(async {
                let client = client(&cluster.kubeconfig("admin")).await?;
                action(client).await
            });
            // A command that hangs on a machine holds its thread until its limit: nobody waits for it.
            runtime.shutdown_background();
            result
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn client(kubeconfig: &PathBuf) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.read_timeout = Some(REQUEST_TIME_MAX);
    Ok(Client::try_from(config)?)
}

/// What a killed run left, and every other workspace (the demo's): the faults would hit its pods, and their volumes would
/// count as traces.
async fn remove_leftovers(client: &Client, suite: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{LABEL}={suite}"));
    let workspaces = ListParams::default().labels("workspacefs.io/workspace=true");
    let mut namespaces = api.list(&ours).await?.items;
    namespaces.extend(api.list(&workspaces).await?);
    for namespace in namespaces {
        let name = namespace.metadata.name.context("a namespace without a name")?;
        println!("removing the namespace {name}: the suite needs the cluster to itself");
        remove(client, &name).await?;
    }
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for volume in volumes.list(&ours).await? {
        let name = volume.metadata.name.context("a volume without a name")?;
        volumes.delete(&name, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Removes a namespace and waits until it is gone.
async fn remove(client: &Client, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => other?,
    };
    let look = || async {
        match api.get_opt(name).await? {
            None => Ok(()),
            Some(namespace) => bail!(report::remains(&namespace)),
        }
    };
    until(&format!("namespace {name} is gone"), REMOVAL_TIME_MAX, look).await
}

#[derive(Clone)]
struct Runner<'a> {
    cluster: &'a Cluster,
    client: Client,
    suite: &'static str,
    keep: bool,
}

impl Runner<'_> {
    async fn run_all(&self, cases: Vec<Case>, options: &Options) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut under_way = JoinSet::new();
        let mut begun = Instant::now();
        let parallel = options.parallel.max(1);
        let permits = Arc::new(Semaphore::new(parallel));
        for case in cases {
            if case.alone {
                drain(&mut under_way, &mut summary).await;
            }
            let alone = case.alone;
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let is_beside_others = || permits.available_permits() + 1 < parallel;
            while is_beside_others()
                && (begun.elapsed() < PRESSURE_PAUSE || pressure::on_processors() > PRESSURE_MAX)
            {
                tokio::time::sleep(seconds(1)).await;
            }
            begun = Instant::now();
            if options.until.is_some_and(|until| is_too_late(SystemTime::now(), until, case.limit)) {
                summary.left_out.push(case.name);
                continue;
            }
            let job = Job {
                cluster: self.cluster.clone(),
                client: self.client.clone(),
                suite: self.suite,
                keep: self.keep,
                case,
            };
            // The permit is given back before the namespace is gone: the wait for that costs nothing.
            under_way.spawn(job.carry_out(permit));
            if alone {
                drain(&mut under_way, &mut summary).await;
            }
        }
        drain(&mut under_way, &mut summary).await;
        Ok(summary)
    }
}

/// Whether a case may no longer begin: one that may take longer than most has to begin so much earlier.
fn is_too_late(now: SystemTime, until: SystemTime, limit: Duration) -> bool {
    now + limit.saturating_sub(LIMIT) >= until
}

async fn drain(under_way: &mut JoinSet<Finished>, summary: &mut Summary) {
    while let Some(finished) = under_way.join_next().await {
        match finished {
            Ok(finished) if finished.outcome.is_ok() => summary.passed.push(finished.name),
            Ok(finished) => summary.failed.push(finished.name),
            // A job catches its case's panics, so this one is the runner's own.
            Err(error) => {
                println!("FAILED the runner: {error}");
                summary.failed.push("the runner");
            }
        }
    }
}

/// One case and what it needs.
struct Job {
    cluster: Cluster,
    client: Client,
    suite: &'static str,
    keep: bool,
    case: Case,
}

impl Job {
    async fn carry_out(self, permit: tokio::sync::OwnedSemaphorePermit) -> Finished {
        let started = Instant::now();
        let context = Context::new(&self.cluster, self.client.clone(), namespace_name(self.case.name));
        let mut outcome = self.attempt(&context).await;
        let took = started.elapsed();
        let mut surroundings = Vec::new();
        if outcome.is_err() {
            surroundings = report::surroundings(&context, took).await;
        }
        drop(permit);
        if outcome.is_ok() || !self.keep {
            let removed = clean_up(&context).await;
            if outcome.is_ok() && removed.is_err() {
                surroundings = report::surroundings(&context, started.elapsed()).await;
                outcome = removed;
            }
        }
        let finished = Finished { name: self.case.name, took, outcome, notes: context.notes(), surroundings };
        finished.print();
        finished
    }

    async fn attempt(&self, context: &Context) -> Result<()> {
        make_namespace(context, self.suite).await?;
        // A task of its own, whose panic is the case's failure and not the runner's end.
        let mut task = JoinSet::new();
        task.spawn(self.case.start(context.clone()));
        let limit = patient(self.case.limit);
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(Some(Err(panic))) => Err(anyhow!("it panicked: {panic}")),
            Ok(None) => Err(anyhow!("it never started")),
            Err(_) => {
                // Ends the case, so that what it broke on purpose is whole again before anything else runs.
                task.shutdown().await;
                Err(anyhow!("it took more than {} s", limit.as_secs()))
            }
        }
    }
}

async fn make_namespace(context: &Context, suite: &'static str) -> Result<()> {
    let namespace = json!({
        "metadata": { "name": context.namespace(), "labels": { LABEL: suite } },
    });
    let api: Api<Namespace> = Api::all(context.client());
    api.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    Ok(())
}

/// Removes a namespace and the folder of its own on the storage host.
pub async fn clean_up(context: &Context) -> Result<()> {
    remove(&context.client(), context.namespace()).await?;
    let folder = format!("rm -rf /export/*/e2e/{}", context.namespace());
    context.on("nfs", &folder).await?;
    Ok(())
}

/// A namespace's name is a DNS label: at most 63 characters.
pub(super) fn namespace_name(case: &str) -> String {
    let name = format!("e2e-{}", case.replace('_', "-"));
    name.get(..60).unwrap_or(&name).trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_part_of_another_chooses_only_its_own_case() {
        let named = Choice::Named(vec!["a_rule"]);
        assert!(named.takes("a_rule") && !named.takes("a_rule_and_more"));
        assert!(!Choice::Named(Vec::new()).takes("a_rule"));
        let typed = Choice::Containing(vec!["rule".into()]);
        assert!(typed.takes("a_rule") && typed.takes("a_rule_and_more") && !typed.takes("a_law"));
        assert!(Choice::Containing(Vec::new()).takes("a_law"));
    }

    #[test]
    fn a_case_that_may_take_longer_than_most_has_to_begin_earlier() {
        let until = SystemTime::now();
        let before = |seconds: u64| until - Duration::from_secs(seconds);
        assert!(is_too_late(until, until, LIMIT) && !is_too_late(before(1), until, LIMIT));
        let long = LIMIT + Duration::from_secs(60);
        assert!(is_too_late(before(60), until, long) && !is_too_late(before(61), until, long));
    }

    #[test]
    fn a_namespaces_name_fits_however_long_the_case_is_called() {
        assert_eq!(namespace_name("a_rule"), "e2e-a-rule");
        let long = namespace_name(&"word_".repeat(30));
        assert!(long.len() <= 63 && !long.ends_with('-'), "{long}");
    }
}
