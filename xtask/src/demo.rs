//! `cargo xtask demo`: the whole path on the test cluster, shown as it happens. Each step says what is done, then a
//! check mark with what was seen. Every check is counted. It can be run again, and leaves the cluster running.
//! `cargo xtask demo cache` shows a cache in the same manner, `cargo xtask demo dashboard` the files of a workspace in a browser.

mod cache;
mod dashboard;
mod steps;

use std::time::Instant;

use anyhow::Result;
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::images;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// Which cluster
    #[arg(long, global = true, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
    /// Take the product as it is on the cluster
    #[arg(long, global = true)]
    as_installed: bool,
}

/// What else can be shown than the whole path.
#[derive(clap::Subcommand)]
enum Instead {
    /// A dataset over a slow link, and its copy on a node's disk: what a Job's reading takes without and with it
    Cache,
    /// A workspace with sample data, and the address at which a browser of this computer manages its files, until Ctrl-C
    Dashboard,
}

/// One step: what is done, what should be seen, and the function that does it and returns what it saw.
struct Step {
    does: &'static str,
    expects: &'static str,
    run: fn(&Cluster) -> Result<String>,
}

/// Starts what is missing, then runs every step. Without the product there is nothing to see: a failure to install ends it.
pub fn run(args: Args) -> Result<()> {
    match args.instead {
        Some(Instead::Cache) => return cache::run(&args.name, args.as_installed),
        Some(Instead::Dashboard) => return dashboard::run(&args.name, args.as_installed),
        None => {}
    }
    println!("Building the images and starting the cluster, as far as they are not there yet.");
    let images = if args.as_installed { None } else { Some(images::build_with_server()?) };
    let cluster = Cluster::up(&ClusterConfig::from_environment(&args.name)?)?;
    let installed = show(
        "helm upgrade --install workspacefs charts/workspacefs --namespace workspacefs-system, with nfsServer.storage.block, files.enabled, dashboard.enabled",
        "every pod of the chart is ready, the embedded NFS server on a blank disk of n1 too",
        || {
            if let Some(images) = &images {
                let mut values = product::values_with_server();
                product::add_files(&mut values);
                product::install_with_server(&cluster, images, &values)?;
            }
            steps::what_is_installed(&cluster)
        },
    );
    let mut outcomes = vec![installed];
    if installed {
        let step = |step: &Step| show(step.does, step.expects, || (step.run)(&cluster));
        outcomes.extend(steps::STEPS.iter().map(step));
        outcomes.push(show(
            "kubectl create serviceaccount visitor; kubectl create rolebinding visitor --clusterrole=workspacefs-editor",
            "the dashboard answers at a port of this computer, until the cluster goes down or another demo takes it",
            || dashboard::opened(&cluster, steps::WORKSPACE),
        ));
    }
    let passed = outcomes.iter().filter(|passed| **passed).count();
    let failed = outcomes.len() - passed;
    if failed == 0 {
        next_commands(&args.name);
    }
    println!("demo: {passed} passed, {failed} failed");
    if failed > 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// Says what is done, does it, and says what was seen. Returns whether it was what `expects` says.
fn show(does: &str, expects: &str, run: impl FnOnce() -> Result<String>) -> bool {
    let started = begin(does);
    end(expects, started, &run())
}

fn begin(does: &str) -> Instant {
    println!("\n$ {does}");
    Instant::now()
}

fn end(expects: &str, started: Instant, result: &Result<String>) -> bool {
    let took = started.elapsed().as_secs_f32();
    match result {
        Ok(seen) => {
            println!("  ✓ {expects} ({took:.1} s)");
            seen.lines().for_each(|line| println!("    {line}"));
        }
        Err(error) => println!("  ✗ {expects} ({took:.1} s): {error:#}"),
    }
    result.is_ok()
}

fn next_commands(name: &str) {
    let cluster = if name == "dev" { String::new() } else { format!(" --name {name}") };
    // By make: it sets the caches. The words are quoted for it as a whole.
    let kubectl = |words: &str| println!("  make xtask ARGS=\"cluster{cluster} kubectl -- {words}\"");
    println!("\nThe cluster keeps running. Try:");
    kubectl("get filesystems --all-namespaces");
    kubectl("get pods,pvc --namespace team-a --output wide");
    kubectl("exec --namespace team-a -it devpod-0 -- sh");
    kubectl("describe filesystem scratch --namespace team-a");
    println!("  make xtask ARGS=\"cluster{cluster} down\"\n");
}
