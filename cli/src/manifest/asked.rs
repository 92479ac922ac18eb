//! What the command line says of mounts, read as hostile input.

use workspacefs_api::manifest::{Mount, What, name, place};
use workspacefs_api::path::RelativePath;

/// `FS[:FROM]:AS[:ro]`, of a file system. Kubernetes lets no place in a container have a colon, so the last one ends the
/// folder, whatever that has.
///
/// # Errors
/// What of it is wrong.
pub fn mount(text: &str) -> Result<Mount, String> {
    let (text, read_only) = text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true));
    let (what, rest) = text
        .split_once(':')
        .ok_or("a mount is FS:AS or FS:FROM:AS, with :ro at its end if nothing is to be written")?;
    let (from, at) = rest.rsplit_once(':').unwrap_or(("", rest));
    Ok(Mount {
        what: What::FileSystem(name(what)?),
        from: RelativePath::parse(from).map_err(|error| error.to_string())?,
        at: place(at)?,
        read_only,
    })
}

/// The same of a LocalStorage.
///
/// # Errors
/// What of it is wrong.
pub fn local(text: &str) -> Result<Mount, String> {
    let mount = mount(text)?;
    let (What::FileSystem(name) | What::LocalStorage(name)) = mount.what;
    Ok(Mount { what: What::LocalStorage(name), ..mount })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_file_system_a_folder_of_it_and_a_place() {
        for (text, what, from, at, read_only) in [
            ("default:/mnt/data", "default", "", "/mnt/data", false),
            ("default:/:/data", "default", "", "/data", false),
            ("scratch::/scratch", "scratch", "", "/scratch", false),
            ("default:/datasets:/data:ro", "default", "datasets", "/data", true),
            ("default:a:b:ro:/data", "default", "a:b:ro", "/data", false),
            ("default:on/~/- x:/ro", "default", "on/~/- x", "/ro", false),
            ("1e3://a//b/:/c//d/", "1e3", "a/b", "/c/d", false),
        ] {
            let mount = mount(text).unwrap();
            assert_eq!(
                (mount.what.name().as_str(), mount.from.as_str(), mount.at.as_str(), mount.read_only),
                (what, from, at, read_only),
                "{text}"
            );
        }
        assert!(matches!(local("scratch:/s").unwrap().what, What::LocalStorage(_)));
    }

    #[test]
    fn what_kubernetes_or_the_driver_would_refuse_is_refused() {
        for bad in [
            "",
            "default",
            ":",
            ":/data",
            "default:",
            "default:data",
            "default:/",
            "Default:/data",
            "-a:/data",
            "a.b:/data",
            "default:../x:/data",
            "default:.workspacefs/cache:/data",
            "default:/data/../x",
            "default:a\nb:/data",
            "default:/da\nta",
            "default:/data\0",
            "default:ro",
            "a\nb:/data",
        ] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
    }
}
