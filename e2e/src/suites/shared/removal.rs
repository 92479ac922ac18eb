//! Deleting a FileSystem on a server of your own under reclaimPolicy Delete: only what the driver made for it, and nobody
//! else has a part in, goes into the trash.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![
        a_folder_that_the_driver_made_goes_into_the_trash,
        a_folder_that_another_file_system_has_too_stays_and_an_event_says_why,
        a_folder_that_was_there_before_stays_and_an_event_says_why,
    ]
}

impl Context {
    /// Makes a FileSystem with reclaimPolicy Delete on the case's folder `data`.
    async fn doomed(&self, name: &str) -> Result<()> {
        let spec = json!({ "backend": self.shared("data"), "reclaimPolicy": "Delete" });
        self.file_system_with(name, spec).await.map(drop)
    }

    /// Writes a file into a FileSystem.
    async fn write_into(&self, name: &str) -> Result<()> {
        self.start([PodSpec::new("writer").claim(name, "/data")]).await?;
        self.exec("writer", "echo precious > /data/x").await?;
        self.stop("writer").await
    }

    /// That FileSystem `data` goes, and its file stays for a reason of these words.
    async fn keeps_its_file(&self, words: &[&str]) -> Result<()> {
        self.remove_file_system("data").await?;
        let message = self.event("data", words, seconds(30)).await?;
        self.note(message);
        let file = self.on_server("cat data/x").await?;
        ensure!(file == "precious", "the file reads {file:?}");
        Ok(())
    }
}

async fn a_folder_that_the_driver_made_goes_into_the_trash(context: Context) -> Result<()> {
    context.doomed("data").await?;
    context.write_into("data").await?;
    context.remove_file_system("data").await?;
    context.event("data", &["FilesMoved"], seconds(30)).await?;
    context.on_server("test ! -e data").await.map(drop)
}

async fn a_folder_that_another_file_system_has_too_stays_and_an_event_says_why(
    context: Context,
) -> Result<()> {
    context.doomed("data").await?;
    context.doomed("other").await?;
    context.write_into("data").await?;
    context.keeps_its_file(&["NotOurs", &format!("{}/other is the same", context.namespace())]).await
}

async fn a_folder_that_was_there_before_stays_and_an_event_says_why(context: Context) -> Result<()> {
    context.on_server("mkdir data").await?;
    context.doomed("data").await?;
    context.write_into("data").await?;
    context.keeps_its_file(&["NotOurs"]).await
}
