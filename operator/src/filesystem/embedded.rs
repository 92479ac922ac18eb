//! What the conditions of a FileSystem on the embedded server say. Pure.

use jiff::Timestamp;
use workspacefs_agent_proto::v1;

use super::findings::{ISOLATED, QUOTA_ENFORCED, REACHABLE, READY, RESIZED, reachable};
use crate::conditions::Finding;
use crate::error::chain;
use crate::probe::{Outcome, Target};
use crate::server::health::Trouble;
use crate::server::isolation::Isolation;
use crate::server::{Kind, ServerError};
use workspacefs_api::level::Level;
use workspacefs_api::quantity;

/// Ready, where the cluster has no embedded server.
pub fn no_server() -> Finding {
    let message = "this cluster has no embedded NFS server: set nfsServer.storage.block (a StorageClass and a size) or \
                   nfsServer.storage.directory (a directory on XFS and its node) in the chart's values";
    Finding::new(READY, false, "NoServer", message)
}

/// Ready, where the folder is not made.
pub fn not_made(error: &ServerError, adopting: bool) -> Finding {
    let words = chain(error);
    let (reason, message) = match error.kind() {
        Kind::Unavailable => ("ServerUnavailable", format!("the embedded server cannot be asked: {words}")),
        Kind::NoSpace => ("NoSpace", words),
        Kind::Forbidden if adopting => ("NotAdopted", words),
        Kind::Forbidden => ("FolderTaken", words),
        Kind::NotFound if adopting => ("NotAdopted", words),
        Kind::NotFound | Kind::Failed => {
            ("ServerFailed", format!("the embedded server did not make its folder: {words}"))
        }
    };
    Finding::new(READY, false, reason, message)
}

/// Ready, where the Service has another address than the volume, which never changes.
pub fn moved(was: &str, service: &str, is: &str) -> Finding {
    let message = format!(
        "its volume names the server's address {was}, but Service {service} has {is} now: delete the Service and make it \
         again with spec.clusterIP {was}"
    );
    Finding::new(READY, false, "ServerMoved", message)
}

/// Resized, where the capacity that is asked for is not enforced. `enforced` is what is, if that is known.
pub fn not_resized(error: &ServerError, wished: u64, enforced: Option<u64>) -> Finding {
    let (words, wish) = (chain(error), quantity::exact(wished).0);
    let shrinks = enforced.is_some_and(|enforced| wished < enforced);
    let reason = match error.kind() {
        Kind::Forbidden if shrinks => "BelowUsage",
        Kind::NoSpace => "NoSpace",
        Kind::Unavailable => "ServerUnavailable",
        Kind::Forbidden | Kind::NotFound | Kind::Failed => "ServerFailed",
    };
    let stays = match enforced {
        Some(enforced) => format!("the size stays {}, not {wish}", quantity::exact(enforced).0),
        None => format!("the size is not {wish}"),
    };
    Finding::new(RESIZED, false, reason, format!("{stays}: {words}"))
}

/// Resized, where the server enforces a size that the claim may not show.
pub fn claim_not_grown(why: &str) -> Finding {
    Finding::new(
        RESIZED,
        false,
        "ClaimRefused",
        format!("the server enforces it, but the claim does not show it: {why}"),
    )
}

/// Reachable: what keeps the server from working says more than that it does not answer.
pub fn reachable_embedded(target: &Target, probed: Option<&Outcome>, trouble: Option<Trouble>) -> Finding {
    match (probed, trouble) {
        (Some(outcome), Some(Trouble { reason, message })) if !outcome.reachable() => {
            Finding::new(REACHABLE, false, reason, message)
        }
        _ => reachable(target, probed),
    }
}

/// Isolated. That nobody reached a server which was away proves nothing; it has been reachable since `reachable_since`.
pub fn isolated(found: Option<Isolation>, reachable_since: Option<Timestamp>) -> Finding {
    match found {
        None => Finding::not_yet(ISOLATED, "the isolation probe is being asked"),
        Some(Isolation::NotProbed) => {
            Finding::unknown(ISOLATED, "NotProbed", "no isolation probe is installed, so nobody tries")
        }
        Some(Isolation::Silent(why)) => Finding::unknown(ISOLATED, "ProbeSilent", why),
        Some(Isolation::Open(detail)) => Finding::new(
            ISOLATED,
            false,
            "Reached",
            format!(
                "a pod without any right reached the server ({detail}), so any pod can read and write every folder on it. \
                 What closes it: a cluster network that enforces NetworkPolicy, and the nodes' addresses in the chart's \
                 value nfsServer.nodeCIDRs"
            ),
        ),
        Some(Isolation::Closed { detail, at }) => match reachable_since {
            None => Finding::unknown(
                ISOLATED,
                "ServerAway",
                "nobody reaches the server now, so that proves nothing",
            ),
            Some(since) if at < since => Finding::not_yet(ISOLATED, "the isolation probe tries again"),
            Some(_) => {
                let message = format!("a pod without any right was kept out: {detail}");
                Finding::new(ISOLATED, true, "KeptOut", message)
            }
        },
    }
}

