//! The part on local disks.

use super::super::local::Report;
use super::super::local::overshoot::{self, above};
use super::super::local::ratio::{Ratio, Verdict};
use super::super::local::speed::{self, Compared};
use super::super::local::volumes::{self, MANY};
use super::super::memory::Memory;
use super::{LOCAL_HEADING, NODE_PLUGIN_MIB_MAX, mib, missed, ratio, thousands};

/// Designed for, in the issue that asked for it.
const SPEED_RATIO_MIN: f64 = 0.99;
const OVERSHOOT_BYTES_MAX: u64 = 64 << 20;
const OVERSHOOT_PARTS_MIN: u64 = 100;
/// Of usage that does not depend on the number of files; the rest is what the disk's helper finds in its caches.
const USAGE_RATIO_MAX: f64 = 1.5;

/// All of it.
pub fn render(report: &Report) -> String {
    let sections = [
        intro(report),
        speed(&report.speed),
        overshoot(&report.overshoot),
        usage(&report.volumes),
        memory(&report.memory, &report.volumes),
    ];
    sections.join("\n\n")
}

fn intro(report: &Report) -> String {
    let machine = &report.machine.here;
    let other_work = machine.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    let file = match report.machine.disks_in_memory {
        true => "a file of 4 GiB in this computer's memory (tmpfs)",
        false => "a sparse file of 4 GiB of this computer, whose memory holds what is read again",
    };
    format!(
        "{LOCAL_HEADING}\n\n\
         Measured on {}, on a machine of {} processors ({}). The disk is the SSD of worker n1: {file}.\n\
         So what is compared is the way to the disk, not the disk.{other_work}",
        machine.day, machine.processors, machine.processor,
    )
}

