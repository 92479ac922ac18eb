//! Leader election: one Lease object, held by the replica that works. Decisions are made by the pure [`evaluate`]; the loop
//! around it ends with an error when the lease is lost, and the process ends with it, so that two replicas never work
//! at once. Clocks of different machines are never compared: a lease is free when it did not change for as long as it
//! says, measured here.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};

use crate::FIELD_MANAGER;

/// The name of the Lease.
pub const LEASE_NAME: &str = "workspacefs-operator";

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// For how long others respect a lease that does not change.
    pub duration: Duration,
    /// After this long without a renewal the holder gives up. Well below `duration`: it must have stopped by then.
    pub deadline: Duration,
    /// Between renewals, and between looks at somebody else's lease.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Why the lease is not ours any more.
#[derive(Debug, Error)]
pub enum LostLease {
    /// Another replica holds it.
    #[error("the lease is held by {0:?} now")]
    Taken(String),
    /// It could not be renewed in time, so another replica may take it any moment.
    #[error("the lease could not be renewed for {0:?}")]
    NotRenewed(Duration),
}

/// A lease as we saw it last.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the Lease object says.
    pub spec: LeaseSpec,
    /// When we first saw it say exactly that.
    pub since: Instant,
}

/// What to do about the lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it, or its holder is gone: take it.
    Take,
    /// Somebody holds it.
    Respect(String),
}

/// Decides from what was seen, who we are and the time.
pub fn evaluate(seen: &Seen, identity: &str, now: Instant) -> Decision {
    let holder = seen.spec.holder_identity.as_deref().unwrap_or("");
    if holder == identity {
        return Decision::Renew;
    }
    let seconds = u64::try_from(seen.spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let expired = now.duration_since(seen.since) >= Duration::from_secs(seconds);
    if holder.is_empty() || expired { Decision::Take } else { Decision::Respect(holder.into()) }
}

/// One replica's view of the Lease.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    times: LeaseTimes,
    seen: Option<Seen>,
    renewed: Instant,
}

