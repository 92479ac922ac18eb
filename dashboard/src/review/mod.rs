//! Who somebody is and what they may, by the API server's word: TokenReview and SubjectAccessReview. Nothing of it is believed
//! for longer than [`AGE_MAX`]; while a transfer runs it is asked again.

mod recent;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use workspacefs_runtime::chain;

pub use rights::{Question, Right, Rights};

use self::recent::Recent;
use crate::metrics::{Metrics, Review};
use crate::secret::Token;

/// How long an answer is believed. With [`crate::files::leash`]'s period it makes less than five seconds.
pub const AGE_MAX: Duration = Duration::from_secs(2);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Reviews that wait for the API server at once: a flood of wrong tokens must not become one of reviews.
const AT_ONCE_MAX: usize = 64;
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
#[error("the API server gave no answer")]
pub struct NoAnswer;

/// Asks the API server.
pub struct Reviewer {
    client: Client,
    audiences: Vec<String>,
    metrics: Metrics,
    at_once: Semaphore,
    tokens: Recent<[u8; 32], Option<Arc<Identity>>>,
    answers: Recent<(Arc<Identity>, Question), bool>,
}

impl Reviewer {
    /// Tokens must be for one of `audiences`; empty: for the API server itself.
    pub fn new(client: Client, audiences: Vec<String>, metrics: Metrics) -> Self {
        Self {
            client,
            audiences,
            metrics,
            at_once: Semaphore::new(AT_ONCE_MAX),
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
        self.tokens.get(key, async || self.review_token(token).await).await
    }

    async fn review_token(&self, token: &Token) -> Result<Option<Arc<Identity>>, NoAnswer> {
        let spec = TokenReviewSpec {
            token: Some(token.as_str().to_owned()),
            audiences: (!self.audiences.is_empty()).then(|| self.audiences.clone()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.ask(Review::Token, &review).await?;
        Ok(judge(answer.status, &self.audiences).map(Arc::new))
    }

    /// Whether the answer to the question is yes.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn allows(&self, who: &Arc<Identity>, question: Question) -> Result<bool, NoAnswer> {
        let key = (who.clone(), question.clone());
        self.answers
            .get(key, async || {
                let answer: SubjectAccessReview = self.ask(Review::Access, &question.review(who)).await?;
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

    async fn ask<K>(&self, kind: Review, review: &K) -> Result<K, NoAnswer>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let asked = async {
            let _permit = self.at_once.acquire().await;
            api.create(&PostParams::default(), review).await
        };
        // Neither the review nor the answer is logged: one of them holds a token.
        let answer = match timeout(ANSWER_TIME_MAX, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "a review was not answered");
                Err(NoAnswer)
            }
            Err(_) => {
                tracing::warn!("a review was not answered in {} s", ANSWER_TIME_MAX.as_secs());
                Err(NoAnswer)
            }
        };
        self.metrics.reviewed(kind, answer.is_ok());
        answer
    }
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
