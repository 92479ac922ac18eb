//! What a LocalVolume says about the way its wish has come: pure functions of the object as last seen, None where it is gone.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use workspacefs_api::local_volume::DISCARD_FILES_ANNOTATION;
use workspacefs_api::{LocalVolume, LocalVolumePhase, LocalVolumeReason};

/// A node that is there says something of a new volume within seconds.
const SILENCE_MAX: SignedDuration = SignedDuration::from_mins(2);

/// How far a volume is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The node has not said yet.
    Working,
    /// It is there, with so many bytes.
    Made(i64),
    /// The node has looked at it, and it was not made.
    Refused(Refusal),
    /// It was made, and is not on the node's disk now.
    Lost,
    /// It is being deleted.
    Leaving,
    /// There is no such object.
    Gone,
}

/// A node's no, in its words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Why.
    pub reason: LocalVolumeReason,
    /// The same for a person.
    pub message: String,
}

/// How far the making of a volume is. A volume that is there stays so, whatever else is asked of its node since.
pub fn progress(volume: Option<&LocalVolume>) -> Progress {
    let Some(volume) = volume else { return Progress::Gone };
    if volume.metadata.deletion_timestamp.is_some() {
        return Progress::Leaving;
    }
    match (volume.phase(), size(volume)) {
        (LocalVolumePhase::Ready, Some(size)) => Progress::Made(size),
        (LocalVolumePhase::Lost, _) => Progress::Lost,
        // As nobody asked for it: there is nothing of it on the disk.
        (LocalVolumePhase::Removed, _) => Progress::Refused(Refusal {
            reason: LocalVolumeReason::Failed,
            message: "the node says that it is removed".into(),
        }),
        (LocalVolumePhase::Pending | LocalVolumePhase::Ready, _) => {
            refusal(volume).map_or(Progress::Working, Progress::Refused)
        }
    }
}

/// How far the growth of a volume to `target` bytes is.
pub fn growth(volume: Option<&LocalVolume>, target: i64) -> Progress {
    match progress(volume) {
        Progress::Made(size) if size >= target => Progress::Made(size),
        Progress::Made(_) => volume.and_then(refusal).map_or(Progress::Working, Progress::Refused),
        other => other,
    }
}

/// How far a removal is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Removal {
    /// The node has not said yet.
    Working,
    /// It has moved the files away, or there are none: the object may go.
    Done,
    /// The node has looked at it, and cannot yet.
    Refused(Refusal),
    /// The object is gone.
    Gone,
}

/// How far the removal of `removed` is, by what is there under its name now.
pub fn removal(removed: &LocalVolume, now: Option<&LocalVolume>) -> Removal {
    // One of another uid is another, made since.
    let Some(now) = now.filter(|now| now.metadata.uid == removed.metadata.uid) else { return Removal::Gone };
    if now.metadata.deletion_timestamp.is_none() {
        return Removal::Working;
    }
    match now.phase() {
        LocalVolumePhase::Removed => Removal::Done,
        LocalVolumePhase::Pending | LocalVolumePhase::Ready | LocalVolumePhase::Lost => {
            refusal(now).map_or(Removal::Working, Removal::Refused)
        }
    }
}

/// Whether its deletion is one that the controller asks for: only then are its files moved away.
pub fn is_marked(meta: &ObjectMeta) -> bool {
    let annotations = meta.annotations.as_ref();
    annotations.and_then(|all| all.get(DISCARD_FILES_ANNOTATION)).is_some_and(|value| value == "true")
}

/// Whether it is there for longer than a node needs to say something of it.
pub fn is_old(volume: &LocalVolume, now: Timestamp) -> bool {
    let since = volume.metadata.creation_timestamp.as_ref();
    since.is_some_and(|since| now.duration_since(since.0) > SILENCE_MAX)
}

/// Whether its node should have said something of it and has not: nobody there looks at it, whatever kubelet says.
pub fn is_unheard(volume: &LocalVolume, now: Timestamp) -> bool {
    volume.status.is_none() && is_old(volume, now)
}

/// How many bytes the volume has; None before it was made.
pub fn size(volume: &LocalVolume) -> Option<i64> {
    volume.status.as_ref().and_then(|status| status.size_bytes)
}

