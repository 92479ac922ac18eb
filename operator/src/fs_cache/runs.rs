//! What is at work for an FsCache: its Jobs and their pods, as far as the next step depends on them. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;
use workspacefs_api::mover::Outcome;

use super::objects::{Errand, Identity};

/// Within this time a mover's pod is made, and has its node, its image and its volumes.
const MOVER_STARTS: SignedDuration = SignedDuration::from_secs(60);

/// One Job of an FsCache.
#[derive(Clone, Debug)]
pub struct Run {
    /// The Job.
    pub job: Arc<Job>,
    /// What it is for.
    pub errand: Errand,
    /// How far it is.
    pub state: State,
}

/// How far a Job is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its mover runs, or is about to.
    Running(Mover),
    /// It has ended.
    Ended {
        /// What its mover said; else why that is not known.
        outcome: Result<Outcome, String>,
        /// When.
        at: Timestamp,
    },
    /// It is being deleted.
    Leaving,
}

/// A mover's pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mover {
    /// The pod's uid and address, once it has one.
    pub address: Option<(String, String)>,
    /// Why it does not run, for a person; empty where it does, or will.
    pub waits: String,
}

impl Run {
    /// The Job's uid.
    pub fn uid(&self) -> String {
        self.job.uid().unwrap_or_default()
    }

    /// When its mover should have started.
    pub fn starts_by(&self) -> Timestamp {
        starts_by(&self.job)
    }

    /// Whether it is at work, or was until a moment ago.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }
}

fn starts_by(job: &Job) -> Timestamp {
    let made = job.creation_timestamp().map_or(Timestamp::MIN, |made| made.0);
    made.checked_add(MOVER_STARTS).unwrap_or(Timestamp::MAX)
}

/// Whether a Job has come to its end.
pub fn has_ended(job: &Job) -> bool {
    ended(job).is_some()
}

/// The Jobs of an FsCache, and those of its own that say nothing that we understand.
pub fn all(
    cache: &Identity,
    jobs: &[Arc<Job>],
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (Vec<Run>, Vec<Arc<Job>>) {
    let (mut runs, mut strays) = (Vec::new(), Vec::new());
    for job in jobs.iter().filter(|job| cache.made_job(job)) {
        match Errand::of(job) {
            Some(errand) => runs.push(Run { state: state(job, pods, now), job: job.clone(), errand }),
            None => strays.push(job.clone()),
        }
    }
    runs.sort_unstable_by(|a, b| a.errand.node.cmp(&b.errand.node));
    (runs, strays)
}

fn state(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> State {
    if job.metadata.deletion_timestamp.is_some() {
        return State::Leaving;
    }
    let uid = job.uid().unwrap_or_default();
    let own = pods.iter().filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid));
    let own: Vec<&Pod> = own.map(Arc::as_ref).collect();
    match ended(job) {
        Some(end) => {
            let at = end.at.map_or(now, |at| at.min(now));
            State::Ended { outcome: outcome(&own).unwrap_or(Err(end.message)), at }
        }
        None => State::Running(mover(&own).unwrap_or_else(|| missing(job, &own, now))),
    }
}

struct End {
    message: String,
    at: Option<Timestamp>,
}

fn ended(job: &Job) -> Option<End> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|c| ["Complete", "Failed"].contains(&c.type_.as_str()) && c.status == "True")?;
    let said = end.message.clone().filter(|message| !message.is_empty());
    let message =
        format!("its pod is gone and left no word: {}", said.as_deref().unwrap_or("the Job has ended"));
    Some(End { message, at: end.last_transition_time.as_ref().map(|time| time.0) })
}

/// What the last pod to end said.
fn outcome(pods: &[&Pod]) -> Option<Result<Outcome, String>> {
    let mut ends: Vec<_> =
        pods.iter().filter_map(|pod| container(pod)?.state.as_ref()?.terminated.as_ref()).collect();
    ends.sort_by_key(|end| end.finished_at.as_ref().map(|time| time.0));
    let last = ends.last()?;
    let said = last.message.as_deref().unwrap_or_default();
    Some(serde_json::from_str(said).map_err(|_| {
        let reason = last.reason.as_deref().unwrap_or("Error");
        format!("the mover ended with exit code {} ({reason}) and said nothing of use", last.exit_code)
    }))
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// The pod that is at work, or is to be. None: there is none.
fn mover(pods: &[&Pod]) -> Option<Mover> {
    let live = pods.iter().find(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    });
    let pod = live?;
    let runs = container(pod).is_some_and(|c| c.state.as_ref().is_some_and(|state| state.running.is_some()));
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).filter(|_| runs);
    Some(Mover { address: pod.uid().zip(ip), waits: waits(pod).unwrap_or_default() })
}

/// Of a Job without a pod that could run. The job controller makes one at once, and the next one soon after the end of the last: where it
/// does not, it may not, as the Job's Events say and nothing else does. (Reading these takes a right that we have not.)
fn missing(job: &Job, pods: &[&Pod], now: Timestamp) -> Mover {
    let ends = pods.iter().filter_map(|pod| container(pod)?.state.as_ref()?.terminated.as_ref());
    let last = ends.filter_map(|end| end.finished_at.as_ref()?.0.checked_add(MOVER_STARTS).ok()).max();
    if now < last.map_or(starts_by(job), |last| last.max(starts_by(job))) {
        return Mover::default();
    }
    let (name, namespace) = (job.name_any(), job.namespace().unwrap_or_default());
    let waits = format!(
        "Job {name} gets no pod: a quota, the namespace's Pod Security level (baseline at the strictest) or an admission policy may \
         refuse it. Its Events say why: kubectl --namespace {namespace} describe job {name}"
    );
    Mover { address: None, waits }
}

