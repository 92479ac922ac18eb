//! The gateway's pages, in `ui/`: their packages by npm, and the pages made of them. Both only when something has changed since.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// What npm needs at least, as `ui/package.json` has it.
const NODE_MIN: (u32, u32) = (20, 19);

/// Brings the packages that `ui/package-lock.json` names. Gives the folder of the pages.
pub fn packages() -> Result<PathBuf> {
    let ui = shell::root().join("ui");
    let lock =
        fs::read(ui.join("package-lock.json")).with_context(|| format!("no pages in {}", ui.display()))?;
    shell::ensure_program("npm", "npm")?;
    let said = shell::output(Command::new("node").arg("--version"))?;
    let version = version(&said).with_context(|| format!("node calls itself {said:?}"))?;
    ensure!(version >= NODE_MIN, "node is {}, and the pages need {NODE_MIN:?} or later", said.trim());
    // `npm ci` takes a minute even where nothing changed.
    let mark = ui.join("node_modules/.made-from");
    if fs::read(&mark).is_ok_and(|made| made == lock) {
        return Ok(ui);
    }
    println!("bringing the pages' packages");
    shell::output(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&ui))?;
    fs::write(mark, lock)?;
    Ok(ui)
}

/// Makes the pages, `ui/dist`, if anything that they are made of is younger.
pub fn pages() -> Result<()> {
    let ui = packages()?;
    let made = fs::metadata(ui.join("dist/index.html")).and_then(|file| file.modified()).ok();
    let mut parts = vec![ui.join("index.html"), ui.join("package-lock.json"), ui.join("vite.config.ts")];
    parts.extend([ui.join("src"), ui.join("public"), ui.join("scripts")]);
    let changed = parts.iter().filter_map(|part| youngest(part)).max();
    if made.is_some() && made >= changed {
        return Ok(());
    }
    shell::run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(&ui))
}

/// Their types, their style, and the tests that need no browser.
pub fn check() -> Result<()> {
    let ui = packages()?;
    for script in ["lint", "test"] {
        shell::run(Command::new("npm").args(["run", "--silent", script]).current_dir(&ui))?;
    }
    Ok(())
}

/// Their flows in a browser, before the mock gateway of `ui/`: what needs its hands, a broken connection, say, runs nowhere else.
/// Each flow is told by its name.
pub fn flows() -> Result<()> {
    shell::ensure_program("chromium", "chromium")?;
    pages()?;
    let mut npm = Command::new("npm");
    npm.args(["run", "--silent", "browser", "--", "--reporter=verbose"]);
    npm.current_dir(shell::root().join("ui")).env("NO_COLOR", "1").env_remove("FORCE_COLOR");
    // Left over from somebody's run before a real gateway, they would make this one another.
    for variable in
        ["WSFS_UI_URL", "WSFS_UI_TOKEN", "WSFS_UI_VIEWER_TOKEN", "WSFS_UI_WORKSPACE", "WSFS_UI_FS"]
    {
        npm.env_remove(variable);
    }
    shell::run(&mut npm)
}

/// When the youngest file of a tree was changed.
fn youngest(path: &Path) -> Option<std::time::SystemTime> {
    let own = fs::metadata(path).ok()?.modified().ok();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| youngest(&entry.path())).chain(own).max()
}

/// Of `v20.20.2`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn nodes_version_is_compared_by_its_numbers() {
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert!(version("v18.19.0") < Some((20, 19)) && version("v100.1.0") > Some((20, 19)));
        assert_eq!(version("20"), None);
    }
}
