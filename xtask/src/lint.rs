//! `cargo xtask lint`: everything that is checked without running the product. Each check runs, whatever the others
//! found; the last line counts them.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use workspacefs_e2e::ClusterConfig;

use crate::chart::Chart;
use crate::{generate, room, shell, tidy, ui};

const CARGO_DENY: &str = "0.20.2";

#[derive(clap::Args)]
pub struct Args {}

/// What is checked, and how.
type Check = (&'static str, fn() -> Result<()>);

/// Runs every check.
pub fn run(_args: Args) -> Result<()> {
    room::make()?;
    let checks: [Check; 7] = [
        ("formatting", || shell::run(shell::cargo().args(["fmt", "--all", "--check"]))),
        ("tidy", || tidy::run(tidy::Args {})),
        ("clippy", clippy),
        ("generated files are up to date", generate::check),
        ("licences, bans and sources of dependencies (advisories need a network: not checked)", deny),
        ("chart: helm lint, schema, rules", || Chart::open()?.check()),
        ("pages: types, style, unit tests", ui::check),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        println!("lint: {name}");
        let started = Instant::now();
        match check() {
            Ok(()) => println!("lint: ok, {:.1} s", started.elapsed().as_secs_f32()),
            Err(error) => {
                failed += 1;
                println!("lint: FAILED: {name}: {error:#}");
            }
        }
    }
    println!("lint: {} passed, {failed} failed", checks.len() - failed);
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}

fn clippy() -> Result<()> {
    let mut cargo = shell::cargo();
    shell::run(cargo.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn deny() -> Result<()> {
    let mut deny = Command::new(cargo_deny()?);
    deny.current_dir(shell::root()).args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
    shell::run(&mut deny)
}

/// cargo-deny of the pinned version, built once.
fn cargo_deny() -> Result<PathBuf> {
    let folder =
        ClusterConfig::from_environment("lint")?.cache().join(format!("tools/cargo-deny-{CARGO_DENY}"));
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        println!("building cargo-deny {CARGO_DENY}, once (minutes)");
        let mut cargo = shell::cargo();
        cargo
            // Not optimised: that takes longer to compile than it would ever save.
            .args([
                "install",
                "--debug",
                "--quiet",
                "--locked",
                "cargo-deny",
                "--version",
                CARGO_DENY,
                "--root",
            ])
            .arg(&folder);
        // Its own target folder: ours would keep its dependencies for ever.
        shell::run(cargo.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(program)
}