fn speed(r: &speed::Report) -> String {
    let way = if r.direct {
        "past the page cache (O_DIRECT)"
    } else {
        "through the page cache, as this kernel has no O_DIRECT there"
    };
    let figure = |compared: &Compared, bytes: f64| match compared.pattern.block {
        small @ ..=65_535 => format!("{:.0} per second", bytes / small as f64),
        _ => format!("{:.1} MiB/s", bytes / f64::from(1 << 20)),
    };
    let compare = |ratio: &Ratio| format!("{:.3} | {:.3} to {:.3}", ratio.median, ratio.low, ratio.high);
    let table = |compared: &[Compared]| {
        let head = "| | claim | disk | ratio | surely within | disk and disk | surely within |\n\
                    | --- | --- | --- | --- | --- | --- | --- |";
        let rows = compared.iter().map(|compared| {
            format!(
                "| {} | {} | {} | {} | {} |",
                compared.pattern.name,
                figure(compared, compared.claim),
                figure(compared, compared.own),
                compare(&compared.ratio),
                compare(&compared.control)
            )
        });
        std::iter::once(head.to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
    };
    let mut parts = vec![
        "## Through a claim against the disk's own mount".to_owned(),
        format!(
            "fio in one pod, {way}, one call after the other, on one file of {} MiB that the pod has twice: in its workspace's claim, and\n\
             in the disk's own mount, by its path on the node, past the driver. It is laid out beforehand and written in place, so that the\n\
             blocks are the same; what a quota costs where blocks are new is not in it. {} rounds of {} ms each way; a ratio is the\n\
             median of the rounds', with the range that it lies in with 95 % confidence. The last two columns compare the disk's own mount with\n\
             itself: noise.",
            speed::MIB,
            speed::ROUNDS,
            speed::MILLISECONDS
        ),
        table(&r.compared),
        verdicts(&r.compared),
    ];
    if !r.by_call.is_empty() {
        parts.push(format!(
            "The same file by our own program (`file-bench turns`), through the pod's mount of the claim and through the disk's own, in turns\n\
             call by call for {} s: what slows the computer down for longer than a call slows both down. A ratio is the median of batches of\n\
             8 large or 256 small calls each way.",
            speed::CALL_SECONDS
        ));
        parts.extend([table(&r.by_call), verdicts(&r.by_call)]);
    }
    parts.join("\n\n")
}

/// What the ratios say of what was designed for, in a paragraph.
fn verdicts(compared: &[Compared]) -> String {
    let names = |wanted: Verdict| {
        let fit = compared.iter().filter(|compared| compared.ratio.at_least(SPEED_RATIO_MIN) == wanted);
        let names: Vec<String> = fit
            .map(|compared| format!("{} is {:.3}", compared.pattern.name, compared.ratio.median))
            .collect();
        names.join("; ")
    };
    let (unsure, missed) = (names(Verdict::Unsure), names(Verdict::Missed));
    let mut said = vec![format!("Designed for ≥ {SPEED_RATIO_MIN}.")];
    if !missed.is_empty() {
        said.push(format!("**Missed:** {missed}."));
    }
    if !unsure.is_empty() {
        said.push(format!("Below it, but not told from it, as it lies within the confidence: {unsure}."));
    }
    said.join(" ")
}

fn overshoot(r: &overshoot::Report) -> String {
    let allowed = OVERSHOOT_BYTES_MAX.max(r.quota / OVERSHOOT_PARTS_MIN);
    let row = |name: &str, ends: &[u64]| {
        let above = above(r.quota, ends);
        format!(
            "| {name} | {:.2} | {:.2} % | {} |",
            above as f64 / f64::from(1 << 20),
            100.0 * above as f64 / r.quota as f64,
            ends.len()
        )
    };
    let worst = above(r.quota, &r.direct).max(above(r.quota, &r.buffered));
    let mut lines = vec![
        "## Over the quota".to_owned(),
        String::new(),
        format!(
            "Root in a pod writes until `perWorkspaceQuota` of {} MiB stops it; then what lies on the disk above that, after a sync.",
            r.quota >> 20
        ),
        String::new(),
        "| writer | above the limit at most, MiB | of the limit | rounds |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row("past the page cache", &r.direct),
        row("into the page cache, fsync at the end", &r.buffered),
        String::new(),
        "Designed for ≤ 1 % or 64 MiB, whichever is more.".to_owned(),
    ];
    let shown = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    lines.extend(missed(&[("what lies above the limit, in MiB,", shown(worst), shown(allowed))], 2));
    lines.join("\n")
}

fn usage(r: &volumes::Report) -> String {
    let (few, many) = (&r.usage_with_few, &r.usage_with_many);
    let row = |files: usize, took: &workspacefs_bench::Summary| {
        format!("| {} | {:.0} | {:.0} | {} |", thousands(files), took.p50_us, took.p99_us, took.count)
    };
    let fewer = match r.many < r.wished {
        true => format!(" The disk has no room for {}.", thousands(r.wished)),
        false => String::new(),
    };
    let mut lines = vec![
        "## Usage of a volume with many files".to_owned(),
        String::new(),
        format!(
            "NodeGetVolumeStats by the plugin's socket, which asks the disk's helper for the quota's figures. With the most files it counted\n\
             {} files and directories.{fewer} A volume of so small a disk (4 GiB) may have fewer; its limit was raised by hand.",
            thousands(usize::try_from(many.inodes_counted).unwrap_or(usize::MAX))
        ),
        String::new(),
        "| files in the volume | p50, µs | p99, µs | samples |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row(r.few, &few.took),
        row(r.many, &many.took),
        format!(
            "| ratio | {} | {} | |",
            ratio(many.took.p50_us, few.took.p50_us),
            ratio(many.took.p99_us, few.took.p99_us)
        ),
    ];
    let grows = many.took.p50_us / few.took.p50_us;
    lines.extend(missed(&[("the ratio of p50", grows, USAGE_RATIO_MAX)], 2));
    lines.join("\n")
}

fn memory(installed: &Memory, r: &volumes::Report) -> String {
    let row = |name: &str, memory: &Memory| {
        format!("| {name} | {:.1} | {:.1} |", mib(memory.node_plugin), mib(memory.helper))
    };
    let more = mib(r.with_many.node_plugin) - mib(r.idle.node_plugin);
    let mut lines = vec![
        "## Memory with local disks".to_owned(),
        String::new(),
        format!(
            "Resident, after 30 s without work. The node plugin serves both drivers; each disk has one helper process. First as it is installed;\n\
             then a plugin of its own on the same node without kubelet, before and after the same share is published at {MANY} targets\n\
             ({more:+.1} MiB; one NodePublishVolume took {:.1} ms, p50).",
            r.publish.p50_us / 1e3
        ),
        String::new(),
        "| | node plugin, MiB | helper process of a disk, MiB |".to_owned(),
        "| --- | --- | --- |".to_owned(),
        row("installed, one pod uses the disk", installed),
        row("no volume", &r.idle),
        row(&format!("{MANY} volumes"), &r.with_many),
        String::new(),
        format!("The node plugin is designed for ≤ {NODE_PLUGIN_MIB_MAX} MiB when idle."),
    ];
    let figure = mib(installed.node_plugin);
    lines.extend(missed(&[("the installed node plugin's memory", figure, NODE_PLUGIN_MIB_MAX)], 1));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(median: f64, low: f64, high: f64) -> Compared {
        Compared {
            pattern: speed::PATTERNS[0],
            claim: median * 100.0,
            own: 100.0,
            ratio: Ratio { median, low, high },
            control: Ratio { median: 1.0, low: 0.9, high: 1.1 },
        }
    }

    #[test]
    fn a_ratio_that_is_met_is_not_mentioned_and_noise_is_not_called_a_miss() {
        assert_eq!(verdicts(&[compared(0.995, 0.9, 1.1)]), "Designed for ≥ 0.99.");
        let said = verdicts(&[compared(0.9, 0.89, 0.91), compared(0.98, 0.9, 1.1)]);
        assert!(said.contains("**Missed:** read from start to end is 0.900."), "{said}");
        assert!(
            said.contains("not told from it") && said.ends_with("read from start to end is 0.980."),
            "{said}"
        );
    }

    #[test]
    fn an_overshoot_is_missed_only_above_both_bounds() {
        let report = |above: u64| overshoot::Report {
            quota: 256 << 20,
            direct: vec![(256 << 20) + above],
            buffered: vec![200 << 20],
        };
        let said = overshoot(&report(8 << 20));
        assert!(said.contains("| past the page cache | 8.00 | 3.12 % | 1 |"), "{said}");
        assert!(said.contains("| into the page cache, fsync at the end | 0.00 | 0.00 % | 1 |"), "{said}");
        assert!(!said.contains("Missed"), "{said}");
        assert!(overshoot(&report(65 << 20)).contains("**Missed:**"));
    }
}
