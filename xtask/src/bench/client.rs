//! A Kubernetes client inside the cluster's network.

use anyhow::Result;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use workspacefs_e2e::Cluster;

/// Does `work` with an administrator's client.
pub fn with_client<T: Send>(
    cluster: &Cluster,
    work: impl AsyncFnOnce(Client) -> Result<T> + Send,
) -> Result<T> {
    // A thread of its own: it moves into the cluster's network for good.
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            cluster.enter_network()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig("admin"))?;
                let config =
                    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
                work(Client::try_from(config)?).await
            })
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
