//! docs/performance.md from what was measured.

use workspacefs_bench::Summary;

use super::Measured;

/// The whole page.
pub fn render(measured: &Measured) -> String {
    let sections = [intro(measured), rpcs(measured), memory(measured), pods(measured)];
    format!("{}\n", sections.join("\n\n"))
}

fn intro(measured: &Measured) -> String {
    let machine = &measured.machine;
    format!(
        "# Performance\n\n\
         Written by `make bench`; measured on {day}. Compare the ratios: the figures themselves belong to the machine.\n\n\
         Machine: {processors} processors ({processor}), {memory} GiB. On it, everything in user-mode Linux machines of the test\n\
         cluster: worker n1 (kernel {kernel}, {worker} MiB, one processor), where system calls and context switches cost many times what they\n\
         cost on hardware, and an NFS server beside it. Bytes go over real NFS 4.2.",
        day = machine.day,
        processors = machine.processors,
        processor = machine.processor,
        memory = machine.memory_gib,
        kernel = machine.worker_kernel,
        worker = machine.worker_memory_mib,
    )
}

fn ratio(a: f64, b: f64) -> String {
    format!("{:.2}", a / b)
}

fn row(name: &str, summary: &Summary) -> String {
    format!("| {name} | {:.0} | {:.0} | {} |", summary.p50_us, summary.p99_us, summary.count)
}

fn rpcs(measured: &Measured) -> String {
    let r = &measured.driver;
    let lines = [
        "## Publishing a volume".to_owned(),
        String::new(),
        "Over the plugin's socket, of a folder on a share that is mounted. Each publish asks the share's helper process, which\n\
         opens the folder on the server; an empty RPC (Identity.Probe) on the same socket and `mount --bind`, started as a program,\n\
         are measured between the publishes of the same run."
            .to_owned(),
        String::new(),
        "| ratio | p50 | p99 | designed for (p50) |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        format!(
            "| NodePublishVolume / empty RPC | {} | {} | ≤ 3 where a helper is asked |",
            ratio(r.publish.p50_us, r.probe.p50_us),
            ratio(r.publish.p99_us, r.probe.p99_us)
        ),
        format!(
            "| exec of `mount --bind` / NodePublishVolume | {} | {} | |",
            ratio(r.exec_mount.p50_us, r.publish.p50_us),
            ratio(r.exec_mount.p99_us, r.publish.p99_us)
        ),
        format!(
            "| NodePublishVolume among {} others / alone | {} | {} | ≤ 1.5 |",
            r.many_mounts,
            ratio(r.publish_among_many.p50_us, r.publish.p50_us),
            ratio(r.publish_among_many.p99_us, r.publish.p99_us)
        ),
        String::new(),
        "| µs | p50 | p99 | samples |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row("empty RPC", &r.probe),
        row("NodePublishVolume", &r.publish),
        row("NodeUnpublishVolume", &r.unpublish),
        row(&format!("NodePublishVolume among {} others", r.many_mounts), &r.publish_among_many),
        row("exec of `mount --bind`", &r.exec_mount),
        row("exec of `umount`", &r.exec_umount),
        String::new(),
        format!(
            "Publish and unpublish: {:.0} pairs per second one after the other, {:.0} with {} callers at once.",
            r.pairs_per_second, r.pairs_per_second_concurrent, r.concurrent
        ),
    ];
    lines.join("\n")
}

fn memory(measured: &Measured) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    format!(
        "## Memory\n\n\
         Resident, after 30 s without work, in the installed DaemonSet: the node plugin with its Kubernetes client and its watch,\n\
         while one pod of the node uses a share. Registration and liveness are built in: there is no other container.\n\n\
         | process | MiB | designed for |\n| --- | --- | --- |\n\
         | node plugin | {:.1} | ≤ 12 |\n| helper process, one per share | {:.1} | |",
        mib(measured.memory.node_plugin),
        mib(measured.memory.helper),
    )
}

fn pods(measured: &Measured) -> String {
    let r = &measured.pods;
    let row = |name: &str, s: &Summary| {
        let (p50, p99) = (s.p50_us / 1e6, s.p99_us / 1e6);
        format!("| {name} | {} | {p50:.2} | {p99:.2} | {} |", ratio(s.p50_us, r.none.p50_us), s.count)
    };
    [
        "## Starting a pod".to_owned(),
        String::new(),
        "From the request to phase Running, one pod after the other on worker n1, image present, share mounted by another pod."
            .to_owned(),
        String::new(),
        "| pod with | ratio to no volume (p50) | p50, s | longest, s | pods |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
        row("no volume", &r.none),
        row("an emptyDir", &r.empty_dir),
        row("the claim `default`", &r.claim),
        row("an inline volume", &r.inline),
    ]
    .join("\n")
}
