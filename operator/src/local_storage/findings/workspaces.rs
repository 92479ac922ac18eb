//! Condition WorkspacesReady: which of the listed workspaces lack their claim, and which claims outlive the list.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::WORKSPACES_READY;
use crate::child::Child;
use crate::conditions::Finding;
use crate::filesystem::children::claim_phase;
use crate::filesystem::users::named;

/// How many workspaces a message speaks of.
const SENTENCES_MAX: usize = 10;

/// What a namespace has of a LocalStorage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Share {
    /// The namespace's name.
    pub namespace: String,
    /// How it stands.
    pub state: State,
}

/// How a share stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// Pods can use it.
    Bound,
    /// On the way; it passes by itself.
    Binding,
    /// No workspace of that name.
    NoWorkspace,
    /// An object of somebody else stands in the way; its kind.
    NameTaken(&'static str),
    /// The API server refused an object; its kind, and what it said.
    Refused(&'static str, String),
    /// Somebody deleted an object, which others hold; its kind.
    Terminating(&'static str),
    /// It is not listed any more, but these pods use it.
    StillUsed(Vec<String>),
}

const CLAIM: &str = "PersistentVolumeClaim";
const VOLUME: &str = "PersistentVolume";

impl State {
    /// Of a listed workspace, by its volume and its claim.
    pub fn of(volume: &Child<PersistentVolume>, claim: &Child<PersistentVolumeClaim>) -> Self {
        match (claim, volume) {
            (Child::Foreign, _) => Self::NameTaken(CLAIM),
            (_, Child::Foreign) => Self::NameTaken(VOLUME),
            (_, Child::Refused(why)) => Self::Refused(VOLUME, why.clone()),
            (Child::Refused(why), _) => Self::Refused(CLAIM, why.clone()),
            (Child::Leaving, _) => Self::Terminating(CLAIM),
            (_, Child::Leaving) => Self::Terminating(VOLUME),
            (Child::Ours(claim), Child::Ours(_)) if claim_phase(claim) == "Bound" => Self::Bound,
            (Child::Ours(_) | Child::Absent, Child::Ours(_) | Child::Absent) => Self::Binding,
        }
    }

    /// CamelCase, and whether an Event is worth it. None where all is well.
    fn reason(&self) -> Option<(&'static str, bool)> {
        Some(match self {
            Self::Bound => return None,
            Self::NameTaken(_) => ("NameTaken", true),
            Self::Refused(..) => ("Refused", true),
            Self::Terminating(_) => ("Terminating", true),
            Self::NoWorkspace => ("NoWorkspace", true),
            Self::StillUsed(_) => ("StillUsed", true),
            Self::Binding => ("Binding", false),
        })
    }

    /// Which reason speaks for all: what somebody must act on before what passes by itself.
    fn rank(&self) -> usize {
        match self {
            Self::NameTaken(_) => 0,
            Self::Refused(..) => 1,
            Self::Terminating(_) => 2,
            Self::NoWorkspace => 3,
            Self::StillUsed(_) => 4,
            Self::Binding => 5,
            Self::Bound => 6,
        }
    }
}

impl Share {
    /// What is the matter with it, for a person.
    fn sentence(&self, claim: &str, selector: &str) -> String {
        let namespace = &self.namespace;
        match &self.state {
            State::Bound => format!("{namespace}: pods mount it with claimName: {claim}"),
            State::Binding => format!("{namespace}: claim {claim} is being made and bound"),
            State::NoWorkspace => {
                format!(
                    "{namespace}: no namespace of that name is a workspace ({selector}); it gets its claim once one is"
                )
            }
            State::NameTaken(kind) => format!(
                "{namespace}: a {kind} that was not made for this LocalStorage stands in the way of claim {claim}, and is left alone"
            ),
            State::Refused(kind, why) => format!("{namespace}: the {kind} was refused: {why}"),
            State::Terminating(kind) => format!(
                "{namespace}: the {kind} is being deleted; it is made again when no pod uses it any more. Files stay"
            ),
            State::StillUsed(pods) => format!(
                "{namespace}: not listed any more, but pods use claim {claim}, which goes when they are gone: {}",
                named(pods)
            ),
        }
    }
}

/// Those that are not well, the gravest first.
fn troubled(shares: &[Share]) -> Vec<&Share> {
    let mut troubled: Vec<&Share> = shares.iter().filter(|share| share.state.reason().is_some()).collect();
    troubled.sort_by_key(|share| share.state.rank());
    troubled
}

/// WorkspacesReady.
pub fn workspaces_ready(claim: &str, selector: &str, shares: &[Share]) -> Finding {
    let troubled = troubled(shares);
    let Some((reason, _)) = troubled.first().and_then(|share| share.state.reason()) else {
        return match shares.len() {
            0 => Finding::new(WORKSPACES_READY, true, "NoneListed", "workspaces is empty: nobody may use it"),
            _ => {
                let message =
                    format!("each listed workspace has its claim: pods mount it with claimName: {claim}");
                Finding::new(WORKSPACES_READY, true, "Bound", message)
            }
        };
    };
    let sentences: Vec<String> =
        troubled.iter().take(SENTENCES_MAX).map(|share| share.sentence(claim, selector)).collect();
    let more = match troubled.len().saturating_sub(SENTENCES_MAX) {
        0 => String::new(),
        more => format!(". And {more} more"),
    };
    Finding::new(WORKSPACES_READY, false, reason, format!("{}{more}", sentences.join(". ")))
}

/// What is to be told: the namespace, reason and sentence of each trouble that the condition did not speak of before.
pub fn told(
    claim: &str,
    selector: &str,
    shares: &[Share],
    before: &str,
) -> Vec<(String, &'static str, String)> {
    let new = troubled(shares).into_iter().take(SENTENCES_MAX).filter_map(|share| {
        let (reason, _) = share.state.reason().filter(|(_, worth)| *worth)?;
        let sentence = share.sentence(claim, selector);
        (!before.contains(&sentence)).then(|| (share.namespace.clone(), reason, sentence))
    });
    new.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(namespace: &str, state: State) -> Share {
        Share { namespace: namespace.into(), state }
    }

    #[test]
    fn the_gravest_trouble_gives_the_reason_and_all_are_named() {
        let shares = [
            share("a", State::Bound),
            share("b", State::NoWorkspace),
            share("c", State::Binding),
            share("d", State::NameTaken(CLAIM)),
            share("e", State::StillUsed(vec!["p".into()])),
        ];
        let finding = workspaces_ready("fast", "x=y", &shares);
        assert_eq!((finding.status, finding.reason), ("False", "NameTaken"));
        for word in ["d: a PersistentVolumeClaim", "b: no namespace", "(x=y)", "c: claim fast", "gone: p"] {
            assert!(finding.message.contains(word), "{word}: {}", finding.message);
        }
        assert!(!finding.message.contains("a: pods"), "{}", finding.message);
        assert_eq!(workspaces_ready("fast", "x=y", &shares[..1]).reason, "Bound");
        let none = workspaces_ready("fast", "x=y", &[]);
        assert_eq!((none.status, none.reason), ("True", "NoneListed"));
    }

    #[test]
    fn each_trouble_is_told_once_and_what_passes_by_itself_is_not() {
        let mut shares = vec![share("b", State::NoWorkspace), share("c", State::Binding)];
        let told = |shares: &[Share], before: &str| -> Vec<String> {
            super::told("fast", "x=y", shares, before).into_iter().map(|(namespace, ..)| namespace).collect()
        };
        assert_eq!(told(&shares, ""), ["b"]);
        let before = workspaces_ready("fast", "x=y", &shares).message;
        assert!(told(&shares, &before).is_empty());
        shares.push(share("d", State::NameTaken(CLAIM)));
        assert_eq!(told(&shares, &before), ["d"]);
    }

    #[test]
    fn ten_are_named_and_the_rest_is_counted() {
        let shares: Vec<Share> = (0..12).map(|n| share(&format!("w{n:02}"), State::NoWorkspace)).collect();
        let message = workspaces_ready("fast", "x=y", &shares).message;
        assert!(
            message.contains("w09: ") && !message.contains("w10: ") && message.ends_with("And 2 more"),
            "{message}"
        );
        assert_eq!(told("fast", "x=y", &shares, "").len(), 10);
    }
}
