//! Who somebody is and what they may, by the API server's word: TokenReview and SubjectAccessReview. Nothing of it is believed
//! for longer than [`AGE_MAX`]; while a transfer runs it is asked again.

mod audience;
mod lanes;
mod recent;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Client;
use kube::api::PostParams;
use kube::client::Body;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use workspacefs_runtime::chain;

pub use rights::{Question, Right, Rights};

use self::lanes::{Known, Lane};
use self::recent::Recent;
use crate::metrics::{Metrics, Review};
use crate::secret::Token;

/// How long an answer is believed. With [`crate::files::leash`]'s period it makes less than five seconds.
pub const AGE_MAX: Duration = Duration::from_secs(2);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// A review comes back with what was sent, so with a token too.
const ANSWER_BYTES_MAX: usize = 256 << 10;
const KEPT_MAX: usize = 20_000;

/// Somebody, as the API server or the proxy in front of us knows them.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Identity {
    /// Name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Of the user, if there is one.
    pub uid: String,
    /// Whatever else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The API server gave no answer that could be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoAnswer {
    /// None, or not in time.
    #[error("the API server gave no answer")]
    Silent,
    /// It was not asked: too many wait already of whom nothing is known.
    #[error("too many wait for an answer")]
    Crowded,
}

/// Asks the API server.
pub struct Reviewer {
    client: Client,
    questions: audience::Questions,
    metrics: Metrics,
    /// For tokens that were never good: a flood of them must not become one of reviews, nor keep others waiting.
    strangers: Lane,
    /// For all else.
    friends: Lane,
    known: Known,
    tokens: Recent<[u8; 32], Option<Arc<Identity>>, NoAnswer>,
    answers: Recent<(Arc<Identity>, Question), bool, NoAnswer>,
}

impl Reviewer {
    /// Tokens must be for one of `audiences`; empty: for the API server itself, or for [`workspacefs_api::TOKEN_AUDIENCE`].
    pub fn new(client: Client, audiences: Vec<String>, metrics: Metrics) -> Self {
        Self {
            client,
            questions: audience::Questions::new(audiences),
            metrics,
            strangers: Lane::strangers(),
            friends: Lane::friends(),
            known: Known::new(KEPT_MAX),
            tokens: Recent::new(AGE_MAX, KEPT_MAX),
            answers: Recent::new(AGE_MAX, KEPT_MAX),
        }
    }

