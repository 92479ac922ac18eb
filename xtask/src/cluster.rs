//! `cargo xtask cluster`: the test cluster by hand.

use anyhow::{Context, bail};
use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use workspacefs_e2e::host::forward::Forwarder;
use workspacefs_e2e::machine::Stream;
use workspacefs_e2e::progress::Progress;
use workspacefs_e2e::{Cluster, ClusterConfig, Machine};

/// Arguments of `cargo xtask cluster`.
#[derive(clap::Args)]
pub struct Args {
    /// Which cluster
    #[arg(long, global = true, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Start it; does nothing when it runs and is well
    Up,
    /// Stop it and remove everything it left
    Down,
    /// What of it runs
    Status,
    /// Run kubectl in its network
    Kubectl {
        /// Whose kubeconfig: admin, nobody, n1 ...
        #[arg(long = "as-user", default_value = "admin")]
        user: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run any program of this computer in its network, with KUBECONFIG set and kubectl and helm in PATH
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Run a program on a machine: node n1 -- uptime
    Node {
        /// n1, n2 or nfs
        machine: String,
        /// After this many seconds it is killed
        #[arg(long, default_value_t = 600)]
        limit: u64,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Give the workers' containerd an image, a docker-archive tar
    Import {
        /// The archive
        archive: PathBuf,
    },
    /// Lead a port of this computer's loopback into its network, until Ctrl-C
    Forward {
        /// The port here
        port: u16,
        /// Address and port there
        to: SocketAddr,
    },
    /// Stop a machine as a hang would
    Freeze {
        /// n1, n2 or nfs
        machine: String,
    },
    /// Let a frozen machine go on
    Thaw {
        /// n1, n2 or nfs
        machine: String,
    },
    /// Pull or plug a machine's network cable
    Cable {
        /// n1, n2 or nfs
        machine: String,
        /// out or in
        state: Cable,
    },
    /// Delay frames to a machine; 0 ends it
    Latency {
        /// n1, n2 or nfs
        machine: String,
        /// Milliseconds
        delay: u64,
        /// Percent of frames that are lost
        #[arg(long, default_value_t = 0.0)]
        loss: f32,
    },
    /// Switch a machine off without telling it
    Power {
        /// n1, n2 or nfs
        machine: String,
    },
    /// Switch a machine on again
    Boot {
        /// n1, n2 or nfs
        machine: String,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Cable {
    /// Pulled
    Out,
    /// Plugged
    In,
}

/// Carries out one verb.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = ClusterConfig::from_environment(&args.name)?;
    match args.verb {
        Verb::Up => up(&config),
        Verb::Down => {
            Cluster::down(&config, &Progress::default())?;
            println!("nothing is left of the cluster {}", config.name());
            Ok(())
        }
        Verb::Status => status(&Cluster::attach(&config)?),
        Verb::Kubectl { user, arguments } => {
            let cluster = Cluster::attach(&config)?;
            let mut kubectl = cluster.command("kubectl", &user)?;
            end_like(cluster.run_attached(kubectl.args(arguments))?)
        }
        Verb::Exec { command } => exec(&Cluster::attach(&config)?, &command),
        Verb::Node { machine, limit, command } => node(&machine_of(&config, &machine)?, limit, &command),
        Verb::Import { archive } => Ok(Cluster::attach(&config)?.import_image(&archive)?),
        Verb::Forward { port, to } => {
            let forwarder = Forwarder::listen(port)?;
            println!("{} leads to {to}", forwarder.address()?);
            Ok(forwarder.run(Cluster::attach(&config)?.namespace(), to)?)
        }
        Verb::Freeze { machine } => Ok(machine_of(&config, &machine)?.freeze()?),
        Verb::Thaw { machine } => Ok(machine_of(&config, &machine)?.thaw()?),
        Verb::Cable { machine, state: Cable::Out } => Ok(machine_of(&config, &machine)?.pull_cable()?),
        Verb::Cable { machine, state: Cable::In } => Ok(machine_of(&config, &machine)?.plug_cable()?),
        Verb::Latency { machine, delay, loss } => {
            let machine = machine_of(&config, &machine)?;
            match (delay, loss) {
                (0, 0.0) => Ok(machine.clear_latency()?),
                _ => Ok(machine.set_latency(Duration::from_millis(delay), loss)?),
            }
        }
        Verb::Power { machine } => Ok(machine_of(&config, &machine)?.cut_power()?),
        Verb::Boot { machine } => Ok(machine_of(&config, &machine)?.boot()?),
    }
}

fn machine_of(config: &ClusterConfig, name: &str) -> anyhow::Result<Machine> {
    Ok(Cluster::attach(config)?.machine(name)?)
}

fn up(config: &ClusterConfig) -> anyhow::Result<()> {
    let cluster = Cluster::up(config)?;
    println!("Nodes:      cargo xtask cluster --name {} kubectl get nodes", cluster.name());
    println!("A machine:  cargo xtask cluster --name {} node nfs -- exportfs", cluster.name());
    println!("kubeconfig: {}", cluster.kubeconfig("admin").display());
    Ok(())
}

fn status(cluster: &Cluster) -> anyhow::Result<()> {
    let status = cluster.status()?;
    for (part, state) in &status.parts {
        println!("{part:<24} {state}");
    }
    if !status.is_well() {
        bail!("not all of the cluster {} is well", cluster.name());
    }
    Ok(())
}

fn exec(cluster: &Cluster, command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no program named")?;
    let mut path = std::ffi::OsString::new();
    for tool in ["kubectl", "helm"] {
        path.push(cluster.program(tool)?.parent().context("a program without a folder")?);
        path.push(":");
    }
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut child = std::process::Command::new(program);
    child.args(arguments).env("KUBECONFIG", cluster.kubeconfig("admin")).env("PATH", path);
    end_like(cluster.run_attached(&mut child)?)
}

fn node(machine: &Machine, limit: u64, command: &[String]) -> anyhow::Result<()> {
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    // A terminal never ends by itself; who wants to send input pipes it in.
    let stdin = std::io::stdin();
    let input: Box<dyn Read + Send> =
        if stdin.is_terminal() { Box::new(std::io::empty()) } else { Box::new(stdin) };
    let mut failed = None;
    let code = machine.stream(&argv, input, Duration::from_secs(limit), |stream, bytes| {
        let written = match stream {
            Stream::Stdout => std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()),
            Stream::Stderr => std::io::stderr().write_all(bytes),
        };
        failed = failed.take().or(written.err());
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => std::process::exit(code),
    }
}

/// Ends this process as the program it ran did.
fn end_like(status: std::process::ExitStatus) -> anyhow::Result<()> {
    match status.code() {
        Some(code) => std::process::exit(code),
        None => bail!("it ended with {status}"),
    }
}
