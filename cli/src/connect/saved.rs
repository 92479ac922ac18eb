//! What `wfs login` keeps: an address and a token, in a file that nobody else can read.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A login.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Saved {
    /// The gateway's address.
    pub url: String,
    /// The token. There is no `Debug` here.
    pub token: Zeroizing<String>,
    /// As `WFS_CA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// Where it lies: `$XDG_CONFIG_HOME/workspacefs/login.json`; none without a home.
pub fn place() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("workspacefs/login.json"))
}

/// The login, if there is one.
///
/// # Errors
/// It cannot be read, or others can.
pub fn load() -> Result<Option<Saved>> {
    place().map_or(Ok(None), |path| load_from(&path))
}

fn load_from(path: &Path) -> Result<Option<Saved>> {
    let name = path.display();
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read the login in {name}")),
    };
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.with_context(|| format!("cannot look at {name}"))? & 0o077 != 0 {
        bail!("{name} holds a token and others may read it: chmod 600 it, or log in again");
    }
    let saved = serde_json::from_slice(&text);
    saved.map(Some).with_context(|| format!("{name} is no login: wfs login makes a new one"))
}

/// Keeps it; tells where.
///
/// # Errors
/// It cannot be written.
pub fn store(saved: &Saved) -> Result<PathBuf> {
    let path = place().context("there is neither HOME nor XDG_CONFIG_HOME: nowhere to keep a login")?;
    let folder = path.parent().context("nowhere to keep a login")?;
    let context = || format!("cannot keep the login in {}", path.display());
    fs::create_dir_all(folder).with_context(context)?;
    let text = Zeroizing::new(serde_json::to_vec_pretty(saved)?);
    // Renamed into place: neither half a login nor one that was open to others for a moment.
    let temporary = folder.join(format!(".login-{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(context)?;
    Ok(path)
}

/// Forgets it; whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn forget() -> Result<bool> {
    let Some(path) = place() else { return Ok(false) };
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}