    /// Whose token it is; None: nobody's, or not for us.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn identify(&self, token: &Token) -> Result<Option<Arc<Identity>>, NoAnswer> {
        // The cache knows tokens by their digest: it is no place to find any.
        let key = Sha256::digest(token.as_str()).into();
        self.tokens.get(key, async || self.review_token(token, key).await).await
    }

    async fn review_token(&self, token: &Token, key: [u8; 32]) -> Result<Option<Arc<Identity>>, NoAnswer> {
        let lane = if self.known.has(&key) { &self.friends } else { &self.strangers };
        let mut identity = None;
        for audiences in self.questions.of(token.as_str()) {
            let spec = TokenReviewSpec {
                token: Some(token.as_str().to_owned()),
                audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
            };
            let review = TokenReview { spec, ..TokenReview::default() };
            let answer = self.ask(Review::Token, &review, lane).await?;
            identity = judge(answer.status, audiences).map(Arc::new);
            if identity.is_some() {
                break;
            }
        }
        self.known.set(key, identity.is_some());
        Ok(identity)
    }

    /// Whether the answer to the question is yes.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn allows(&self, who: &Arc<Identity>, question: Question) -> Result<bool, NoAnswer> {
        let key = (who.clone(), question.clone());
        self.answers
            .get(key, async || {
                let review = question.review(who);
                let answer: SubjectAccessReview = self.ask(Review::Access, &review, &self.friends).await?;
                Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
            })
            .await
    }

    /// Whether the caller has the right on the FileSystem's files.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn has(&self, who: &Arc<Identity>, right: Right, ws: &str, fs: &str) -> Result<bool, NoAnswer> {
        let ask = |verb: &&'static str| self.allows(who, Question::files(verb, ws, fs));
        let answers = future::try_join_all(right.verbs().iter().map(ask)).await?;
        Ok(answers.into_iter().all(|allowed| allowed))
    }

    /// All rights of the caller on the FileSystem's files.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn rights(&self, who: &Arc<Identity>, ws: &str, fs: &str) -> Result<Rights, NoAnswer> {
        let has = |right| self.has(who, right, ws, fs);
        let (read, write, delete) =
            future::try_join3(has(Right::Read), has(Right::Write), has(Right::Delete)).await?;
        Ok(Rights { read, write, delete })
    }

    async fn ask<K>(&self, kind: Review, review: &K, lane: &Lane) -> Result<K, NoAnswer>
    where
        K: kube::Resource<DynamicType = ()> + serde::Serialize + serde::de::DeserializeOwned,
    {
        let asked = async {
            let _place = lane.enter().await.ok_or(Failure::Crowded)?;
            self.post(review).await
        };
        let answer = match timeout(ANSWER_TIME_MAX, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failure::Crowded)) => Err(NoAnswer::Crowded),
            Ok(Err(failure)) => {
                tracing::warn!(error = chain(&failure), "a review was not answered");
                Err(NoAnswer::Silent)
            }
            Err(_) => {
                tracing::warn!("a review was not answered in {} s", ANSWER_TIME_MAX.as_secs());
                Err(NoAnswer::Silent)
            }
        };
        self.metrics.reviewed(kind, answer.is_ok());
        answer
    }

    /// Not by the client's own ways to ask for an object: they log an answer that they cannot read, with the token in it.
    async fn post<K>(&self, review: &K) -> Result<K, Failure>
    where
        K: kube::Resource<DynamicType = ()> + serde::Serialize + serde::de::DeserializeOwned,
    {
        let body = serde_json::to_vec(review).map_err(|_| Failure::Unreadable)?;
        let request = kube::core::Request::new(K::url_path(&(), None));
        let request = request.create(&PostParams::default(), body).map_err(|_| Failure::Unreadable)?;
        let answer = self.client.send(request.map(Body::from)).await?;
        if !answer.status().is_success() {
            return Err(Failure::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|_| Failure::Broken)?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|_| Failure::Unreadable)
    }
}

/// Why a review came to nothing, without a word of it or of its answer: one of them holds a token.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("too many wait already")]
    Crowded,
    #[error("the API server cannot be asked")]
    Unreachable(#[from] kube::Error),
    #[error("the API server answers with status {0}")]
    Status(u16),
    #[error("the answer breaks off, or is too long")]
    Broken,
    #[error("the answer is no review")]
    Unreadable,
}

/// Whom a review names, if it is good for us: where audiences were asked for, one of them must come back, since an authenticator
/// that knows nothing of audiences lets every token pass.
fn judge(status: Option<TokenReviewStatus>, audiences: &[String]) -> Option<Identity> {
    let status = status.filter(|status| status.authenticated == Some(true))?;
    let named = status.audiences.unwrap_or_default();
    if !audiences.is_empty() && !audiences.iter().any(|audience| named.contains(audience)) {
        return None;
    }
    let user = status.user?;
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(Identity {
        user: name,
        groups: user.groups.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_authenticated_user_with_a_name_and_our_audience_counts() {
        let ours = ["a".to_owned()];
        for (status, audiences, good) in [
            (json!({"authenticated": true, "user": {"username": "jane"}}), &[][..], true),
            (json!({"authenticated": false, "user": {"username": "jane"}}), &[], false),
            (json!({"user": {"username": "jane"}}), &[], false),
            (json!({"authenticated": true, "user": {"username": ""}}), &[], false),
            (json!({"authenticated": true}), &[], false),
            (json!({"authenticated": true, "user": {"username": "jane"}}), &ours, false),
            (json!({"authenticated": true, "user": {"username": "jane"}, "audiences": ["b"]}), &ours, false),
            (
                json!({"authenticated": true, "user": {"username": "jane"}, "audiences": ["b", "a"]}),
                &ours,
                true,
            ),
        ] {
            let said = judge(serde_json::from_value(status.clone()).unwrap(), audiences);
            assert_eq!(said.is_some(), good, "{status}");
        }
        assert!(judge(None, &[]).is_none());
    }
}
