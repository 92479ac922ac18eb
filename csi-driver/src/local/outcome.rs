//! What a LocalVolume's status says, by the object and by what came of it on the disk: pure.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use workspacefs_api::local_volume::DISCARD_FILES_ANNOTATION;
use workspacefs_api::{LocalVolume, LocalVolumePhase, LocalVolumeReason, LocalVolumeStatus};
use workspacefs_runtime::chain;

use super::disks::DiskError;
use super::protocol::RefusalKind;

/// What came of a wish.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The disk was not asked, for the reason in this sentence.
    NotAsked(String),
    /// Its object is being deleted, and no claim's end asked for that: nothing was touched.
    Kept,
    /// It is there with so many bytes; beside them why they are not more, if more are wished.
    There(u64, Option<DiskError>),
    /// It was moved to the trash, or is not there.
    Removed,
    /// The disk did not do it.
    Failed(DiskError),
}

const KEPT: &str = "the object is being deleted, and not because its claim ended: its files were left where they are, and go into the disk's trash when the claim is deleted";

/// Whether its deletion is one that a claim's end asked for, or will be.
pub(super) fn is_to_be_discarded(volume: &LocalVolume) -> bool {
    let said = volume.metadata.annotations.as_ref().and_then(|known| known.get(DISCARD_FILES_ANNOTATION));
    said.is_some_and(|said| said == "true")
}

/// Whether nothing is to be done with it: see [`Outcome::Kept`].
pub(super) fn is_kept(volume: &LocalVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some() && !is_to_be_discarded(volume)
}

/// The object as this process knows it: it has had `size_bytes` of it made, which a watch may not say yet. Whatever is said
/// of it then is news.
pub(super) fn made(volume: Arc<LocalVolume>, size_bytes: Option<i64>) -> Arc<LocalVolume> {
    if size_bytes.is_none() || was_made(&volume) {
        return volume;
    }
    let mut made = LocalVolume::clone(&volume);
    let status = made.status.get_or_insert_default();
    (status.phase, status.size_bytes) = (LocalVolumePhase::Ready, size_bytes);
    status.observed_generation = None;
    Arc::new(made)
}

/// Whether it is on a disk, or ever was: then it is found or lost, and never made.
pub(super) fn was_made(volume: &LocalVolume) -> bool {
    let has_size = volume.status.as_ref().is_some_and(|status| status.size_bytes.is_some());
    has_size || volume.phase() != LocalVolumePhase::Pending
}

/// Whether it is as it is wished to be, as far as the status says.
pub(super) fn is_settled(volume: &LocalVolume) -> bool {
    let Some(status) = volume.status.as_ref().filter(|_| volume.is_observed()) else { return false };
    if volume.metadata.deletion_timestamp.is_some() {
        return status.phase == LocalVolumePhase::Removed || (is_kept(volume) && status.message == KEPT);
    }
    status.phase == LocalVolumePhase::Ready && status.reason.is_none()
}

/// What the status is to be from now on.
pub(super) fn status(volume: &LocalVolume, outcome: &Outcome, now: Time) -> LocalVolumeStatus {
    let before = volume.status.clone().unwrap_or_default();
    let is_deleted = volume.metadata.deletion_timestamp.is_some();
    let (mut phase, mut size_bytes) = (before.phase, before.size_bytes);
    let (mut reason, mut message) = (None, String::new());
    match outcome {
        // There is nothing of it anywhere, so nobody has to be asked.
        Outcome::NotAsked(_) if is_deleted && !was_made(volume) => phase = LocalVolumePhase::Removed,
        Outcome::NotAsked(why) => {
            (reason, message) = (Some(LocalVolumeReason::NotReady), why.clone());
        }
        Outcome::Kept => message = KEPT.into(),
        Outcome::There(size, refused) => {
            (phase, size_bytes) = (LocalVolumePhase::Ready, i64::try_from(*size).ok());
            if let Some(error) = refused {
                (reason, message) = (Some(reason_of(error)), chain(error));
            }
        }
        Outcome::Removed => phase = LocalVolumePhase::Removed,
        Outcome::Failed(error) if is_lost(error) => {
            (phase, message) = (LocalVolumePhase::Lost, chain(error));
        }
        Outcome::Failed(error) => (reason, message) = (Some(reason_of(error)), chain(error)),
    }
    LocalVolumeStatus {
        observed_generation: volume.metadata.generation,
        phase,
        size_bytes,
        reason,
        message,
        observed_at: Some(now),
    }
}

/// Whether a status says what the one before it does not.
pub(super) fn is_news(before: Option<&LocalVolumeStatus>, now: &LocalVolumeStatus) -> bool {
    let same = |before: &LocalVolumeStatus| {
        LocalVolumeStatus { observed_at: now.observed_at.clone(), ..before.clone() } == *now
    };
    !before.is_some_and(same)
}

fn is_lost(error: &DiskError) -> bool {
    matches!(error, DiskError::Refused(refusal) if refusal.kind == RefusalKind::Lost)
}

