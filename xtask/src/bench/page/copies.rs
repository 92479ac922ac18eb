//! The part on the command line in the cluster.

use super::super::copies::Report;
use super::COPIES_HEADING;
use super::trees::sections;

/// All of it.
pub fn render(report: &Report) -> String {
    sections(intro(report), &report.races)
}

fn intro(report: &Report) -> String {
    let here = &report.machine.here;
    let other_work = here.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "{COPIES_HEADING}\n\n\
         Measured on {day}, on a machine of {processors} processors ({processor}), {memory} GiB, that is all of it at once: the person's computer, the API server, and the\n\
         user-mode Linux machines of the test cluster (kernel {kernel}, one processor each). Against {peers}. Compare the ratios.\n\n\
         To the API server, to the gateway's Service and to the daemon's port every byte waits 10 ms in each direction, and a connection a round trip before its first\n\
         byte (the proxy of the part before). `wfs` has a kubeconfig and nothing else: the API server forwards a port of the gateway's pod, on n1; with WFS_URL it goes to\n\
         the gateway itself. `kubectl cp` goes through the same API server to `tar` in a pod on n2, where `files` and the rsync daemon run too: all write to one NFS server.\n\
         `wfs --rsync` is rsync through the API server and the gateway, in TLS; rsync by itself goes to the daemon's exposed port, in clear text.\n\n\
         Each runs once, as a peer takes minutes, into a new folder, with the machines' caches empty; then the machines sync. What arrived was compared with what was sent,\n\
         names and contents. A ratio counts until all is on the disk. Processor time and memory are the client's. `kubectl cp` goes by SPDY: by WebSocket, its default, it ended with an\n\
         i/o timeout.\n\n\
         tar and rsync make one file after the other, and at each one's end the NFS client waits until its server has it on the disk: so little is left for the sync. `wfs` has\n\
         many files under way at once, of which `files` answers when they are on the disk. We take that for the reason, and did not measure it by itself; in the part before, where the file system is the\n\
         server's own, a tar stream without an API server is ahead.{other_work}",
        day = here.day,
        processors = here.processors,
        processor = here.processor,
        memory = here.memory_gib,
        kernel = report.machine.worker_kernel,
        peers = report.peers,
    )
}
