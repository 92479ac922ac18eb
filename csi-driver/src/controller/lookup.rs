//! FileSystems from the API server.

use std::time::Duration;

use async_trait::async_trait;
use kube::api::{GetParams, ListParams};
use kube::{Api, Client};
use workspacefs_api::FileSystem;

use super::seams::{FileSystems, LookupError};

/// How long the API server may take, in seconds: well inside the provisioner's own patience.
const ANSWER_SECONDS_MAX: u64 = 8;
/// Objects per page when looking through all of them.
const PAGE: u32 = 500;

/// Asks the API server each time: volumes are made and deleted rarely, and a stale answer could send one to a
/// FileSystem that is gone.
#[derive(Clone)]
pub struct ApiFileSystems(Client);

impl ApiFileSystems {
    /// Asks through `client`.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn find_uid(&self, uid: &str) -> kube::Result<Option<FileSystem>> {
        let api: Api<FileSystem> = Api::all(self.0.clone());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            // The API server selects by name and namespace only.
            if let Some(found) = page.items.into_iter().find(|fs| fs.metadata.uid.as_deref() == Some(uid)) {
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
        let api: Api<FileSystem> = Api::namespaced(self.0.clone(), namespace);
        within(api.get_opt(name)).await
    }

    async fn cached(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        if !is_name(namespace) || !is_name(name) {
            return Ok(None);
        }
        let api: Api<FileSystem> = Api::namespaced(self.0.clone(), namespace);
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
fn is_name(text: &str) -> bool {
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