impl Election {
    /// `identity` must differ between replicas.
    pub fn new(client: Client, namespace: &str, identity: String, times: LeaseTimes) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, identity, times, seen: None, renewed: Instant::now() }
    }

    /// Waits until we hold the lease. `answered` is called after every round in which the API server answered.
    pub async fn acquire(&mut self, answered: impl Fn()) {
        let mut waiting_for = None;
        loop {
            match self.round_in_time().await {
                Ok(None) => {
                    tracing::info!(identity = self.identity, "leading");
                    answered();
                    return;
                }
                Ok(holder) => {
                    answered();
                    if holder != waiting_for {
                        tracing::info!(holder, "waiting for the lease");
                        waiting_for = holder;
                    }
                }
                Err(error) => tracing::warn!(error = crate::error::chain(&error), "cannot get the lease"),
            }
            sleep(self.times.retry).await;
        }
    }

    /// Keeps the lease that [`Election::acquire`] got.
    ///
    /// # Errors
    /// [`LostLease`], as soon as it may not be ours any more.
    pub async fn keep(&mut self) -> Result<Infallible, LostLease> {
        loop {
            sleep(self.times.retry).await;
            match self.round_in_time().await {
                Ok(None) => {}
                Ok(Some(holder)) => return Err(LostLease::Taken(holder)),
                Err(error) => tracing::warn!(error = crate::error::chain(&error), "cannot renew the lease"),
            }
            let age = self.renewed.elapsed();
            if age >= self.times.deadline {
                return Err(LostLease::NotRenewed(age));
            }
        }
    }

    /// Gives the lease back if it is ours, so that the next replica need not wait.
    pub async fn release(mut self) {
        let deadline = self.times.deadline;
        match timeout(deadline, self.try_release()).await {
            Ok(Ok(true)) => tracing::info!("lease released"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(error = crate::error::chain(&error), "cannot release the lease"),
            Err(_) => tracing::warn!("cannot release the lease in time"),
        }
    }

    async fn try_release(&mut self) -> Result<bool, RoundError> {
        loop {
            let Some(lease) = self.read().await? else {
                return Ok(false);
            };
            let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
            if holder != Some(&self.identity) {
                return Ok(false);
            }
            match self.write(lease, |spec| spec.holder_identity = None).await {
                // A renewal of ours that was cut off has come after all.
                Err(RoundError::Api(kube::Error::Api(status))) if status.is_conflict() => {}
                written => return written.map(|()| true),
            }
        }
    }

    /// A round that ends early enough for the deadline to be noticed.
    async fn round_in_time(&mut self) -> Result<Option<String>, RoundError> {
        let limit = self.times.deadline.saturating_sub(self.renewed.elapsed()).max(self.times.retry);
        timeout(limit, self.round()).await.unwrap_or(Err(RoundError::Silent(limit)))
    }

    /// Looks, and renews or takes. None: it is ours; otherwise who holds it.
    async fn round(&mut self) -> Result<Option<String>, RoundError> {
        let Some(lease) = self.read().await? else {
            self.create().await?;
            return Ok(None);
        };
        let seen = Seen { spec: lease.spec.clone().unwrap_or_default(), since: Instant::now() };
        let seen = match self.seen.take() {
            Some(known) if known.spec == seen.spec => known,
            _ => seen,
        };
        let decision = evaluate(&seen, &self.identity, Instant::now());
        self.seen = Some(seen);
        let times = self.times;
        let now = Instant::now();
        match decision {
            Decision::Respect(holder) => return Ok(Some(holder)),
            Decision::Renew => self.write(lease, |spec| renew(spec, times)).await?,
            Decision::Take => {
                let identity = self.identity.clone();
                self.write(lease, |spec| {
                    spec.holder_identity = Some(identity);
                    spec.acquire_time = Some(MicroTime(Timestamp::now()));
                    spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
                    renew(spec, times);
                })
                .await?;
            }
        }
        // Counted from before the request: the server may have carried it out at any moment since.
        self.renewed = now;
        Ok(None)
    }

    async fn read(&self) -> Result<Option<Lease>, RoundError> {
        self.api.get_opt(LEASE_NAME).await.map_err(RoundError::Api)
    }

    async fn create(&mut self) -> Result<(), RoundError> {
        let now = Instant::now();
        let mut spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        };
        renew(&mut spec, self.times);
        let metadata = ObjectMeta { name: Some(LEASE_NAME.into()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        self.api.create(&by_us(), &lease).await.map_err(RoundError::Api)?;
        self.renewed = now;
        Ok(())
    }

    /// Writes over the version that was read: a replica that was faster makes this fail.
    async fn write(
        &mut self,
        mut lease: Lease,
        change: impl FnOnce(&mut LeaseSpec),
    ) -> Result<(), RoundError> {
        change(lease.spec.get_or_insert_default());
        self.api.replace(LEASE_NAME, &by_us(), &lease).await.map_err(RoundError::Api)?;
        Ok(())
    }
}

/// Why a round failed.
#[derive(Debug, Error)]
enum RoundError {
    #[error("the API server refused")]
    Api(#[source] kube::Error),
    #[error("the API server did not answer within {0:?}")]
    Silent(Duration),
}

fn renew(spec: &mut LeaseSpec, times: LeaseTimes) {
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    spec.lease_duration_seconds = Some(i32::try_from(times.duration.as_secs().max(1)).unwrap_or(i32::MAX));
}

fn by_us() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: Option<&str>) -> Seen {
        let spec = LeaseSpec {
            holder_identity: holder.map(Into::into),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        Seen { spec, since: Instant::now() }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_is_free_or_did_not_change_for_its_duration() {
        let at = |seen: &Seen, seconds| seen.since + Duration::from_secs(seconds);
        let other = seen(Some("b"));
        assert_eq!(evaluate(&other, "a", at(&other, 0)), Decision::Respect("b".into()));
        assert_eq!(evaluate(&other, "a", at(&other, 14)), Decision::Respect("b".into()));
        assert_eq!(evaluate(&other, "a", at(&other, 15)), Decision::Take);
        for free in [seen(None), seen(Some(""))] {
            assert_eq!(evaluate(&free, "a", free.since), Decision::Take);
        }
        let own = seen(Some("a"));
        assert_eq!(evaluate(&own, "a", at(&own, 99)), Decision::Renew);
    }

    #[test]
    fn a_holder_gives_up_before_others_may_take_over() {
        let times = LeaseTimes::default();
        assert!(times.deadline + times.retry < times.duration);
    }
}
