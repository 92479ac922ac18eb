//! What the demo's workspace holds: folders and texts, a picture, ten thousand small files.

use anyhow::{Context as _, Result, ensure};
use workspacefs_e2e::suites::{Context, Door, Files, encoded, seconds, until};

use super::picture::gradient;

/// Paths and texts.
const TEXTS: [(&str, &str); 6] = [
    ("README.md", "# Vision\n\nDatasets lie in `datasets`, what was learned from them in `models`.\n"),
    ("datasets/flowers/labels.csv", "file,label\n0001.png,rose\n0002.png,tulip\n0003.png,daisy\n"),
    ("datasets/flowers/LICENSE", "Anybody may use these flowers.\n"),
    ("models/2026-03/config.yaml", "layers: 12\nwidth: 768\nlearningRate: 0.0003\n"),
    ("notes/meeting notes, März.txt", "Smaller batches. Warm the cache on the GPU nodes first.\n"),
    ("notes/line\u{202e}txt.exe", "A name that reads another way than it is.\n"),
];
const PICTURE: &str = "datasets/flowers/0001.png";
const MANY: &str = "datasets/many";
const MANY_COUNT: usize = 10_000;

/// Writes all of it, most through the gateway as the ServiceAccount of that name; again if need be. Gives the gateway, and what it
/// then lists.
pub async fn fill(context: &Context, visitor: &str) -> Result<(Door, String)> {
    let door = Door::of(context).await?;
    let files = door.with(&context.token(visitor).await?).files(context.namespace(), "default");
    let look = || async { files.get("usage").await?.expect(200).map(drop) };
    until("the gateway reaches the files", seconds(60), look).await?;
    for (path, text) in TEXTS {
        put(&files, path, text.as_bytes().to_vec()).await?;
    }
    put(&files, PICTURE, gradient(320, 200)).await?;
    many(context).await?;
    let look = || async { listed(&files).await };
    Ok((door, until("the gateway lists all of it", seconds(120), look).await?))
}

async fn put(files: &Files, path: &str, content: Vec<u8>) -> Result<()> {
    let answer = files.put(&format!("content/{}?parents=true", encoded(path.as_bytes())), content).await?;
    ensure!([200, 201].contains(&answer.status), "{path}: {answer:?}");
    Ok(())
}

/// On the storage host, where they take a second.
async fn many(context: &Context) -> Result<()> {
    let nfs = context.usable("default").await?.spec.backend.nfs.context("it is of another backend")?;
    let root = format!("{}/{}", nfs.export, nfs.folder.context("it has no folder of its own")?);
    let line = format!(
        "mkdir -p {root}/{MANY} && cd {root}/{MANY} && for i in $(seq -w {MANY_COUNT}); do echo sample $i > sample-$i.txt; done"
    );
    context.on("nfs", &line).await.map(drop)
}

async fn listed(files: &Files) -> Result<String> {
    let entries = files.list("").await?;
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry["name"].as_str()).collect();
    ensure!(names == ["README.md", "datasets", "models", "notes"], "there are {names:?}");
    let page = files.get(&format!("list/{MANY}?limit=10000")).await?.expect(200)?.json()?;
    let count = page["entries"].as_array().map_or(0, Vec::len);
    ensure!(count == MANY_COUNT, "there are {count} of {MANY_COUNT} small files");
    Ok(format!("{}\n{MANY}: {count} files", names.join("  ")))
}
