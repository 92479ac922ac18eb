//! Files over HTTP and imports from buckets: the goals that the program `transfer-bench` measures, and the weight of the pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use workspacefs_bench::goals::{Bar, RaceReport, Sense};
use workspacefs_e2e::ClusterConfig;

use super::machine;
use super::page::{self, Rendered};
use super::peers;
use super::races::{self, Count};
use super::trees::{Report, Word};
use crate::{images, shell};

/// What the pages may weigh, in kB of 1,000 bytes.
const PAGES_KB_MAX: f64 = 300.0;

/// Measures these goals, or all, and writes the page.
pub fn run(words: &[Word]) -> Result<Count> {
    let goals: Vec<String> = words.iter().map(|word| word.goal()).collect();
    let cache = ClusterConfig::from_environment("bench")?.cache().to_path_buf();
    // Before we keep it busy ourselves.
    let here = machine::here()?;
    let binaries = images::static_binaries()?;
    let peers = peers::install_of_transfers(&cache)?;
    let started = Instant::now();
    let folders: Vec<&Path> =
        std::iter::once(&binaries).chain(&peers.folders).map(PathBuf::as_path).collect();
    let mut races = races::run("transfer-bench", &cache.join("bench"), &folders, &goals)?;
    println!("bench: measured in {:.0} s", started.elapsed().as_secs_f32());
    if words.is_empty() || words.contains(&Word::G13) {
        // Built with the programs, which have them in them.
        races.push(pages(&shell::root().join("ui/dist"))?);
    }
    let report = Report { here, peers: peers.versions, races };
    super::write_page(match words.is_empty() {
        true => Rendered::Transfers(page::transfers_part(&report)),
        false => Rendered::TransferGoals(page::goals(&report), page::transfers_part(&report)),
    })?;
    Ok(races::told(&report.races))
}

/// What a browser that takes gzip loads for the first page.
fn pages(dist: &Path) -> Result<RaceReport> {
    let (files, bytes) = weight(dist).with_context(|| format!("cannot weigh {}", dist.display()))?;
    let weight = Bar {
        what: "weight, compressed, kB".to_owned(),
        value: bytes as f64 / 1e3,
        sense: Sense::AtMost,
        must: PAGES_KB_MAX,
        goal: PAGES_KB_MAX,
        first: None,
    };
    Ok(RaceReport {
        goal: "G13 pages".to_owned(),
        title: "The pages, as the gateway sends them to a browser that takes gzip".to_owned(),
        tree: format!("{files} files"),
        files,
        lines: Vec::new(),
        bars: vec![weight],
        notes: Vec::new(),
        failed: None,
    })
}

/// Files and their bytes; of one that lies there compressed too, those that are sent.
fn weight(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let (inner_files, inner_bytes) = weight(&path)?;
            (files, bytes) = (files + inner_files, bytes + inner_bytes);
        } else if path.extension().is_none_or(|extension| extension != "gz" && extension != "br") {
            let mut zipped = path.clone().into_os_string();
            zipped.push(".gz");
            bytes += fs::metadata(&zipped).or_else(|_| fs::metadata(&path))?.len();
            files += 1;
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_compressed_weighs_as_much_and_no_file_counts_twice() {
        let folder = tempfile::tempdir().unwrap();
        let dist = folder.path();
        fs::create_dir(dist.join("assets")).unwrap();
        for (name, bytes) in
            [("index.html", 500), ("assets/a.js", 9000), ("assets/a.js.gz", 3000), ("assets/a.js.br", 2000)]
        {
            fs::write(dist.join(name), vec![b'x'; bytes]).unwrap();
        }
        assert_eq!(weight(dist).unwrap(), (2, 3500));
        let bar = pages(dist).unwrap().bars.remove(0);
        assert_eq!((bar.value, bar.shown().as_str()), (3.5, "3.50"));
        assert!(pages(&dist.join("none")).is_err());
    }
}
