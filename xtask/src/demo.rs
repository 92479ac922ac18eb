//! `cargo xtask demo`: the whole path on the test cluster, shown as it happens. Each step says what is done, then a
//! check mark with what was seen. Every check is counted. It can be run again, and leaves the cluster running.

mod steps;

use std::time::Instant;

use anyhow::Result;
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::images;

#[derive(clap::Args)]
pub struct Args {
    /// Which cluster
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// One step: what is done, what should be seen, and the function that does it and returns what it saw.
struct Step {
    does: &'static str,
    expects: &'static str,
    run: fn(&Cluster) -> Result<String>,
}

/// Starts what is missing, then runs every step. Without the product there is nothing to see: a failure to install ends it.
pub fn run(args: Args) -> Result<()> {
    println!("Building the images and starting the cluster, as far as they are not there yet.");
    images::build()?;
    let cluster = Cluster::up(&ClusterConfig::from_environment(&args.name)?)?;
    let install = Step {
        does: "helm upgrade --install workspacefs charts/workspacefs --namespace workspacefs-system",
        expects: "every pod of the chart is ready",
        run: |cluster| {
            product::install(cluster, &images::build()?, &product::values())?;
            steps::what_is_installed(cluster)
        },
    };
    let (mut passed, mut failed) = (0, 0);
    for step in std::iter::once(&install).chain(&steps::STEPS) {
        match step.show(&cluster) {
            true => passed += 1,
            false => failed += 1,
        }
        if passed == 0 {
            break;
        }
    }
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

impl Step {
    fn show(&self, cluster: &Cluster) -> bool {
        println!("\n$ {}", self.does);
        let started = Instant::now();
        let result = (self.run)(cluster);
        let took = started.elapsed().as_secs_f32();
        match &result {
            Ok(seen) => {
                println!("  ✓ {} ({took:.1} s)", self.expects);
                seen.lines().for_each(|line| println!("    {line}"));
            }
            Err(error) => println!("  ✗ {} ({took:.1} s): {error:#}", self.expects),
        }
        result.is_ok()
    }
}

fn next_commands(name: &str) {
    let cluster = if name == "dev" {
        String::new()
    } else {
        format!(" --name {name}")
    };
    let kubectl = format!("cargo xtask cluster{cluster} kubectl --");
    println!("\nThe cluster keeps running. Try:");
    println!("  {kubectl} get filesystems --all-namespaces");
    println!("  {kubectl} get pods,pvc --namespace team-a --output wide");
    println!("  {kubectl} exec --namespace team-a -it devpod-0 -- sh");
    println!("  {kubectl} describe filesystem scratch --namespace team-a");
    println!("  cargo xtask cluster{cluster} down\n");
}
