//! Many small files in one request: an archive that the server unpacks, and one that it makes of chosen files.

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use workspacefs_files_proto::ErrorBody as Refusal;
use workspacefs_files_proto::tar::{self, BadArchive, Member};
use workspacefs_files_proto::types::{Bundle, UnpackLine};

use super::answer::{Lines, piece};
use super::call::Call;
use super::error::{ClientError, ErrorBody};
use super::files::Files;
use super::path::RemotePath;

/// What the server did with an archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// What is not there: percent-encoded paths from the root, and why.
    pub refused: Vec<(String, ErrorBody)>,
    /// Why it did not come to its end, if so: of the rest nobody knows.
    pub failed: Option<ErrorBody>,
}

/// Whether a server that answers so to an archive or a bundle has no such requests: it is older.
pub fn is_unknown(error: &ClientError) -> bool {
    [400, 404, 405].iter().any(|status| error.is_status(*status))
}

/// Whether files are to go by themselves that could not go together just now: too many do, or the request is too long.
pub fn is_too_much(error: &ClientError) -> bool {
    error.is_status(429) || error.is_status(413)
}

impl Files {
    /// Unpacks a tar archive beneath a folder, which is made where it is missing. `moved` hears of bytes that are there.
    ///
    /// # Errors
    /// [`ClientError`]; nobody knows then what of it is there. Repeated where that is safe, as it is where files are replaced.
    pub async fn unpack(
        &self,
        to: &RemotePath,
        archive: Bytes,
        overwrite: bool,
        mut moved: impl FnMut(u64),
    ) -> Result<Unpacked, ClientError> {
        let target = format!("archive/{}?parents=true&overwrite={overwrite}", to.encoded());
        let call = Call::new(Method::POST, self.target(&target));
        let call = call.header(CONTENT_TYPE, "application/x-tar").body(archive);
        let call = if overwrite { call.repeatable() } else { call };
        let (mut trouble, mut told) = (self.gateway().trouble(), 0);
        loop {
            let so_far = |bytes: u64| {
                // What is sent again is not moved again.
                moved(bytes.saturating_sub(told));
                told = told.max(bytes);
            };
            match self.unpack_once(&call, so_far).await {
                Ok(unpacked) => return Ok(unpacked),
                Err(error) => self.gateway().wait(&call, error, &mut trouble).await?,
            }
        }
    }

    async fn unpack_once(&self, call: &Call, mut so_far: impl FnMut(u64)) -> Result<Unpacked, ClientError> {
        let mut lines = Lines::new(self.gateway().send(call).await?.into_body());
        let mut unpacked = Unpacked::default();
        while let Some(line) = lines.next::<UnpackLine>().await? {
            match line {
                UnpackLine::Refused { path, error } => unpacked.refused.push((path, said(error))),
                UnpackLine::Failed { error } => {
                    unpacked.failed = Some(said(error));
                    return Ok(unpacked);
                }
                UnpackLine::Unpacked { done, bytes, .. } => {
                    so_far(bytes);
                    if done {
                        return Ok(unpacked);
                    }
                }
            }
        }
        Err(ClientError::Broken("the answer ended early".into()))
    }

    /// Begins to read chosen files of a folder.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn bundle(&self, from: &RemotePath, wanted: &Bundle) -> Result<Members, ClientError> {
        let call = Call::new(Method::POST, self.target(&format!("bundle/{}", from.encoded())));
        let answer = self.gateway().send(&call.repeatable().json(wanted)).await?;
        Ok(Members(tar::Members::new(Answer(answer.into_body()))))
    }
}

fn said(error: Refusal) -> ErrorBody {
    // A word of the contract, as JSON has it.
    let code = serde_json::to_value(error.code).ok().and_then(|code| code.as_str().map(str::to_owned));
    ErrorBody { code: code.unwrap_or_default(), message: error.message }
}

/// The files of a bundle.
pub struct Members(tar::Members<Answer>);

struct Answer(Incoming);

impl tar::Source for Answer {
    type Error = ClientError;

    async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        piece(&mut self.0).await
    }
}

impl From<BadArchive> for ClientError {
    fn from(bad: BadArchive) -> Self {
        match bad {
            BadArchive::Cut => Self::Broken("the answer ended early".into()),
            bad => senseless(&bad.to_string()),
        }
    }
}

impl Members {
    /// The next file with its content; none at the end. One that is larger than `size_max` makes no sense.
    ///
    /// # Errors
    /// The connection broke, or it is no archive.
    pub async fn next(&mut self, size_max: u64) -> Result<Option<(Member, Vec<u8>)>, ClientError> {
        let Some(member) = self.0.next().await? else { return Ok(None) };
        if member.size > size_max {
            return Err(senseless("a file is larger than any that was asked for"));
        }
        let bytes = self.0.whole(member.size).await?;
        Ok(Some((member, bytes)))
    }
}

fn senseless(what: &str) -> ClientError {
    ClientError::Protocol { request: "POST bundle".into(), what: what.into() }
}
