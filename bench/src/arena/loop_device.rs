//! Loop devices that vanish by themselves: the kernel detaches one when its last user closes it, and this process is one
//! of them as long as it lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file as a block device.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    /// Keeps it while nothing is mounted.
    _held: File,
}

impl LoopDevice {
    /// Attaches this file.
    ///
    /// # Errors
    /// There is none free, or the file system of the image does not take direct I/O.
    pub fn attach(image: &Path, direct_io: bool) -> io::Result<Self> {
        let mut attach = Command::new("losetup");
        attach
            .arg("--find")
            .arg("--show")
            .arg(format!("--direct-io={}", if direct_io { "on" } else { "off" }));
        let path = PathBuf::from(run(attach.arg(image))?.trim_end());
        let held = OpenOptions::new().read(true).write(true).open(&path);
        // While somebody has it open, this only says that it is to go with the last one.
        run(Command::new("losetup").arg("--detach").arg(&path))?;
        let device = Self { path, _held: held? };
        if direct_io && device.setting("dio")?.trim_end() != "1" {
            return Err(io::Error::other(format!("{} cannot be read by direct I/O", image.display())));
        }
        Ok(device)
    }

    /// The device's node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn setting(&self, name: &str) -> io::Result<String> {
        let device = self.path.file_name().unwrap_or_default();
        std::fs::read_to_string(Path::new("/sys/block").join(device).join("loop").join(name))
    }
}

/// Runs it and returns what it printed.
pub(super) fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "{:?}: {}: {}",
            command.get_program(),
            output.status,
            said.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
