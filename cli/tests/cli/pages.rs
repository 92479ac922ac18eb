//! Help, manual pages and completion: made from the same definitions, so they must name the same things.

use std::collections::BTreeSet;
use std::fs;

use super::{Case, Said, wfs};

fn printed(arguments: &[&str]) -> String {
    let said = Said::by(wfs(arguments)).ended(0);
    assert_eq!(said.stderr, "");
    said.stdout
}

/// The long options of `wfs sync`, from its help.
fn flags() -> BTreeSet<String> {
    let help = printed(&["sync", "--help"]);
    let flag = |line: &str| {
        let from = line.trim_start().strip_prefix('-').map(|_| line.find("--"))??;
        let name = &line[from + 2..];
        let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
        Some(name[..end].to_owned()).filter(|name| !name.is_empty())
    };
    help.lines().filter_map(flag).collect()
}

#[test]
fn the_help_names_every_flag() {
    let expected = [
        "acls",
        "bwlimit",
        "checksum",
        "delete",
        "dry-run",
        "exclude",
        "help",
        "include",
        "json",
        "link-dest",
        "manifest",
        "max-delete",
        "no-owner",
        "quiet",
        "verbose",
        "verify",
        "workers",
        "xattrs",
    ];
    assert_eq!(flags(), expected.map(str::to_owned).into());
}

/// Those of every command, from the reference: `--name` where a row of a table has it.
fn all_flags() -> BTreeSet<String> {
    let reference = printed(&["man", "--markdown"]);
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let flags = rows.filter_map(|(row, _)| Some(row.split_once("--")?.1.split(' ').next()?.to_owned()));
    flags.collect()
}

#[test]
fn the_manual_page_and_each_completion_name_every_flag() {
    // In roff a hyphen is written `\-`.
    let man = printed(&["man"]).replace('\\', "");
    let scripts = ["bash", "zsh", "fish"].map(|shell| (shell, printed(&["completion", shell])));
    let all = all_flags();
    assert!(flags().iter().filter(|flag| *flag != "help").all(|flag| all.contains(flag)), "{all:?}");
    assert!(
        all.contains("file-system") && all.contains("from-lep") && all.contains("service-account"),
        "{all:?}"
    );
    for flag in all {
        assert!(man.contains(&format!("--{flag}")), "man: {flag}");
        for (shell, script) in &scripts {
            let written = if *shell == "fish" { format!("-l {flag}") } else { format!("--{flag}") };
            assert!(script.contains(&written), "{shell}: {flag}");
        }
    }
}

#[test]
fn the_exit_codes_stand_in_the_help_and_in_the_manual_page() {
    let case = Case::new(&[]);
    let dir = case.path("man1");
    printed(&["man", dir.to_str().unwrap()]);
    let (help, man) = (printed(&["sync", "--help"]), fs::read_to_string(dir.join("wfs-sync.1")).unwrap());
    let status = man.split_once("EXIT STATUS").unwrap().1;
    for code in ["0", "1", "2", "3", "4", "5", "130"] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))),
            "{code}: {help}"
        );
        assert!(status.contains(&format!(".B {code}\n")), "{code}: {status}");
    }
}

#[test]
fn the_exit_codes_of_storage_and_of_a_refresh_stand_in_their_pages_and_what_is_hidden_has_none() {
    let case = Case::new(&[]);
    let dir = case.path("man1");
    printed(&["man", dir.to_str().unwrap()]);
    for (page, codes) in
        [("wfs-storage.1", &["0", "1", "2", "3", "130"][..]), ("wfs-cache-refresh.1", &["0", "1"])]
    {
        let page = fs::read_to_string(dir.join(page)).unwrap();
        let status = page.split_once("EXIT STATUS").unwrap_or_else(|| panic!("{page}")).1;
        assert!(codes.iter().all(|code| status.contains(&format!(".B {code}\n"))), "{status}");
    }
    assert!(!dir.join("wfs-storage-rsync-tunnel.1").exists());
}

#[test]
fn manual_pages_are_written_into_a_directory_one_for_each_command() {
    let case = Case::new(&[]);
    let dir = case.path("share/man1");
    assert_eq!(printed(&["man", dir.to_str().unwrap()]), "");
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in [
        "wfs.1",
        "wfs-sync.1",
        "wfs-cache-refresh.1",
        "wfs-storage.1",
        "wfs-storage-upload.1",
        "wfs-manifest.1",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    for name in names {
        let page = fs::read_to_string(dir.join(&name)).unwrap();
        assert!(
            page.contains(".TH ") && page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{name}: {page}"
        );
    }
}

#[test]
fn bash_takes_the_completion_script_and_completes_with_it() {
    let script = printed(&["completion", "bash"]);
    let program = format!(
        "{script}\nCOMP_WORDS=(wfs sync --max); COMP_CWORD=2; _wfs wfs --max sync; echo \"${{COMPREPLY[@]}}\""
    );
    let output = std::process::Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
    Said::of(output).ended(0).says("--max-delete");
}

#[test]
fn the_reference_in_the_docs_is_what_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let printed = printed(&["man", "--markdown"]);
    if std::env::var_os("WFS_WRITE_DOCS").is_some() {
        fs::write(path, &printed).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == printed,
        "docs/cli.md is old: WFS_WRITE_DOCS=1 cargo test -p workspacefs-cli the_reference writes it"
    );
}

#[test]
fn as_a_plugin_of_kubectl_it_speaks_of_itself_as_it_was_called() {
    let case = Case::new(&[]);
    let plugin = case.path("kubectl-wfs");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wfs"), &plugin).unwrap();
    let output = std::process::Command::new(plugin).args(["storage", "ls", "--help"]).output().unwrap();
    Said::of(output).ended(0).says("Usage: kubectl wfs storage ls");
}

#[test]
fn the_help_of_every_command_comes_at_once() {
    let begin = std::time::Instant::now();
    for _ in 0..10 {
        printed(&["--help"]);
    }
    // 10 ms each is the goal of an optimised program on a quiet machine.
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
}
