//! Archives read by programs of others: Debian's tar, and Python's zipfile where there is one.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use axum::body::Body;

use super::*;
use crate::root::Owner;

fn root(dir: &Path) -> Arc<Root> {
    Arc::new(Root::open(dir, Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap())
}

/// The archive's bytes; an error where it is broken.
fn made(root: &Arc<Root>, path: &str, format: Format) -> Result<Vec<u8>, axum::Error> {
    let path = workspacefs_files_proto::FilePath::decode(path).unwrap();
    let folder = root.folder(&path).unwrap();
    let name = path.split().map_or(Vec::new(), |(_, name)| name.to_vec());
    let (pipe, body) = pipe();
    let root = Arc::clone(root);
    let writer = std::thread::spawn(move || write(&root, &folder, &name, format, pipe));
    let bytes = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read(body));
    let written = writer.join().unwrap();
    assert_eq!(written.is_ok(), bytes.is_ok());
    bytes
}

async fn read(body: Body) -> Result<Vec<u8>, axum::Error> {
    Ok(axum::body::to_bytes(body, usize::MAX).await?.to_vec())
}

fn tree(dir: &Path) {
    fs::create_dir_all(dir.join("top/empty")).unwrap();
    fs::create_dir_all(dir.join("top").join("d".repeat(200))).unwrap();
    fs::write(dir.join("top/a"), "alpha").unwrap();
    fs::write(dir.join("top").join("d".repeat(200)).join("l".repeat(200)), vec![7; 300_000]).unwrap();
    fs::write(dir.join("top").join(std::ffi::OsStr::from_bytes(b"not\xffutf8\n")), "x").unwrap();
    symlink("..", dir.join("top/loop")).unwrap();
    symlink("/etc/passwd", dir.join("top/out")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("top/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
}

#[test]
fn a_tar_unpacks_to_the_same_tree_with_its_links_as_links() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    let bytes = made(&root(dir.path()), "top", Format::Tar).unwrap();
    fs::write(out.path().join("t.tar"), bytes).unwrap();
    let status = Command::new("tar").args(["-xf", "t.tar"]).current_dir(out.path()).status().unwrap();
    assert!(status.success());
    fs::remove_file(dir.path().join("top/fifo")).unwrap();
    let same = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([dir.path().join("top"), out.path().join("top")])
        .output()
        .unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    assert_eq!(fs::read_link(out.path().join("top/out")).unwrap(), Path::new("/etc/passwd"));
}

/// What Python's zipfile says of it: each name with its size, and whether every checksum is right.
fn zip_names(dir: &Path, bytes: &[u8]) -> String {
    let path = dir.join("t.zip");
    fs::write(&path, bytes).unwrap();
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nprint(z.testzip())\nfor i in z.infolist():\n  \
                  print(ascii(i.filename),i.file_size,oct(i.external_attr>>16),i.date_time)";
    let output = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_zip_is_whole_for_a_program_of_others_and_a_backslash_is_no_folder() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    fs::write(dir.path().join("top").join(r"..\..\evil"), "x").unwrap();
    let bytes = made(&root(dir.path()), "top", Format::Zip).unwrap();
    let names = zip_names(out.path(), &bytes);
    assert!(names.starts_with("None\n"), "{names}");
    for part in ["'top/a' 5 0o100", "'top/empty/' 0 0o40", "'top/loop' 2 0o120777", "'top/..%5C..%5Cevil' 1 "]
    {
        assert!(names.contains(part), "{part}: {names}");
    }
    assert!(names.contains(" 300000 ") && !names.contains("fifo"), "{names}");
}

#[test]
fn more_files_than_sixteen_bits_count_and_than_memory_lists_are_in_a_zip() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("many")).unwrap();
    for n in 0..70_000 {
        fs::write(dir.path().join(format!("many/{n:05}")), "").unwrap();
    }
    let bytes = made(&root(dir.path()), "many", Format::Zip).unwrap();
    let names = zip_names(out.path(), &bytes);
    assert_eq!(names.lines().count(), 1 + 1 + 70_000);
    let left: Vec<_> = fs::read_dir(dir.path().join(".workspacefs-files/uploads")).unwrap().collect();
    assert!(left.is_empty(), "the list's file is gone: {left:?}");
}

