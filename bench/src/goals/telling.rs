//! What a program that measures says: of each race on stderr while it runs, and its report on stdout, a line of JSON.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;

use super::{Race, RaceReport, Sample, Shape, Tool};

/// Measures a race; one that fails has a report that says so.
pub fn told(race: &Race, shape: Shape, measure: impl FnOnce() -> Result<RaceReport>) -> RaceReport {
    eprintln!("{}: {} ({})", race.name(), race.title, shape.words());
    let started = Instant::now();
    let report = measure().unwrap_or_else(|error| RaceReport {
        failed: Some(format!("{error:#}")),
        ..RaceReport::new(race, shape)
    });
    eprintln!("{}: {:.1} s in all", race.name(), started.elapsed().as_secs_f32());
    report
}

impl RaceReport {
    /// Prints it.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

impl Sample {
    /// Says what a run of this tool took.
    pub fn tell(&self, tool: &Tool) {
        let Self { seconds, sync_seconds, processor_seconds, memory_bytes, .. } = self;
        eprintln!(
            "    {:>24} {seconds:8.3} s, sync {sync_seconds:6.3} s, processor {processor_seconds:6.2} s, {:4} MB",
            tool.name,
            memory_bytes / 1_000_000
        );
    }
}
