//! `wfs storage cat`: a file's content on stdout; what is cut goes on where it was.

use std::io::Write;

use anyhow::{Context, Result};
use http::StatusCode;
use http::header::{ETAG, IF_MATCH, RANGE};
use tokio::task::block_in_place;

use super::output::Format;
use super::{Place, each};
use crate::client::answer::piece;
use crate::client::call::Call;
use crate::client::error::ClientError;
use crate::client::path::{RemotePath, parser};
use crate::exit::Exit;

/// Prints the content of files
#[derive(clap::Args)]
pub struct Args {
    /// Files
    #[arg(value_name = "PATH", value_parser = parser(), required = true)]
    paths: Vec<RemotePath>,
}

impl Args {
    /// Prints each.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        // What it prints is the content, whatever the format.
        each(&self.paths, Format::Text, |path| print(place, path)).await
    }
}

async fn print(place: &Place, path: &RemotePath) -> Result<()> {
    let mut trouble = place.files.gateway().trouble();
    let (mut printed, mut etag) = (0_u64, None::<String>);
    loop {
        let mut headers = Vec::new();
        if let Some(etag) = &etag {
            headers.extend([(RANGE, format!("bytes={printed}-")), (IF_MATCH, etag.clone())]);
        }
        let answer = match place.files.read(path, &headers).await {
            Ok(answer) => answer,
            // All of it was there before the cut.
            Err(error) if printed > 0 && error.is_status(416) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if printed > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            anyhow::bail!("the connection broke, and the server cannot go on where it was");
        }
        etag = etag.or_else(|| Some(answer.headers().get(ETAG)?.to_str().ok()?.to_owned()));
        let mut body = answer.into_body();
        let cut = loop {
            match piece(&mut body).await {
                Ok(Some(bytes)) => {
                    block_in_place(|| std::io::stdout().lock().write_all(&bytes)).context("cannot print")?;
                    printed += bytes.len() as u64;
                    trouble.over();
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match cut {
            None => {
                std::io::stdout().lock().flush().context("cannot print")?;
                return Ok(());
            }
            Some(error @ (ClientError::Broken(_) | ClientError::Silent(_)))
                if printed == 0 || etag.is_some() =>
            {
                place.files.gateway().wait(&Call::get(String::new()), error, &mut trouble).await?;
            }
            Some(error) => return Err(error.into()),
        }
    }
}
