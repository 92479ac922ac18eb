//! What the daemon says goes into our own log. It can write into a file only; that file is a pipe, so it cannot grow.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::{OpenOptions, Receiver};

/// The name of the pipe, as in [`crate::config`].
const FILE: &str = "log";

/// Makes the pipe, and holds it open: a daemon that writes waits for nobody.
///
/// # Errors
/// It cannot be made.
pub fn open(run: &Path) -> io::Result<Receiver> {
    let path = run.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Also for writing: without a writer there would be an end.
    OpenOptions::new().read_write(true).open_receiver(path)
}

/// Passes it on, line by line, for ever.
pub async fn pass_on(pipe: Receiver) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        // `2026/11/28 03:18:07 [23435] connect from ...`: the time is in our own line.
        let said = line.split_once("] ").map_or(&*line, |(_, said)| said);
        tracing::info!(target: "rsync", "{said}");
    }
}
