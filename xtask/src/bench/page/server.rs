//! The part on the embedded server.

use workspacefs_bench::Summary;

use super::super::claims::Reached;
use super::super::server::{Memory, Report};
use super::super::{deletion, throughput};
use super::{SERVER_HEADING, mib, missed, ratio, thousands};

/// Designed for, in the issue that asked for it.
const DELETE_SECONDS_MAX: f64 = 1.0;

/// All of it.
pub fn render(report: &Report) -> String {
    let sections = [
        intro(report),
        claims(report),
        deletion(&report.deletion),
        usage(&report.deletion),
        throughput(&report.throughput),
        memory(&report.memory_idle, &report.memory_after),
    ];
    sections.join("\n\n")
}

fn intro(report: &Report) -> String {
    let other_work = report.machine.here.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "{SERVER_HEADING}\n\n\
         Measured on {}, on a machine of {} processors ({}). The server runs on worker n1, its disk is a sparse file of this computer;\n\
         the client is worker n2. Their network loses a frame now and then under load, and TCP waits 0.2 s at least before it sends it again:\n\
         what p99 says below is probably that; single calls were not traced.{other_work}",
        report.machine.here.day, report.machine.here.processors, report.machine.here.processor,
    )
}

fn seconds(us: f64) -> String {
    format!("{:.2}", us / 1e6)
}

fn milliseconds(us: f64) -> String {
    format!("{:.1}", us / 1e3)
}

fn claims(report: &Report) -> String {
    let r = &report.claims;
    let row = |name: &str, reached: &Reached| {
        let took = &reached.took;
        format!(
            "| {name} | {} | {} | {:.1} |",
            seconds(took.p50_us),
            seconds(took.p99_us),
            reached.per_second
        )
    };
    [
        format!("## {} claims at once", thousands(r.bound.took.count)),
        String::new(),
        format!(
            "Of one StorageClass `<namespace>.<filesystem>`, from each claim's request. external-provisioner makes the volume, with\n\
             `--kube-api-qps={} --kube-api-burst={}` as the chart sets them (`controller.kubeAPIQPS`, `controller.kubeAPIBurst`); then\n\
             kube-controller-manager binds the claim, here with its own default of 20 requests per second: probably what the second line waits for.",
            r.kube_api_qps, r.kube_api_burst
        ),
        String::new(),
        "| until | p50, s | p99, s | volumes per second |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row("its PersistentVolume is there", &r.made),
        row("it is Bound", &r.bound),
    ]
    .join("\n")
}

fn deletion(r: &deletion::Report) -> String {
    let table = format!(
        "## Deleting a volume of {files} files\n\n\
         The call DeleteVolume only moves the folder (of empty files, 1,000 a directory) into the trash, which is then emptied in the\n\
         background, here at once. Meanwhile a client writes 4 KiB and syncs, again and again, on the same server.\n\n\
         | DeleteVolume, s | designed for | emptied per second |\n| --- | --- | --- |\n\
         | {delete:.3} | ≤ {DELETE_SECONDS_MAX} | {emptied:.0} |",
        files = thousands(r.volume.many),
        delete = r.delete_s,
        emptied = r.emptied_per_second,
    );
    let mut lines = vec![table];
    lines.extend(missed(&[("DeleteVolume, in seconds,", r.delete_s, DELETE_SECONDS_MAX)], 3));
    let (before, during) = (&r.writes_before, &r.writes_while_emptying);
    let row = |name: &str, writes: &Summary| {
        format!(
            "| {name} | {} | {} | {} |",
            milliseconds(writes.p50_us),
            milliseconds(writes.p99_us),
            writes.count
        )
    };
    lines.extend([
        String::new(),
        "| synced writes of 4 KiB | p50, ms | p99, ms | in a minute |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row("before", before),
        row("while the trash is emptied", during),
        format!(
            "| ratio | {} | {} | {} |",
            ratio(during.p50_us, before.p50_us),
            ratio(during.p99_us, before.p99_us),
            ratio(during.count as f64, before.count as f64)
        ),
    ]);
    lines.join("\n")
}