/// Why the latest wish was not carried out, if its node has looked at that one.
fn refusal(volume: &LocalVolume) -> Option<Refusal> {
    let status = volume.status.as_ref().filter(|_| volume.is_observed())?;
    status.reason.map(|reason| Refusal { reason, message: status.message.clone() })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use workspacefs_api::{LocalVolumeSpec, LocalVolumeStatus};

    use super::*;

    const FULL: Option<LocalVolumeReason> = Some(LocalVolumeReason::NoSpace);

    /// A volume of generation 2 as its node has left it.
    fn volume(
        phase: LocalVolumePhase,
        observed: i64,
        size: Option<i64>,
        reason: Option<LocalVolumeReason>,
    ) -> LocalVolume {
        let mut volume = LocalVolume::new("v", LocalVolumeSpec::default());
        volume.metadata.uid = Some("u".into());
        volume.metadata.generation = Some(2);
        volume.status = Some(LocalVolumeStatus {
            observed_generation: Some(observed),
            phase,
            size_bytes: size,
            reason,
            message: "words".into(),
            observed_at: None,
        });
        volume
    }

    fn deleted(mut volume: LocalVolume) -> LocalVolume {
        volume.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        volume
    }

    fn no(reason: LocalVolumeReason) -> Refusal {
        Refusal { reason, message: "words".into() }
    }

    #[test]
    fn a_volume_is_made_when_its_node_says_ready_and_refused_when_it_says_why_to_this_very_wish() {
        use LocalVolumePhase::{Lost, Pending, Ready, Removed};
        let mut fresh = volume(Pending, 2, None, None);
        fresh.status = None;
        for (volume, wanted) in [
            (fresh, Progress::Working),
            (volume(Pending, 2, None, None), Progress::Working),
            (volume(Pending, 2, None, FULL), Progress::Refused(no(LocalVolumeReason::NoSpace))),
            (volume(Pending, 1, None, FULL), Progress::Working),
            (volume(Ready, 2, Some(8192), None), Progress::Made(8192)),
            (volume(Ready, 1, Some(8192), FULL), Progress::Made(8192)),
            (volume(Ready, 2, None, None), Progress::Working),
            (volume(Lost, 2, Some(8192), None), Progress::Lost),
            (deleted(volume(Ready, 2, Some(8192), None)), Progress::Leaving),
        ] {
            assert_eq!(progress(Some(&volume)), wanted, "{volume:?}");
        }
        assert_eq!(progress(None), Progress::Gone);
        assert!(matches!(progress(Some(&volume(Removed, 2, None, None))), Progress::Refused(_)));
    }

    #[test]
    fn only_a_node_that_has_said_nothing_at_all_for_long_is_unheard() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut volume = LocalVolume::new("v", LocalVolumeSpec::default());
        assert!(!is_unheard(&volume, at(9999)), "nobody knows since when");
        volume.metadata.creation_timestamp = Some(Time(at(1000)));
        // A clock that is behind the API server's makes it new.
        for (now, wanted) in [(0, false), (1000, false), (1120, false), (1121, true)] {
            assert_eq!((is_unheard(&volume, at(now)), is_old(&volume, at(now))), (wanted, wanted), "{now}");
        }
        volume.status = Some(LocalVolumeStatus::default());
        assert_eq!((is_unheard(&volume, at(1121)), is_old(&volume, at(1121))), (false, true));
    }

    #[test]
    fn only_the_mark_itself_is_one() {
        let mut volume = LocalVolume::new("v", LocalVolumeSpec::default());
        assert!(!is_marked(&volume.metadata));
        for (key, value, wanted) in [
            ("workspacefs.io/discard-files", "true", true),
            ("workspacefs.io/discard-files", "false", false),
            ("workspacefs.io/discard-files", "", false),
            ("discard-files", "true", false),
        ] {
            volume.metadata.annotations = Some([(key.to_owned(), value.to_owned())].into());
            assert_eq!(is_marked(&volume.metadata), wanted, "{key}={value}");
        }
    }

    #[test]
    fn growth_is_done_when_the_size_is_there_and_refused_only_to_this_very_wish() {
        use LocalVolumePhase::{Lost, Ready};
        for (volume, wanted) in [
            (volume(Ready, 2, Some(4096), None), Progress::Working),
            (volume(Ready, 1, Some(4096), FULL), Progress::Working),
            (volume(Ready, 2, Some(4096), FULL), Progress::Refused(no(LocalVolumeReason::NoSpace))),
            (volume(Ready, 1, Some(8192), FULL), Progress::Made(8192)),
            (volume(Lost, 2, Some(4096), None), Progress::Lost),
        ] {
            assert_eq!(growth(Some(&volume), 8192), wanted, "{volume:?}");
        }
        assert_eq!(growth(None, 8192), Progress::Gone);
    }

    #[test]
    fn a_removal_is_done_when_the_node_says_removed_to_the_deletion() {
        use LocalVolumePhase::{Lost, Pending, Ready, Removed};
        let ours = volume(Ready, 2, Some(4096), None);
        let mut other = ours.clone();
        other.metadata.uid = Some("other".into());
        for (now, wanted) in [
            (ours.clone(), Removal::Working),
            (other, Removal::Gone),
            (deleted(volume(Pending, 1, None, None)), Removal::Working),
            (deleted(volume(Ready, 1, Some(4096), None)), Removal::Working),
            (deleted(volume(Ready, 1, Some(4096), FULL)), Removal::Working),
            (deleted(volume(Removed, 2, None, None)), Removal::Done),
            (volume(Removed, 2, None, None), Removal::Working),
            (
                deleted(volume(Lost, 2, Some(4096), Some(LocalVolumeReason::NotReady))),
                Removal::Refused(no(LocalVolumeReason::NotReady)),
            ),
        ] {
            assert_eq!(removal(&ours, Some(&now)), wanted, "{now:?}");
        }
        assert_eq!(removal(&ours, None), Removal::Gone);
    }
}
