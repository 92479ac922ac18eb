//! Reads all files of a tree to their ends, as a program does that is given a folder: to be measured on a cache's copy and on its
//! source. Prints how much it was.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;

const BUFFER_BYTES: usize = 1 << 20;

#[derive(Parser)]
struct Args {
    /// The tree
    tree: PathBuf,
    /// How many read at a time, each a file
    #[arg(long, default_value_t = 1)]
    readers: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let read = AtomicU64::new(0);
    let folders = Mutex::new(vec![args.tree]);
    let files = Mutex::new(Vec::new());
    while let Some(folder) = pop(&folders)? {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() { &folders } else { &files };
            list.lock().map_err(|_| anyhow!("a reader panicked"))?.push(entry.path());
        }
    }
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..args.readers).map(|_| scope.spawn(|| read_all(&files, &read))).collect();
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| anyhow!("a reader panicked"))?)
    })?;
    eprintln!("{} bytes", read.into_inner());
    Ok(())
}

fn pop(paths: &Mutex<Vec<PathBuf>>) -> Result<Option<PathBuf>> {
    Ok(paths.lock().map_err(|_| anyhow!("a reader panicked"))?.pop())
}

fn read_all(files: &Mutex<Vec<PathBuf>>, read: &AtomicU64) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(path) = pop(files)? {
        read.fetch_add(
            read_file(&path, &mut buffer).with_context(|| path.display().to_string())?,
            Ordering::Relaxed,
        );
    }
    Ok(())
}

fn read_file(path: &Path, buffer: &mut [u8]) -> Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut bytes = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(bytes),
            some => bytes += some as u64,
        }
    }
}