#[test]
fn a_file_that_becomes_shorter_breaks_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("top")).unwrap();
    let root = root(dir.path());
    let folder = root.folder(&workspacefs_files_proto::FilePath::decode("top").unwrap()).unwrap();
    for format in [Format::Tar, Format::Zip] {
        // Larger than all that waits in the pipe.
        fs::write(dir.path().join("top/big"), vec![1; 4 << 20]).unwrap();
        let (pipe, body) = pipe();
        let (writer_root, writer_folder) = (Arc::clone(&root), folder.try_clone().unwrap());
        let writer = std::thread::spawn(move || write(&writer_root, &writer_folder, b"top", format, pipe));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(async {
            use futures::StreamExt as _;
            let mut stream = body.into_data_stream();
            stream.next().await.unwrap().unwrap();
            fs::write(dir.path().join("top/big"), "short").unwrap();
            while let Some(piece) = stream.next().await {
                piece?;
            }
            Ok::<_, axum::Error>(())
        });
        assert!(result.is_err(), "{format:?}");
        let error = writer.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn hidden_folders_are_in_no_archive_of_the_root() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".workspacefs/cache")).unwrap();
    fs::write(dir.path().join("seen"), "").unwrap();
    let bytes = made(&root(dir.path()), "", Format::Tar).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("seen") && !text.contains(".workspacefs"), "{text}");
}

#[test]
fn a_zip_breaks_off_at_a_name_that_it_cannot_hold() {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let name = "n".repeat(255);
    let mut folder = openat(CWD, dir.path(), flags, Mode::empty()).unwrap();
    for depth in 1..=256 {
        if depth == 256 {
            // With its slash the next one's path is one byte too long.
            assert!(made(&root, "", Format::Zip).is_ok());
        }
        mkdirat(&folder, name.as_str(), Mode::RWXU).unwrap();
        folder = openat(&folder, name.as_str(), flags, Mode::empty()).unwrap();
    }
    assert!(made(&root, "", Format::Zip).is_err());
    assert!(made(&root, "", Format::Tar).is_ok());
}

/// Set in the process of its own in which memory is measured, to the form.
const MEASURED: &str = "WSFS_TEST_ARCHIVE";

/// What the process has in memory, bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Entries as a walk would tell them, of files that are nowhere: how much more is in memory after a million than after the
/// first tenth, at most.
fn growth(format: Format) -> u64 {
    const ENTRIES: u32 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let (root, (pipe, body)) = (root(dir.path()), pipe());
    let facts = Facts { size: 1, ..Facts::of(root.as_fd()).unwrap() };
    let reader = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            use futures::StreamExt as _;
            let mut stream = body.into_data_stream();
            while let Some(piece) = stream.next().await {
                piece.unwrap();
            }
        });
    });
    let mut archive = begun(&root, format, pipe);
    let (mut early, mut most) = (0, 0);
    for n in 0..ENTRIES {
        let path = format!("folder-{}/file-{n}", n / 1000);
        archive.file(path.as_bytes(), &facts, &mut &b"x"[..]).unwrap();
        if n % (ENTRIES / 100) == 0 {
            let now = resident();
            let peak = if n <= ENTRIES / 10 { &mut early } else { &mut most };
            *peak = now.max(*peak);
        }
    }
    archive.finish().unwrap();
    most = most.max(resident());
    reader.join().unwrap();
    most.saturating_sub(early)
}

/// A zip's list of a million files has about 100 MB.
#[test]
fn an_archive_of_a_million_files_takes_no_more_memory_than_one_of_a_hundred_thousand() {
    if let Ok(format) = std::env::var(MEASURED) {
        let grown = growth(if format == "zip" { Format::Zip } else { Format::Tar });
        println!("grown by {grown} bytes");
        assert!(grown < 4 << 20, "{format}: {grown}");
        return;
    }
    // Other tests take memory as well, so each form has a process of its own.
    let name = std::thread::current().name().unwrap().to_owned();
    for format in ["zip", "tar"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(MEASURED, format)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("grown by"), "{text}");
        println!("{format}: {}", text.lines().find(|line| line.contains("grown by")).unwrap_or_default());
    }
}
