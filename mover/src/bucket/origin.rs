//! Which bucket, and with which keys.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU64;
use std::path::PathBuf;

use workspacefs_buckets::{Bucket, Credentials, Settings};

use crate::abort::Abort;

/// Names of the Secret's keys, and of the files that it is mounted as.
const ACCESS_KEY_ID: &str = "accessKeyId";
const SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// More is no key of any service.
const KEY_BYTES_MAX: u64 = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The bucket's name.
    pub bucket: String,
    /// Only objects whose key begins with it.
    pub prefix: String,
    /// The service, if it is not AWS.
    pub endpoint: Option<String>,
    /// The region; found by itself if there is none.
    pub region: Option<String>,
    /// The folder with the files `accessKeyId` and `secretAccessKey`.
    pub credentials: PathBuf,
    /// The most that is read, bytes per second.
    pub bandwidth: Option<NonZeroU64>,
}

impl Origin {
    /// Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<Bucket, Abort> {
        let (id, secret) = (self.key(ACCESS_KEY_ID)?, self.key(SECRET_ACCESS_KEY)?);
        let mut settings = Settings::new(&self.bucket, Credentials::new(&id, &secret, None));
        settings.endpoint.clone_from(&self.endpoint);
        settings.region.clone_from(&self.region);
        Bucket::new(settings).map_err(Abort::Bucket)
    }

    /// What of a key is no part of the file's path.
    pub(crate) fn folder(&self) -> &str {
        self.prefix
            .rsplit_once('/')
            .map_or("", |(folder, _)| self.prefix.get(..=folder.len()).unwrap_or_default())
    }

    fn key(&self, name: &'static str) -> Result<String, Abort> {
        let mut text = String::new();
        let read = File::open(self.credentials.join(name))
            .and_then(|file| file.take(KEY_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) if !text.trim().is_empty() => Ok(text),
            _ => Err(Abort::Credentials(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::mover::FailureReason;

    use super::*;

    fn origin(prefix: &str) -> Origin {
        let prefix = prefix.to_owned();
        Origin {
            bucket: "buck".into(),
            prefix,
            endpoint: None,
            region: None,
            credentials: "/none".into(),
            bandwidth: None,
        }
    }

    #[test]
    fn a_files_path_is_what_follows_the_last_slash_of_the_prefix() {
        for (prefix, folder) in
            [("", ""), ("a", ""), ("a/", "a/"), ("a/b", "a/"), ("ä/b/", "ä/b/"), ("/", "/"), ("a//", "a//")]
        {
            assert_eq!(origin(prefix).folder(), folder, "{prefix}");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_or_has_not_both_keys_says_which_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let with = Origin { credentials: dir.path().to_owned(), ..origin("") };
        let fails = |with: &Origin| with.open().unwrap_err().failure();
        let failure = fails(&with);
        assert!(
            failure.reason == FailureReason::AccessDenied && failure.message.contains("accessKeyId"),
            "{failure:?}"
        );
        std::fs::write(dir.path().join(ACCESS_KEY_ID), "AKID\n").unwrap();
        std::fs::write(dir.path().join(SECRET_ACCESS_KEY), " \n").unwrap();
        assert!(fails(&with).message.contains("has no secretAccessKey"), "{:?}", fails(&with));
        std::fs::write(dir.path().join(SECRET_ACCESS_KEY), "secret\n").unwrap();
        assert!(with.open().is_ok());
    }
}