/// QuotaEnforced, which tells also when little is left.
pub fn quota(file_system: &v1::FileSystem, level: Level) -> Finding {
    let capacity = quantity::exact(file_system.capacity_bytes).0;
    let limit = file_system.usage.map_or(0, |usage| usage.bytes_limit);
    let own = if limit < file_system.capacity_bytes {
        format!("{} (of {capacity}; further claims have the rest)", quantity::exact(limit).0)
    } else {
        capacity
    };
    let remedy = "remove files, or raise backend.managed.capacity";
    match level {
        Level::Fine => Finding::new(QUOTA_ENFORCED, true, "Enforced", format!("the server enforces {own}")),
        Level::Nearly => Finding::new(
            QUOTA_ENFORCED,
            true,
            "NearlyFull",
            format!("more than 90 % of {own}, or of the files that there may be, is used: {remedy}"),
        ),
        Level::Full => Finding::new(
            QUOTA_ENFORCED,
            true,
            "Full",
            format!(
                "{own}, or the number of files that there may be, is used up; who writes gets an error: {remedy}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    fn refused(code: Code) -> ServerError {
        ServerError::Refused(Box::new(Status::new(code, "3 GiB are used")))
    }

    #[test]
    fn isolated_is_true_only_where_the_probe_was_kept_out_of_a_server_that_is_there() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let closed = || Some(Isolation::Closed { detail: "d".into(), at: at(100) });
        for (found, since, status, reason) in [
            (None, Some(at(50)), "Unknown", "Asking"),
            (Some(Isolation::NotProbed), Some(at(50)), "Unknown", "NotProbed"),
            (Some(Isolation::Silent("s".into())), Some(at(50)), "Unknown", "ProbeSilent"),
            (closed(), Some(at(50)), "True", "KeptOut"),
            (closed(), Some(at(150)), "Unknown", "Asking"),
            (closed(), None, "Unknown", "ServerAway"),
            (Some(Isolation::Open("d".into())), Some(at(50)), "False", "Reached"),
            (Some(Isolation::Open("d".into())), None, "False", "Reached"),
        ] {
            let finding = isolated(found.clone(), since);
            assert_eq!((finding.status, finding.reason), (status, reason), "{found:?} {since:?}");
        }
        let message = isolated(Some(Isolation::Open("d".into())), None).message;
        assert!(message.contains("NetworkPolicy") && message.contains("nfsServer.nodeCIDRs"), "{message}");
    }

    #[test]
    fn a_refusal_has_a_reason_by_what_was_asked() {
        let reason = |code, enforced| not_resized(&refused(code), 2 << 30, enforced).reason;
        assert_eq!(reason(Code::FailedPrecondition, Some(4 << 30)), "BelowUsage");
        assert_eq!(reason(Code::FailedPrecondition, Some(1 << 30)), "ServerFailed");
        assert_eq!(reason(Code::ResourceExhausted, Some(1 << 30)), "NoSpace");
        assert_eq!(reason(Code::Unavailable, None), "ServerUnavailable");
        let message = not_resized(&refused(Code::FailedPrecondition), 2 << 30, Some(4 << 30)).message;
        assert_eq!(message, "the size stays 4Gi, not 2Gi: 3 GiB are used");

        let reason = |code, adopting| not_made(&refused(code), adopting).reason;
        assert_eq!(reason(Code::Unavailable, false), "ServerUnavailable");
        assert_eq!(reason(Code::ResourceExhausted, false), "NoSpace");
        assert_eq!(reason(Code::FailedPrecondition, false), "FolderTaken");
        assert_eq!(reason(Code::FailedPrecondition, true), "NotAdopted");
        assert_eq!(reason(Code::NotFound, true), "NotAdopted");
        assert_eq!(reason(Code::Internal, false), "ServerFailed");
    }

    #[test]
    fn a_lost_node_is_the_reason_only_while_the_server_does_not_answer() {
        let target = Target { server: "10.0.0.1".into(), port: 2049, version: 4 };
        let trouble = || Some(Trouble { reason: "ServerNodeLost", message: "m".into() });
        assert_eq!(reachable_embedded(&target, Some(&Outcome::TimedOut), trouble()).reason, "ServerNodeLost");
        assert_eq!(reachable_embedded(&target, Some(&Outcome::Answered), trouble()).reason, "Answered");
        assert_eq!(reachable_embedded(&target, Some(&Outcome::TimedOut), None).reason, "TimedOut");
        assert_eq!(reachable_embedded(&target, None, trouble()).status, "Unknown");
    }
}