fn usage(r: &deletion::Report) -> String {
    let v = &r.volume;
    let row = |files: usize, summary: &Summary| {
        format!(
            "| {} | {:.0} | {:.0} | {} |",
            thousands(files),
            summary.p50_us,
            summary.p99_us,
            summary.count
        )
    };
    [
        "## Asking for usage".to_owned(),
        String::new(),
        format!(
            "The agent's ListFileSystems, by its socket: the quotas' figures of all FileSystems and claims. With the most files it counted\n\
             {} files and directories in the volume.",
            v.inodes_counted
        ),
        String::new(),
        "| files in the volume | p50, µs | p99, µs | samples |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row(v.few, &v.usage_with_few),
        row(v.many, &v.usage_with_many),
        format!(
            "| ratio | {} | {} | |",
            ratio(v.usage_with_many.p50_us, v.usage_with_few.p50_us),
            ratio(v.usage_with_many.p99_us, v.usage_with_few.p99_us)
        ),
    ]
    .join("\n")
}

fn throughput(r: &throughput::Report) -> String {
    let (g, k) = (&r.ganesha, &r.kernel);
    let speed = |name: &str, ganesha: f64, kernel: f64| {
        format!("| {name}, MiB/s | {ganesha:.1} | {kernel:.1} | {} |", ratio(ganesha, kernel))
    };
    let calls = |name: &str, ganesha: &Summary, kernel: &Summary| {
        // One after the other: the rate is what half of them allow.
        let per_second = |summary: &Summary| 1e6 / summary.p50_us;
        let percentile = |percent: &str, ganesha: f64, kernel: f64| {
            format!("| {name}, {percent}, ms | {} | {} | |", milliseconds(ganesha), milliseconds(kernel))
        };
        [
            speed(name, per_second(ganesha), per_second(kernel)).replace("MiB/s", "per second (p50)"),
            percentile("p50", ganesha.p50_us, kernel.p50_us),
            percentile("p99", ganesha.p99_us, kernel.p99_us),
        ]
        .join("\n")
    };
    [
        "## NFS-Ganesha against the kernel's server".to_owned(),
        String::new(),
        format!(
            "The same folder on the same disk by both: the embedded server at its Service address, in its pod; and the kernel's nfsd on the\n\
             same machine. One client, one file of {} MiB that the server's memory holds, {} rounds of one after the other, median. A ratio\n\
             above 1 says that Ganesha is faster.",
            throughput::MIB,
            throughput::ROUNDS
        ),
        String::new(),
        "| | Ganesha | kernel | Ganesha / kernel |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        speed("write from start to end, fsync", g.write_mib_s, k.write_mib_s),
        speed("read from start to end", g.read_mib_s, k.read_mib_s),
        calls("write 4 KiB, fdatasync", &g.write_4k, &k.write_4k),
        calls("read 4 KiB, O_DIRECT", &g.read_4k, &k.read_4k),
    ]
    .join("\n")
}

fn memory(idle: &Memory, after: &Memory) -> String {
    let row =
        |name: &str, idle: u64, after: u64| format!("| {name} | {:.1} | {:.1} |", mib(idle), mib(after));
    [
        "## Memory of the server".to_owned(),
        String::new(),
        "Resident: 30 s after its start, and after everything above, while the trash is emptied. The agent is two processes, of which\n\
         the container's first only starts the other; both are counted."
            .to_owned(),
        String::new(),
        "| process | idle, MiB | after the load, MiB |".to_owned(),
        "| --- | --- | --- |".to_owned(),
        row("agent", idle.agent, after.agent),
        row("ganesha.nfsd", idle.ganesha, after.ganesha),
    ]
    .join("\n")
}
