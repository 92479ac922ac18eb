//! The commands that a person runs inside the container: they ask the running agent through its socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use workspacefs_agent_proto::v1::console_client::ConsoleClient;
use workspacefs_agent_proto::v1::{
    DiscardRequest, Disposal, ListRemovedRequest, RemovedFolder, RestoreRequest,
};

use crate::manifest;

/// `nfs-server removed`.
///
/// # Errors
/// The agent does not run, or says no.
pub fn removed(socket: &Path) -> anyhow::Result<ExitCode> {
    let folders = ask(socket, async |mut console| {
        Ok(console.list_removed(ListRemovedRequest {}).await?.into_inner().folders)
    })?;
    for line in table(&folders) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `nfs-server restore ID`.
///
/// # Errors
/// The agent does not run, or says no.
pub fn restore(socket: &Path, id: String) -> anyhow::Result<ExitCode> {
    let answer =
        ask(socket, async |mut console| Ok(console.restore(RestoreRequest { id }).await?.into_inner()))?;
    match answer.claim {
        // All of it is for `kubectl apply`.
        Some(claim) => print!("# restored to {}\n{}", answer.path, manifest::of(&claim)?),
        None => println!("restored to {}", answer.path),
    }
    Ok(ExitCode::SUCCESS)
}

/// `nfs-server discard ID`.
///
/// # Errors
/// The agent does not run, or says no.
pub fn discard(socket: &Path, id: String) -> anyhow::Result<ExitCode> {
    let answer =
        ask(socket, async |mut console| Ok(console.discard(DiscardRequest { id }).await?.into_inner()))?;
    match answer.kept_as.as_str() {
        "" => println!("somebody had removed it by hand: forgotten"),
        path => println!("discarded to {path}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn ask<T>(
    socket: &Path,
    question: impl AsyncFnOnce(ConsoleClient<Channel>) -> Result<T, tonic::Status>,
) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let channel = connect(socket)
            .await
            .with_context(|| format!("the agent does not answer on {}", socket.display()))?;
        match question(ConsoleClient::new(channel)).await {
            Ok(answer) => Ok(answer),
            Err(status) => bail!("{}", status.message()),
        }
    })
}

/// A channel to the agent of this container.
///
/// # Errors
/// Nobody listens.
pub async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let path: PathBuf = socket.into();
    // The address is not used; HTTP wants one.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
}

const COLUMNS: usize = 8;
const HEAD: [&str; COLUMNS] = ["ID", "STATE", "OF", "REMOVED", "GOES", "BYTES", "HELD", "ADOPT"];

fn table(folders: &[RemovedFolder]) -> Vec<String> {
    let mut rows = vec![HEAD.map(str::to_string)];
    rows.extend(folders.iter().map(row));
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

fn row(folder: &RemovedFolder) -> [String; COLUMNS] {
    let state = match folder.disposal() {
        Disposal::Trash => "trash",
        Disposal::Archive => "archive",
        // Nobody can find a claim again whose FileSystem is gone.
        Disposal::Retain if !folder.claim.is_empty() => "orphaned",
        Disposal::Retain => "retained",
        Disposal::Unspecified => "?",
    };
    let mut of = format!("{}/{}", folder.namespace, folder.file_system);
    if !folder.claim.is_empty() {
        of = format!("{of} claim {}", folder.claim);
    }
    let when = |seconds: i64, otherwise: &str| match seconds {
        0 => otherwise.to_string(),
        at => time(at),
    };
    [
        folder.id.clone(),
        state.into(),
        of,
        when(folder.removed_at, "unknown"),
        when(folder.removed_for_good_at, "never"),
        folder.bytes_used.to_string(),
        folder.bytes_held.to_string(),
        folder.key.clone(),
    ]
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_listed_with_what_restores_it() {
        let folder = RemovedFolder {
            id: "trash/team-a.default.pvc-1.20261122T101112Z".into(),
            disposal: Disposal::Trash.into(),
            namespace: "team-a".into(),
            file_system: "default".into(),
            claim: "pvc-1".into(),
            removed_at: 1,
            removed_for_good_at: 86_400,
            bytes_used: 7,
            bytes_held: 7,
            ..Default::default()
        };
        let lines = table(&[folder]);
        assert_eq!(lines.len(), 2);
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            words,
            [
                "trash/team-a.default.pvc-1.20261122T101112Z",
                "trash",
                "team-a/default",
                "claim",
                "pvc-1",
                "1970-01-01T00:00:01Z",
                "1970-01-02T00:00:00Z",
                "7",
                "7"
            ]
        );
        assert_eq!(lines[0].find("STATE"), lines[1].find(" trash ").map(|at| at + 1));
    }

    #[test]
    fn a_claim_whose_file_system_is_gone_is_listed_as_such_with_what_it_holds() {
        let folder = RemovedFolder {
            id: "export/claims/a/pvc-1".into(),
            disposal: Disposal::Retain.into(),
            namespace: "team-a".into(),
            file_system: "default".into(),
            claim: "pvc-1".into(),
            bytes_used: 7,
            bytes_held: 4096,
            ..Default::default()
        };
        let words = [
            "export/claims/a/pvc-1",
            "orphaned",
            "team-a/default claim pvc-1",
            "unknown",
            "never",
            "7",
            "4096",
        ];
        assert_eq!(row(&folder)[..words.len()], words);
    }
}
