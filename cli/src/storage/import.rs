//! `wfs storage import`: objects of a bucket become files; the file API fetches them, this program begins it and looks on.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Subcommand, ValueHint};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use workspacefs_files_proto::import::{Import, ImportRequest, ImportResume, ImportState, Provider};

use super::keys::keys;
use super::output::{Format, table};
use super::{Place, output};
use crate::client::error::Refused;
use crate::client::path::{RemotePath, parser};
use crate::client::tus::is_id;
use crate::exit::Exit;
use crate::text::{self, complain};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Objects that failed and are named.
const NAMED: usize = 20;

/// Imports a bucket of S3 or R2, or looks after imports
///
/// The keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, from a file or from a prompt, and are kept nowhere.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Imports from S3, or from what speaks like it
    S3(Begin),
    /// Imports from R2
    R2(Begin),
    /// Lists imports
    Ls,
    /// Shows an import
    Show {
        /// Its id
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Goes on with an import that was interrupted
    Resume(Resume),
    /// Cancels an import that runs; forgets one that has ended
    Cancel {
        /// Its id
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
}

#[derive(clap::Args)]
struct Begin {
    /// Bucket
    #[arg(value_name = "BUCKET")]
    bucket: String,
    /// Folder that gets the objects
    #[arg(value_name = "DESTINATION", value_parser = parser())]
    destination: RemotePath,
    /// Only keys that begin so; it is cut off
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "REGION", env = "AWS_REGION")]
    region: Option<String>,
    /// URL of the service, without the bucket; needed for R2
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    endpoint: Option<String>,
    #[command(flatten)]
    more: More,
}

#[derive(clap::Args)]
struct Resume {
    /// Its id
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    #[command(flatten)]
    more: More,
}

#[derive(clap::Args)]
struct More {
    /// File with the keys, as the clients of AWS keep it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    credentials_file: Option<PathBuf>,
    /// Begin it and do not wait for its end
    #[arg(long)]
    no_wait: bool,
}

impl Args {
    /// Whether what it begins goes on without this program.
    pub fn runs_on(&self) -> bool {
        matches!(self.command, Command::S3(_) | Command::R2(_) | Command::Resume(_))
    }

    /// Does what is asked for.
    ///
    /// # Errors
    /// [`Refused`] before anything is sent; what the gateway says.
    pub async fn run(&self, args: &super::Args) -> Result<Exit> {
        match &self.command {
            Command::S3(begin) => begin.run(args, Provider::S3).await,
            Command::R2(begin) => begin.run(args, Provider::R2).await,
            Command::Ls => list(&args.open().await?).await,
            Command::Show { id } => show(&args.open().await?, id).await,
            Command::Resume(resume) => resume.run(args).await,
            Command::Cancel { id } => {
                let place = args.open().await?;
                place.files.end_import(id).await?;
                place
                    .output
                    .done(|| format!("import {id} is cancelled"), &serde_json::json!({"cancelled": id}))?;
                Ok(Exit::Done)
            }
        }
    }
}

