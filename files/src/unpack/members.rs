//! The entries of an archive that comes as the body of a request.

use axum::body::Body;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use workspacefs_files_proto::tar::{self, BadArchive, Member, Source};

use crate::error::Error;
use crate::http::Pieces;

/// See the module.
pub(crate) struct Members {
    all: tar::Members<Watched>,
    /// One that was looked at, and not told.
    first: Option<Option<Member>>,
}

/// A body that can be ended from elsewhere.
struct Watched {
    pieces: Pieces,
    /// Ends it as if the body had ended early.
    gone: CancellationToken,
}

impl Source for Watched {
    type Error = Error;

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        tokio::select! {
            piece = self.pieces.next() => piece,
            () = self.gone.cancelled() => Err(Error::Cut),
        }
    }
}

impl From<BadArchive> for Error {
    fn from(bad: BadArchive) -> Self {
        match bad {
            BadArchive::Cut => Self::Cut,
            bad => Self::bad(bad.to_string()),
        }
    }
}

impl Members {
    /// Of a body, of which so much has come then that it is known to be an archive.
    ///
    /// # Errors
    /// It is none.
    pub async fn begun(body: Body, gone: CancellationToken) -> Result<Self, Error> {
        let mut all = tar::Members::new(Watched { pieces: Pieces::new(body), gone });
        let first = Some(all.next().await?);
        Ok(Self { all, first })
    }

    /// See [`tar::Members::next`].
    ///
    /// # Errors
    /// As there.
    pub async fn next(&mut self) -> Result<Option<Member>, Error> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.all.next().await,
        }
    }

    /// See [`tar::Members::whole`]. Nothing asks for more than a few MiB at once.
    ///
    /// # Errors
    /// As there.
    pub async fn whole(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        self.all.whole(length).await
    }
}
