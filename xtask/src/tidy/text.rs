//! Rules for every text file: no path of the machine it was written on, no space at a line's end, one newline at the
//! file's end; and in Markdown, links to files that are there.

use std::path::Path;

use super::Finding;

/// Files that programs write in their own way.
const NOT_OURS: [&str; 2] = ["Cargo.lock", "go.sum"];

/// Folders that are on every machine and betray none; files may speak of them.
const EVERYWHERE: [&str; 8] = ["/tmp", "/var/tmp", "/home", "/mnt", "/opt", "/srv", "/usr/src", "/var/lib"];

/// The paths that would betray a machine: the checkout's place and the home folder.
pub(super) fn machine_paths(root: &Path) -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let parent = root.parent().map(|p| p.display().to_string()).unwrap_or_default();
    let telling = |path: &String| path.len() > 1 && !EVERYWHERE.contains(&path.as_str());
    [home, parent, root.display().to_string()]
        .into_iter()
        .filter(telling)
        .map(|path| format!("{}/", path.trim_end_matches('/')))
        .collect()
}

pub(super) fn check(root: &Path, file: &Path, content: &str, forbidden: &[String]) -> Vec<Finding> {
    if NOT_OURS.iter().any(|name| file.ends_with(name)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut found = |line, what: String| findings.push(Finding { file: file.to_path_buf(), line, what });
    let mut fenced = false;
    for (number, line) in (1..).zip(content.lines()) {
        if let Some(path) = forbidden.iter().find(|path| line.contains(path.as_str())) {
            found(number, format!("a path of this machine: {path}"));
        }
        if line.ends_with([' ', '\t']) {
            found(number, "space at the end of the line".into());
        }
        fenced ^= line.trim_start().starts_with("```");
        if file.extension().is_some_and(|e| e == "md") && !fenced {
            let folder = root.join(file.parent().unwrap_or(Path::new("")));
            for target in relative_links(line).filter(|target| !folder.join(target).exists()) {
                found(number, format!("a link to {target}, which is not there"));
            }
        }
    }
    if !content.is_empty() && (!content.ends_with('\n') || content.ends_with("\n\n")) {
        found(content.lines().count(), "a file ends with one newline".into());
    }
    findings
}

/// The targets of `[text](target)` that are files of this repository, without their anchors.
fn relative_links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, content: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("there.md"), "").unwrap();
        let forbidden = ["/somebody/".to_string()];
        check(root.path(), Path::new(file), content, &forbidden).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn machine_paths_and_stray_space_are_found() {
        assert_eq!(findings("a.sh", "cd /somebody/x\n"), ["a path of this machine: /somebody/"]);
        assert_eq!(findings("a.sh", "ls \n"), ["space at the end of the line"]);
        assert_eq!(findings("a.sh", "ls"), ["a file ends with one newline"]);
        assert_eq!(findings("a.sh", "ls\n\n"), ["a file ends with one newline"]);
        assert!(findings("a.sh", "ls\n").is_empty() && findings("a.sh", "").is_empty());
        assert!(findings("Cargo.lock", "x ").is_empty());
    }

    #[test]
    fn links_lead_somewhere() {
        assert!(
            findings("a.md", "[a](there.md) [b](there.md#part) [c](#part) [d](https://x.example/y)\n")
                .is_empty()
        );
        assert_eq!(
            findings("a.md", "[a](there.md) [b](gone.md)\n"),
            ["a link to gone.md, which is not there"]
        );
        assert!(findings("a.md", "```\n[b](gone.md)\n```\n").is_empty());
    }

    #[test]
    fn the_checkout_and_the_home_folder_are_what_must_not_appear() {
        assert!(machine_paths(Path::new("/somewhere/checkout")).contains(&"/somewhere/".to_string()));
        assert!(!machine_paths(Path::new("/checkout")).contains(&"/".to_string()));
        let in_tmp = machine_paths(Path::new("/tmp/checkout"));
        assert!(in_tmp.contains(&"/tmp/checkout/".to_string()) && !in_tmp.contains(&"/tmp/".to_string()));
    }
}
