//! The part on files over HTTP and imports from buckets.

use super::super::trees::Report;
use super::TRANSFERS_HEADING;
use super::trees::sections;

/// All of it.
pub fn render(report: &Report) -> String {
    sections(intro(report), &report.races)
}

fn intro(report: &Report) -> String {
    let here = &report.here;
    let other_work = here.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "{TRANSFERS_HEADING}\n\n\
         Measured on {day}, on this computer itself, over loopback: {processors} processors ({processor}), {memory} GiB, kernel {kernel}.\n\
         Against {peers}.\n\n\
         `files` is the program as it is installed, started anew for each run. It speaks nothing but TLS (here 1.3), and believes a request by its signed\n\
         assertion. nginx is measured with the same certificate (ECDSA, P-256) and the same cipher (AES-256-GCM), where it reads and encrypts\n\
         what it sends as by default, without sendfile, which would need TLS in the kernel: that is what the ratios are of. Beside it stands nginx without TLS,\n\
         where it uses sendfile. The client is curl, with the same options for all. What is downloaded lies in a tmpfs; what is uploaded or imported goes\n\
         to XFS on a loop device with direct I/O. `files` answers once all is on the disk, and checks the SHA-256 that it is told; nginx answers once\n\
         it is in the computer's memory and hashes nothing. So an upload's ratios count until all is on the disk: nginx's time with the sync after it.\n\n\
         Objects come from the test kit's S3 service, which checks each request's signature and lets each answer's first byte wait 30 ms. The time of\n\
         `files` is from the request that begins an import until it says that all is there, on the disk and compared: small objects by the MD5 that\n\
         is their ETag, the large one by its CRC-64/NVME. s5cmd and rclone do not sync: here too a ratio counts the sync after them. Each run's result was compared with its source, byte by byte.\n\n\
         All run one after the other, in two rounds of opposite order; a ratio compares the peer's better run with our worse one. Where two runs of\n\
         each cannot tell who is faster, all that is done three times, and the median of the three counts. Processor time and memory are the\n\
         server's where there is a server, not curl's.{other_work}",
        day = here.day,
        processors = here.processors,
        processor = here.processor,
        memory = here.memory_gib,
        kernel = here.kernel,
        peers = report.peers,
    )
}
