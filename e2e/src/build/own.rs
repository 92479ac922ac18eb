//! What the harness builds from this workspace: PID 1 and the pause program (static), and the ptrace library.

use crate::config::ClusterConfig;
use crate::host::command::{CommandError, command, run};
use crate::progress::Progress;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The target that must be named so that build scripts and macros are not linked statically.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Time for a cold build on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

/// The built files.
#[derive(Debug, Clone)]
pub struct Own {
    /// PID 1 of the machines; static.
    pub node_init: PathBuf,
    /// The sandbox's program; static.
    pub pause: PathBuf,
    /// The preload library.
    pub shim: PathBuf,
}

impl Own {
    /// Builds them with cargo, which does nothing when nothing changed.
    pub fn build(config: &ClusterConfig, progress: &Progress) -> Result<Own, CommandError> {
        let _step = progress.long("building the machines' first process");
        // A folder of its own: these few crates need not wait for another build's lock.
        let target = config.cache().join("target-machines");
        let mut init = cargo(config.source(), &target);
        init.args(["--target", TARGET, "--package", "workspacefs-node-init"]);
        init.env("RUSTFLAGS", "-C target-feature=+crt-static");
        run(&mut init, b"", LIMIT)?;
        let mut shim = cargo(config.source(), &target);
        shim.args(["--package", "workspacefs-ptrace-shim"]).env_remove("RUSTFLAGS");
        run(&mut shim, b"", LIMIT)?;
        let folder = target.join(TARGET).join("release");
        Ok(Own {
            node_init: folder.join("node-init"),
            pause: folder.join("pause"),
            shim: target.join("release/libworkspacefs_ptrace_shim.so"),
        })
    }
}

fn cargo(source: &Path, target: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = command(&[program]);
    cargo.args(["build", "--quiet", "--release", "--manifest-path"]).arg(source.join("node-init/Cargo.toml"));
    cargo.arg("--target-dir").arg(target).env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}
