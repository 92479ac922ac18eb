//! The mover's process: arguments, logs, HTTP port, signals, and the exit code. Everything else is in the library.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use workspacefs_api::mover::{FailureReason, Outcome};
use workspacefs_mover::{Args, CopyEngine, Job, Meter, failed, run, serve};
use workspacefs_runtime::{logging, shutdown};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    logging::init()?;
    let outcome = begin(&args).unwrap_or_else(|error| failed(error.as_ref()));
    let message = outcome.to_message();
    match &outcome.failure {
        None => tracing::info!(outcome = message, "done"),
        Some(failure) => tracing::error!(outcome = message, reason = ?failure.reason, "{}", failure.message),
    }
    // In place: it is a mount of kubelet's.
    std::fs::write(&args.outcome, message).with_context(|| format!("cannot write {:?}", args.outcome))?;
    // Only a pod that was told to end is to be followed by another of its Job at once. Of all else the operator decides by the
    // outcome, and it learns that when the Job has ended.
    let is_over = outcome.failure.is_none_or(|failure| failure.reason != FailureReason::Interrupted);
    Ok(if is_over { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn begin(args: &Args) -> anyhow::Result<Outcome> {
    let job = args.job()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(accompany(args, job))
}

/// Lets a thread of its own work, and answers for it meanwhile.
async fn accompany(args: &Args, job: Job) -> anyhow::Result<Outcome> {
    let meter = Meter::new(job.generation());
    let stop = shutdown::signal()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let (tell, told) = oneshot::channel();
    let working = meter.clone();
    std::thread::Builder::new()
        .name("mover".to_owned())
        .spawn(move || tell.send(run(&job, &CopyEngine, &working)))
        .context("cannot start a thread")?;
    let stopping = meter.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        stopping.stop();
    });
    tokio::select! {
        outcome = told => outcome.context("the working thread has panicked"),
        served = serve(listener, meter) => Err(served.err().context("the HTTP port")?.into()),
    }
}
