//! `cargo xtask tidy`: our own rules for the source tree, those that no other tool checks. Rust is parsed, not searched,
//! so a rule never trips over a comment or a string.

mod rust;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

#[derive(clap::Args)]
pub struct Args {}

/// What breaks a rule, and where.
#[derive(Debug, PartialEq)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Checks the tree and prints what it found.
pub fn run(_args: Args) -> Result<()> {
    let findings = check(&shell::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy: {} findings", findings.len());
    println!("tidy: nothing found");
    Ok(())
}

fn check(root: &Path) -> Result<Vec<Finding>> {
    let forbidden = text::machine_paths(root);
    let mut findings = Vec::new();
    for file in files(root)? {
        let bytes = fs::read(root.join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        let Ok(content) = String::from_utf8(bytes) else {
            continue; // a picture
        };
        findings.extend(text::check(root, &file, &content, &forbidden));
        if file.extension().is_some_and(|e| e == "rs") {
            findings.extend(rust::check(&file, &content)?);
        }
    }
    Ok(findings)
}

/// What git tracks, and what it would if it were added: a finding should come before the commit.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = shell::output(&mut git)?;
    let files = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(files.filter(|file| root.join(file).is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let found: Vec<String> = check(&shell::root()).unwrap().iter().map(Finding::to_string).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