fn reason_of(error: &DiskError) -> LocalVolumeReason {
    match error {
        DiskError::AtImage => LocalVolumeReason::NotReady,
        DiskError::TimedOut { .. } | DiskError::Hangs | DiskError::Helper(_) => LocalVolumeReason::Failed,
        DiskError::Refused(refusal) => match refusal.kind {
            RefusalKind::NotReady => LocalVolumeReason::NotReady,
            RefusalKind::NoQuota => LocalVolumeReason::NoQuota,
            RefusalKind::NoSpace => LocalVolumeReason::NoSpace,
            RefusalKind::Lost | RefusalKind::Io => LocalVolumeReason::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use LocalVolumePhase::{Lost, Pending, Ready, Removed};
    use LocalVolumeReason::{Failed, NoQuota, NoSpace, NotReady};
    use k8s_openapi::jiff::Timestamp;
    use workspacefs_api::LocalVolumeSpec;

    use super::super::protocol::Refusal;
    use super::*;

    const MIB: u64 = 1 << 20;

    /// One of generation 3, last seen by its node as generation 2.
    fn volume(phase: LocalVolumePhase, size: Option<u64>) -> LocalVolume {
        let mut volume = LocalVolume::new("v", LocalVolumeSpec::default());
        volume.metadata.generation = Some(3);
        volume.status = Some(LocalVolumeStatus {
            observed_generation: Some(2),
            phase,
            size_bytes: size.map(|size| size as i64),
            reason: Some(Failed),
            message: "before".into(),
            observed_at: None,
        });
        volume
    }

    fn deleted(mut volume: LocalVolume) -> LocalVolume {
        volume.metadata.annotations = Some([(DISCARD_FILES_ANNOTATION.into(), "true".into())].into());
        deleted_by_hand(volume)
    }

    fn deleted_by_hand(mut volume: LocalVolume) -> LocalVolume {
        volume.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        volume
    }

    fn refused(kind: RefusalKind) -> DiskError {
        Refusal { kind, message: "words".into() }.into()
    }

    fn no(kind: RefusalKind) -> Outcome {
        Outcome::Failed(refused(kind))
    }

    #[test]
    fn the_status_says_what_came_of_the_wish_and_keeps_what_is_known() {
        use RefusalKind as K;
        let mut fresh = volume(Pending, None);
        fresh.status = None;
        let waits = || Outcome::NotAsked("not ready".into());
        let grown = |size, why| Outcome::There(size, Some(refused(why)));
        for (volume, outcome, phase, size, reason, message) in [
            (fresh.clone(), Outcome::There(MIB, None), Ready, Some(MIB), None, ""),
            (fresh.clone(), no(K::NoSpace), Pending, None, Some(NoSpace), "words"),
            (fresh.clone(), no(K::NoQuota), Pending, None, Some(NoQuota), "words"),
            (fresh.clone(), waits(), Pending, None, Some(NotReady), "not ready"),
            (fresh.clone(), Outcome::Failed(DiskError::Hangs), Pending, None, Some(Failed), "the disk hangs"),
            (volume(Pending, None), Outcome::There(MIB, None), Ready, Some(MIB), None, ""),
            // Growth.
            (volume(Ready, Some(MIB)), Outcome::There(2 * MIB, None), Ready, Some(2 * MIB), None, ""),
            (volume(Ready, Some(MIB)), grown(MIB, K::NoSpace), Ready, Some(MIB), Some(NoSpace), "words"),
            (volume(Ready, Some(MIB)), waits(), Ready, Some(MIB), Some(NotReady), "not ready"),
            (volume(Ready, Some(MIB)), no(K::Io), Ready, Some(MIB), Some(Failed), "words"),
            // Another disk is in the node, and then the first again.
            (volume(Ready, Some(MIB)), no(K::Lost), Lost, Some(MIB), None, "words"),
            (volume(Lost, Some(MIB)), no(K::Lost), Lost, Some(MIB), None, "words"),
            (volume(Lost, Some(MIB)), waits(), Lost, Some(MIB), Some(NotReady), "not ready"),
            (volume(Lost, Some(MIB)), Outcome::There(MIB, None), Ready, Some(MIB), None, ""),
            // Deletion.
            (deleted(volume(Ready, Some(MIB))), Outcome::Removed, Removed, Some(MIB), None, ""),
            (deleted(volume(Lost, Some(MIB))), Outcome::Removed, Removed, Some(MIB), None, ""),
            (deleted(volume(Ready, Some(MIB))), waits(), Ready, Some(MIB), Some(NotReady), "not ready"),
            (deleted(volume(Lost, Some(MIB))), waits(), Lost, Some(MIB), Some(NotReady), "not ready"),
            (deleted(volume(Ready, Some(MIB))), no(K::Io), Ready, Some(MIB), Some(Failed), "words"),
            // What was never made waits for nobody.
            (deleted(fresh.clone()), waits(), Removed, None, None, ""),
            (deleted(volume(Pending, None)), waits(), Removed, None, None, ""),
            (deleted(fresh.clone()), Outcome::Removed, Removed, None, None, ""),
            (deleted(fresh.clone()), no(K::NotReady), Pending, None, Some(NotReady), "words"),
            // That no claim's end asked for.
            (deleted_by_hand(volume(Ready, Some(MIB))), Outcome::Kept, Ready, Some(MIB), None, KEPT),
            (deleted_by_hand(volume(Lost, Some(MIB))), Outcome::Kept, Lost, Some(MIB), None, KEPT),
            (deleted_by_hand(fresh.clone()), Outcome::Kept, Pending, None, None, KEPT),
        ] {
            let said = status(&volume, &outcome, Time(Timestamp::UNIX_EPOCH));
            let context = format!("{volume:?} {outcome:?}");
            assert_eq!((said.phase, said.reason), (phase, reason), "{context}");
            assert_eq!(said.size_bytes, size.map(|size| size as i64), "{context}");
            assert!(said.message.starts_with(message), "{:?}, {context}", said.message);
            assert_eq!(said.message.is_empty(), message.is_empty(), "{context}");
            assert_eq!(said.observed_generation, Some(3), "{context}");
        }
    }

    #[test]
    fn a_wish_is_carried_out_until_the_status_says_that_nothing_is_left_of_it() {
        let seen = |mut volume: LocalVolume, reason| {
            if let Some(status) = &mut volume.status {
                (status.observed_generation, status.reason) = (volume.metadata.generation, reason);
            }
            volume
        };
        let mut fresh = volume(Pending, None);
        fresh.status = None;
        for (volume, settled, made) in [
            (fresh, false, false),
            (volume(Ready, Some(MIB)), false, true),
            (seen(volume(Ready, Some(MIB)), None), true, true),
            (seen(volume(Ready, Some(MIB)), Some(NoSpace)), false, true),
            (seen(volume(Pending, None), Some(NoSpace)), false, false),
            (seen(volume(Pending, Some(MIB)), None), false, true),
            (seen(volume(Lost, None), None), false, true),
            (seen(deleted(volume(Ready, Some(MIB))), None), false, true),
            (seen(deleted(volume(Removed, Some(MIB))), None), true, true),
            (deleted(volume(Removed, None)), false, true),
            // The node has not said yet that it leaves it alone.
            (seen(deleted_by_hand(volume(Ready, Some(MIB))), None), false, true),
        ] {
            assert_eq!((is_settled(&volume), was_made(&volume)), (settled, made), "{volume:?}");
        }
    }

    #[test]
    fn only_a_deletion_that_a_claims_end_asked_for_takes_files_away() {
        let annotated = |value: &str| {
            let mut volume = deleted_by_hand(volume(Ready, Some(MIB)));
            volume.metadata.annotations = Some([(DISCARD_FILES_ANNOTATION.into(), value.into())].into());
            volume
        };
        for (volume, kept) in [
            (volume(Ready, Some(MIB)), false),
            (deleted_by_hand(volume(Ready, Some(MIB))), true),
            (annotated("false"), true),
            (annotated("true"), false),
        ] {
            assert_eq!(is_kept(&volume), kept, "{volume:?}");
        }
        // Said once, there is nothing left to be done until the annotation comes.
        let mut told = deleted_by_hand(volume(Ready, Some(MIB)));
        told.status = Some(status(&told, &Outcome::Kept, Time(Timestamp::UNIX_EPOCH)));
        assert!(is_settled(&told));
        assert!(!is_settled(&deleted(told)));
    }

    #[test]
    fn what_this_process_made_counts_as_made_before_the_watch_says_so() {
        let mut fresh = volume(Pending, None);
        fresh.status = None;
        for stale in [fresh, volume(Pending, None)] {
            assert!(!was_made(&made(Arc::new(stale.clone()), None)));
            let known = made(Arc::new(stale), Some(MIB as i64));
            assert!(was_made(&known) && !is_settled(&known));
            let said = status(&known, &Outcome::NotAsked("away".into()), Time(Timestamp::UNIX_EPOCH));
            assert_eq!((said.phase, said.size_bytes), (Ready, Some(MIB as i64)), "not back to Pending");
        }
        let grown = Arc::new(volume(Ready, Some(2 * MIB)));
        assert_eq!(made(grown.clone(), Some(MIB as i64)), grown, "the object knows better");
    }

    #[test]
    fn the_same_seen_later_is_no_news() {
        let at = |seconds| Time(Timestamp::from_second(seconds).unwrap());
        let ready = volume(Ready, Some(MIB));
        let first = status(&ready, &Outcome::There(MIB, None), at(1));
        assert!(is_news(None, &first) && is_news(ready.status.as_ref(), &first));
        assert!(!is_news(Some(&first), &status(&ready, &Outcome::There(MIB, None), at(2))));
        assert!(is_news(Some(&first), &status(&ready, &Outcome::There(2 * MIB, None), at(1))));
    }
}