/// Why a pod does not run, as far as it says so itself.
fn waits(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref();
    let unplaced =
        conditions.into_iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(message) = unplaced.and_then(|c| c.message.as_deref()) {
        return Some(format!("pod {} has no node: {message}", pod.name_any()));
    }
    let ContainerState { waiting: Some(waiting), .. } = container(pod)?.state.as_ref()? else { return None };
    let reason = waiting.reason.as_deref().unwrap_or_default();
    // That is what every pod does for a while. Where it lasts, the pod's Events say why.
    let message = waiting.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
    Some(format!("pod {} does not run yet ({reason}){message}", pod.name_any()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders::object;

    use super::*;

    fn cache() -> Identity {
        Identity { namespace: "a".into(), name: "c".into(), uid: "u".into() }
    }

    fn job(status: Value) -> Arc<Job> {
        let errand = json!({"node": "*", "task": "Fill", "generation": 1}).to_string();
        Arc::new(object(json!({
            "metadata": {
                "name": "j", "namespace": "a", "uid": "j1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"workspacefs.io/fscache-uid": "u"},
                "annotations": {"cache.workspacefs.io/errand": errand},
                "ownerReferences": [{"apiVersion": "x", "kind": "FsCache", "name": "c", "uid": "u"}],
            },
            "status": status,
        })))
    }

    fn pod(status: Value) -> Arc<Pod> {
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j1"});
        Arc::new(object(
            json!({"metadata": {"name": "p", "uid": "p1", "ownerReferences": [owner]}, "status": status}),
        ))
    }

    fn container(state: Value) -> Value {
        json!({"name": "mover", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    fn ended_pod(second: u32, message: &str) -> Arc<Pod> {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        let end = json!({"exitCode": 1, "reason": "OOMKilled", "message": message, "finishedAt": at});
        pod(json!({"phase": "Failed", "containerStatuses": [container(json!({"terminated": end}))]}))
    }

    fn seen(job: &Arc<Job>, pods: &[Arc<Pod>]) -> State {
        seen_at(job, pods, "2026-01-01T00:00:59Z")
    }

    fn seen_at(job: &Arc<Job>, pods: &[Arc<Pod>], now: &str) -> State {
        let (runs, strays) = all(&cache(), std::slice::from_ref(job), pods, now.parse().unwrap());
        assert!(strays.is_empty());
        runs[0].state.clone()
    }

    fn over() -> Arc<Job> {
        job(json!({"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}))
    }

    #[test]
    fn the_last_pod_to_end_speaks_for_the_job() {
        let say = |generation: i64| json!({"generation": generation}).to_string();
        let pods = [ended_pod(9, &say(2)), ended_pod(5, &say(1))];
        let State::Ended { outcome, .. } = seen(&over(), &pods) else { panic!("it has ended") };
        assert_eq!(outcome.unwrap().generation, Some(2));
        // Not before the Job has given up: the next pod may do better.
        assert_eq!(seen(&job(json!({})), &pods), State::Running(Mover::default()));
    }

    #[test]
    fn a_mover_that_says_nothing_is_a_failure_that_says_how_it_ended() {
        for (pods, words) in [(vec![ended_pod(1, "Killed")], "OOMKilled"), (vec![], "too often")] {
            let State::Ended { outcome, .. } = seen(&over(), &pods) else { panic!("it has ended") };
            let why = outcome.unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_pod_is_asked_only_while_its_container_runs_and_says_why_it_does_not() {
        let of = |status: Value| match seen(&job(json!({})), &[pod(status)]) {
            State::Running(mover) => mover,
            other => panic!("{other:?}"),
        };
        let running =
            of(json!({"podIP": "10.0.0.1", "containerStatuses": [container(json!({"running": {}}))]}));
        assert_eq!(running.address, Some(("p1".into(), "10.0.0.1".into())));
        assert_eq!(running.waits, "");
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        let waiting = of(json!({"podIP": "10.0.0.1", "containerStatuses": [container(waiting)]}));
        assert!(waiting.address.is_none() && waiting.waits.contains("no such image"), "{waiting:?}");
        let unplaced =
            json!({"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"});
        assert!(of(json!({"conditions": [unplaced]})).waits.contains("0/3 nodes"));
    }

    #[test]
    fn a_job_that_gets_no_pod_says_so_once_it_should_have_one_and_not_between_two_pods() {
        let waits = |pods: &[Arc<Pod>], now: &str| match seen_at(&job(json!({})), pods, now) {
            State::Running(Mover { address: None, waits }) => waits,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(&[], "2026-01-01T00:00:59Z"), "");
        let said = waits(&[], "2026-01-01T00:01:00Z");
        assert!(said.starts_with("Job j gets no pod") && said.contains("describe job j"), "{said}");
        let ended = [ended_pod(40, "Killed")];
        assert_eq!(waits(&ended, "2026-01-01T00:01:39Z"), "");
        assert!(!waits(&ended, "2026-01-01T00:01:40Z").is_empty());
        let starts = [pod(json!({"phase": "Pending"}))];
        assert_eq!(waits(&starts, "2026-01-01T00:10:00Z"), "");
    }

    #[test]
    fn a_job_of_somebody_else_is_none_of_ours_and_one_without_an_errand_a_stray() {
        let mut foreign = job(json!({})).as_ref().clone();
        foreign.metadata.owner_references = None;
        let mut mute = job(json!({})).as_ref().clone();
        mute.metadata.annotations = None;
        let (runs, strays) = all(&cache(), &[Arc::new(foreign), Arc::new(mute)], &[], Timestamp::UNIX_EPOCH);
        assert_eq!((runs.len(), strays.len()), (0, 1));
    }
}