impl Begin {
    async fn run(&self, args: &super::Args, provider: Provider) -> Result<Exit> {
        if self.bucket.is_empty() {
            return Err(Refused::because("a bucket has a name"));
        }
        if provider == Provider::R2 && self.endpoint.is_none() {
            return Err(Refused::because(
                "R2 has no endpoint of its own: --endpoint takes the account's, as its dashboard shows it",
            ));
        }
        let keys = keys(self.more.credentials_file.as_deref())?;
        let place = args.open().await?;
        let request = ImportRequest {
            provider,
            bucket: self.bucket.clone(),
            access_key_id: keys.id,
            secret_access_key: keys.secret.to_string(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            prefix: self.prefix.clone(),
            destination: self.destination.encoded(),
        };
        let import = place.files.import(&request).await?;
        self.more.wait(&place, import).await
    }
}

impl Resume {
    async fn run(&self, args: &super::Args) -> Result<Exit> {
        let keys = keys(self.more.credentials_file.as_deref())?;
        let place = args.open().await?;
        let keys = ImportResume { access_key_id: keys.id, secret_access_key: keys.secret.to_string() };
        let import = place.files.resume_import(&self.id, &keys).await?;
        self.more.wait(&place, import).await
    }
}

impl More {
    async fn wait(&self, place: &Place, mut import: Import) -> Result<Exit> {
        if self.no_wait {
            let text = || format!("import {} is begun: wfs storage import show {0}", import.id);
            place.output.done(text, &import)?;
            return Ok(Exit::Done);
        }
        let show = !place.output.quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = show.then(ProgressBar::new_spinner);
        while matches!(import.state, ImportState::Listing | ImportState::Running) {
            if let Some(bar) = &bar {
                bar.set_message(progress(&import));
                bar.tick();
            }
            tokio::time::sleep(LOOK).await;
            import = place.files.import_of(&import.id).await?;
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        for failure in import.failures.iter().take(NAMED) {
            complain(&format!("{}: {}", text::shown(failure.key.as_ref()), failure.reason));
        }
        place.output.done(|| progress(&import), &import)?;
        ended(&import)
    }
}

/// How an import's end ends the process.
fn ended(import: &Import) -> Result<Exit> {
    let arrived = import.objects.done + import.objects.skipped > 0;
    match import.state {
        ImportState::Done if import.objects.failed == 0 => Ok(Exit::Done),
        ImportState::Done if arrived => Ok(Exit::Partial),
        ImportState::Done => Ok(Exit::Failed),
        ImportState::Interrupted => {
            bail!("the import was interrupted: wfs storage import resume {} goes on with it", import.id)
        }
        _ if import.message.is_empty() => bail!("the import {}", word(import.state)),
        _ => bail!("{}", import.message),
    }
}

async fn list(place: &Place) -> Result<Exit> {
    let imports = place.files.imports().await?;
    if place.output.format == Format::Json {
        imports.iter().try_for_each(output::json)?;
        return Ok(Exit::Done);
    }
    let head = ["ID", "STATE", "BUCKET", "DESTINATION", "OBJECTS", "FAILED", "BYTES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(imports.iter().map(|import| {
        vec![
            text::shown(import.id.as_ref()),
            word(import.state).into(),
            text::shown(import.bucket.as_ref()),
            shown_path(&import.destination),
            format!("{}/{}", import.objects.done + import.objects.skipped, import.objects.total),
            import.objects.failed.to_string(),
            HumanBytes(import.bytes.done).to_string(),
        ]
    }));
    output::line(&table(&rows))?;
    Ok(Exit::Done)
}

async fn show(place: &Place, id: &str) -> Result<Exit> {
    let import = place.files.import_of(id).await?;
    let text = || {
        let mut text = format!("{}: {}", word(import.state), progress(&import));
        if !import.message.is_empty() {
            text.push_str(&format!("\n{}", import.message));
        }
        for failure in &import.failures {
            text.push_str(&format!("\n{}: {}", text::shown(failure.key.as_ref()), failure.reason));
        }
        text
    };
    place.output.print(text, &import)?;
    Ok(Exit::Done)
}

fn progress(import: &Import) -> String {
    let objects = import.objects;
    let mut line = format!(
        "{} of {} objects, {} of {}",
        HumanCount(objects.done + objects.skipped),
        HumanCount(objects.total),
        HumanBytes(import.bytes.done),
        HumanBytes(import.bytes.total),
    );
    if objects.failed > 0 {
        line.push_str(&format!(", {} FAILED", HumanCount(objects.failed)));
    }
    if let Some(left) = import.eta_seconds {
        line.push_str(&format!(", {left} s left"));
    }
    line
}

fn word(state: ImportState) -> &'static str {
    match state {
        ImportState::Listing => "listing",
        ImportState::Running => "running",
        ImportState::Done => "done",
        ImportState::Failed => "failed",
        ImportState::Cancelled => "cancelled",
        ImportState::Interrupted => "interrupted",
    }
}

/// As people see it.
pub fn shown_path(encoded: &str) -> String {
    RemotePath::from_wire(encoded).map_or_else(|_| text::shown(encoded.as_ref()), |path| path.to_string())
}

/// What the server writes into its own URLs.
///
/// # Errors
/// A sentence.
pub fn id(text: &str) -> Result<String, String> {
    if is_id(text) { Ok(text.into()) } else { Err("not an id: ls shows them".into()) }
}
