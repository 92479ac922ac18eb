//! FileSystems from the API server.

use std::time::Duration;

use async_trait::async_trait;
use kube::api::{GetParams, ListParams};
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use workspacefs_api::FileSystem;

use super::removal::Guarded;
use super::seams::{FileSystems, LookupError};

/// How long the API server may take, in seconds: well inside the provisioner's own patience.
pub(crate) const ANSWER_SECONDS_MAX: u64 = 8;
/// Objects per page when looking through all of them.
const PAGE: u32 = 500;

/// Asks the API server each time: volumes are made and deleted rarely, and a stale answer could send one to a
/// FileSystem that is gone.
#[derive(Clone)]
pub struct ApiFileSystems {
    client: Client,
    /// What a watch has seen, if this process has one: tells the name of the FileSystem to ask for, never what it says.
    seen: Option<Store<Guarded>>,
}

impl ApiFileSystems {
    /// Asks through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, seen: None }
    }

    /// The same, where `seen` knows the names of most FileSystems.
    pub fn with_names(client: Client, seen: Store<Guarded>) -> Self {
        Self { client, seen: Some(seen) }
    }

    async fn find_uid(&self, uid: &str) -> kube::Result<Option<FileSystem>> {
        let is_it = |object: &FileSystem| object.metadata.uid.as_deref() == Some(uid);
        let seen =
            self.seen.as_ref().and_then(|seen| seen.find(|one| one.meta().uid.as_deref() == Some(uid)));
        if let Some(seen) = seen
            && let Some(namespace) = seen.namespace()
        {
            let api: Api<FileSystem> = Api::namespaced(self.client.clone(), &namespace);
            if let Some(found) = api.get_opt(&seen.name_any()).await?.filter(is_it) {
                return Ok(Some(found));
            }
        }
        self.search(is_it).await
    }

    /// Looks through all there are: the API server selects by name and namespace only. One that cannot be read does not hide
    /// the others.
    async fn search(&self, is_it: impl Fn(&FileSystem) -> bool) -> kube::Result<Option<FileSystem>> {
        let api: Api<Guarded> = Api::all(self.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            if let Some(found) = page.items.into_iter().filter_map(|fs| fs.0.ok()).find(|fs| is_it(fs)) {
                return Ok(Some(found));
            }
            match next {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(None),
            }
        }
    }
}

#[async_trait]
impl FileSystems for ApiFileSystems {
    async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        // A name goes into a URL's path: what is no name names nothing.
        if !is_name(namespace) || !is_name(name) {
            return Ok(None);
        }
        let api: Api<FileSystem> = Api::namespaced(self.client.clone(), namespace);
        within(api.get_opt(name)).await
    }

    async fn cached(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        if !is_name(namespace) || !is_name(name) {
            return Ok(None);
        }
        let api: Api<FileSystem> = Api::namespaced(self.client.clone(), namespace);
        let answer = async {
            match api.get_with(name, &GetParams::any()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
                answer => answer.map(Some),
            }
        };
        within(answer).await
    }

    async fn by_uid(&self, uid: &str) -> Result<Option<FileSystem>, LookupError> {
        within(self.find_uid(uid)).await
    }
}

async fn within<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, LookupError> {
    match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), answer).await {
        Ok(answer) => answer.map_err(|error| LookupError(Box::new(error))),
        Err(_) => Err(LookupError(format!("no answer within {ANSWER_SECONDS_MAX} s").into())),
    }
}

/// Whether `text` can name an object: lower-case letters, digits, dots and dashes.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_asked_for() {
        for good in ["default", "team-a", "a.b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "..", "a/b", "../secrets", "A", "a?b", "a%2fb"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
