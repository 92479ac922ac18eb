//! Programs in Python that tests bring along from PyPI, unmodified: installed once into the folder of caches. What is missing for that
//! (`python3` with `venv`) fails with a panic.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("WSFS_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("workspacefs")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/workspacefs")))
        .expect("no cache folder: set WSFS_CACHE")
}

fn run(program: impl AsRef<OsStr>, args: &[&str]) {
    let output = Command::new(&program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{:?} is needed here: {error}", program.as_ref()));
    assert!(output.status.success(), "{:?} {args:?}: {output:?}", program.as_ref());
}

/// The folder of a Python with these packages, as `pip freeze` names them, made where it is missing, for which it takes the package
/// index. It lies in the folder `kind` of the caches, and its name has a hash of the packages.
///
/// # Panics
/// It cannot be made.
pub(crate) fn installed(kind: &str, version: &str, pins: &str) -> PathBuf {
    let digest = Sha256::digest(pins.as_bytes());
    let key: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let folder = cache().join(kind);
    fs::create_dir_all(&folder).expect("the folder of the programs can be made");
    let venv = folder.join(format!("{version}-{key}"));
    let done = venv.join("installed");
    // One at a time installs; whoever waited finds it there.
    let lock = File::create(folder.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    if !done.exists() {
        let file = folder.join(format!("{version}-{key}.txt"));
        fs::write(&file, pins).expect("the pins can be written");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        run("python3", &["-m", "venv", "--clear", &text(&venv)]);
        run(venv.join("bin/python"), &["-m", "pip", "install", "--quiet", "--no-input", "-r", &text(&file)]);
        File::create(done).expect("the mark can be made");
    }
    venv
}
