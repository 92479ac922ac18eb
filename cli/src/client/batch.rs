//! Many small files in one request: an archive that the server unpacks, and one that it makes of chosen files.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Response};
use hyper::body::Incoming;
use workspacefs_files_proto::ErrorBody as Refusal;
use workspacefs_files_proto::tar::{Decoder, Member, Step};
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
        Ok(Members::new(answer))
    }
}

fn said(error: Refusal) -> ErrorBody {
    // A word of the contract, as JSON has it.
    let code = serde_json::to_value(error.code).ok().and_then(|code| code.as_str().map(str::to_owned));
    ErrorBody { code: code.unwrap_or_default(), message: error.message }
}

/// The files of a bundle.
pub struct Members {
    body: Incoming,
    decoder: Decoder,
    rest: Bytes,
}

enum Told {
    Member(Member),
    Content(Bytes),
    End,
}

impl Members {
    fn new(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), decoder: Decoder::default(), rest: Bytes::new() }
    }

    /// The next file with its content; none at the end. One that is larger than `size_max` makes no sense.
    ///
    /// # Errors
    /// The connection broke, or it is no archive.
    pub async fn next(&mut self, size_max: u64) -> Result<Option<(Member, Vec<u8>)>, ClientError> {
        let member = loop {
            match self.step().await? {
                Told::Member(member) => break member,
                Told::Content(_) => {}
                Told::End => return Ok(None),
            }
        };
        if member.size > size_max {
            return Err(senseless("a file is larger than any that was asked for"));
        }
        let size = usize::try_from(member.size).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            match self.step().await? {
                Told::Content(content) => bytes.extend_from_slice(&content),
                Told::Member(_) | Told::End => return Err(senseless("a file ends early")),
            }
        }
        Ok(Some((member, bytes)))
    }

    async fn step(&mut self) -> Result<Told, ClientError> {
        loop {
            let rest = self.rest.clone();
            let mut input = &rest[..];
            let step = self.decoder.next(&mut input).map_err(|error| senseless(&error.to_string()))?;
            self.rest = rest.slice(rest.len() - input.len()..);
            match step {
                Step::Member(member) => return Ok(Told::Member(member)),
                Step::Content(content) => return Ok(Told::Content(rest.slice_ref(content))),
                Step::End => {
                    // To its end, so that the connection is used again.
                    while piece(&mut self.body).await?.is_some() {}
                    return Ok(Told::End);
                }
                Step::More => match piece(&mut self.body).await? {
                    Some(piece) => self.rest = piece,
                    None => return Err(ClientError::Broken("the answer ended early".into())),
                },
            }
        }
    }
}

fn senseless(what: &str) -> ClientError {
    ClientError::Protocol { request: "POST bundle".into(), what: what.into() }
}
