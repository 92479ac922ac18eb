//! `cargo xtask generate`.

#[derive(clap::Args)]
pub struct Args {}

/// Not written yet.
pub fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
