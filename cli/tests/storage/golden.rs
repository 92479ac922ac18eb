//! What each verb says, to the letter: the files in `tests/golden` hold command lines, stdout, stderr and exit code, for people and for
//! programs. `WFS_WRITE_GOLDEN=1 cargo test -p workspacefs-cli golden` writes them; what changed is to be read then.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use crate::{Said, World};

/// Verbs whose output other tests fix: these print scripts and pages, copy on this machine, or ask the API server.
const ELSEWHERE: [&str; 5] = ["cache-refresh", "cache-status", "completion", "man", "sync"];

/// The name of a file, and what is typed, one after the other.
type Verb = (&'static str, &'static [&'static [&'static str]]);

const STORAGE: [Verb; 24] = [
    (
        "storage-ls",
        &[
            &["ls"],
            &["ls", "-l", "a b/deep"],
            &["ls", "-R"],
            &["ls", "a b/deep", "-o", "json"],
            &["ls", "nowhere"],
            &["ls", "nowhere", "-o", "json"],
            &["ls", "-f", "more", "a b/deep"],
        ],
    ),
    (
        "storage-find",
        &[
            &["find", "--name", "O"],
            &["find", "--name", "two", "-o", "json"],
            &["find", "--name", "o", "--limit", "1"],
            &["find", "nowhere", "--name", "o"],
        ],
    ),
    (
        "storage-stat",
        &[
            &["stat", "a b/one.txt"],
            &["stat", "a b/one.txt", "-o", "json"],
            &["stat", "a b/one.txt", "nowhere"],
            &["stat", "a b/one.txt", "nowhere", "-o", "json"],
            &["stat", "nowhere", "-o", "json"],
        ],
    ),
    ("storage-cat", &[&["cat", "a b/one.txt"], &["cat", "nowhere", "a b/one.txt"], &["cat", "a b"]]),
    (
        "storage-du",
        &[
            &["du"],
            &["du", "-o", "json"],
            &["du", "a b", "é"],
            &["du", "a b", "-o", "json"],
            &["du", "nowhere", "-o", "json"],
        ],
    ),
    ("storage-ls-file-system", &[&["ls-file-system"], &["ls-file-system", "-o", "json"]]),
    (
        "storage-upload",
        &[
            &["upload", "one", "/up/"],
            &["upload", "one", "/up/", "-o", "json"],
            &["upload", "one", "/up", "-o", "json"],
            &["upload", "one"],
            &["upload", "one", "/", "--update"],
            &["upload", "-r", "tree", "/up", "-q"],
            &["upload", "-r", "--update", "tree", "/up"],
            &["upload", "tree", "/up"],
            &["upload", "missing", "/up"],
            &["upload", "missing", "/up", "-o", "json"],
            &["upload", "-r", "tree", "/é"],
        ],
    ),
    (
        "storage-download",
        &[
            &["download", "a b/one.txt"],
            &["download", "a b/one.txt", "-o", "json"],
            &["download", "-r", "a b", "-q"],
            &["download", "-r", "--update", "a b"],
            &["download", "a b"],
            &["download", "nowhere"],
            &["download", "nowhere", "-o", "json"],
        ],
    ),
    (
        "storage-mkdir",
        &[
            &["mkdir", "x/y", "z"],
            &["mkdir", "z"],
            &["mkdir", "z", "new", "-o", "json"],
            &["mkdir", "-p", "z"],
            &["mkdir", "-q", "quiet"],
        ],
    ),
    (
        "storage-rm",
        &[
            &["rm", "a b/one.txt"],
            &["rm", "nowhere", "a b/deep/two", "-o", "json"],
            &["rm", "é", "--permanent"],
            &["rm", "a b"],
            &["rm", "/"],
            &["rm", "a b/../x"],
        ],
    ),
    (
        "storage-rmdir",
        &[
            &["rmdir", "a b"],
            &["rmdir", "a b", "-o", "json"],
            &["rmdir", "é"],
            &["rmdir", "-r", "a b/deep", "-o", "json"],
            &["rmdir", "-r", "a b", "--permanent"],
            &["rmdir", "-r", "/"],
        ],
    ),
    (
        "storage-mv",
        &[
            &["mv", "é", "a b/"],
            &["mv", "a b/é", "e", "-o", "json"],
            &["mv", "e", "a b/one.txt"],
            &["mv", "e", "a b/one.txt", "-o", "json"],
            &["mv", "e", "a b"],
            &["mv", "a b", "a b/deep"],
            &["mv", "e", "a b/one.txt", "--overwrite"],
        ],
    ),
    (
        "storage-cp",
        &[
            &["cp", "é", "e"],
            &["cp", "-r", "a b", "copy", "-o", "json"],
            &["cp", "a b", "other"],
            &["cp", "é", "a b/one.txt"],
            &["cp", "nowhere", "x", "-o", "json"],
        ],
    ),
    (
        "storage-import-s3",
        &[&["import", "s3", "b", "in here"], &["import", "s3", "b", "in here", "-o", "json"]],
    ),
    (
        "storage-import-r2",
        &[
            &["import", "r2", "b", "in here"],
            &["import", "r2", "b", "in here", "--endpoint", "https://r2.example.com", "--no-wait"],
        ],
    ),
    ("storage-import-ls", &[&["import", "ls"], &["import", "ls", "-o", "json"]]),
    (
        "storage-import-show",
        &[&["import", "show", "i1"], &["import", "show", "i1", "-o", "json"], &["import", "show", "i2"]],
    ),
    (
        "storage-import-resume",
        &[&["import", "resume", "i1"], &["import", "resume", "i1", "--no-wait"], &["import", "resume", "i2"]],
    ),
    (
        "storage-import-cancel",
        &[
            &["import", "cancel", "i1"],
            &["import", "cancel", "i1", "-o", "json"],
            &["import", "cancel", "../x"],
        ],
    ),
    ("storage-trash-ls", &[&["rm", "é", "-q"], &["trash", "ls"], &["trash", "ls", "-o", "json"]]),
    (
        "storage-trash-restore",
        &[
            &["rm", "é", "a b/one.txt", "-q"],
            &["trash", "restore", "t0"],
            &["trash", "restore", "t1", "else/where", "-o", "json"],
            &["trash", "restore", "t1"],
            &["trash", "restore", "t1", "-o", "json"],
        ],
    ),
    ("storage-trash-rm", &[&["rm", "é", "-q"], &["trash", "rm", "t0"], &["trash", "rm", "../x"]]),
    (
        "storage-trash-empty",
        &[&["trash", "empty"], &["trash", "empty", "--yes"], &["trash", "empty", "--yes", "-o", "json"]],
    ),
    ("storage-rsync", &[&["upload", "-r", "-p", "--rsync", "tree", "/up", "-q"]]),
];

const OTHERS: [Verb; 6] = [
    (
        "login",
        &[&["login", "ADDRESS", "-n", "team-a"], &["login", "ADDRESS", "-o", "json"], &["login", "nonsense"]],
    ),
    ("logout", &[&["logout"]]),
    ("whoami", &[&["whoami"], &["whoami", "-o", "json"]]),
    ("doctor", &[&["doctor"], &["doctor", "-q"], &["doctor", "-o", "json"]]),
    (
        "get",
        &[
            &["get", "fs"],
            &["get", "fs", "more", "-o", "json"],
            &["get", "lst"],
            &["get", "lst", "-o", "yaml"],
            &["get", "cache"],
            &["get", "cache", "-o", "json"],
            &["get", "cache", "cold"],
        ],
    ),
    (
        "manifest",
        &[
            &["manifest", "pod", "p", "--image=i:1", "--mount=default:/data"],
            &[
                "manifest",
                "job",
                "j",
                "--image=i:1",
                "--mount=default:/in:/data:ro",
                "-n",
                "team-a",
                "--",
                "sh",
                "-c",
                "echo $X",
            ],
            &["manifest", "deployment", "d", "--image=i:1", "--mount=default:/data", "--inline"],
            &[
                "manifest",
                "endpoint",
                "e",
                "--image=i:1",
                "--mount=default:/d:/data",
                "--local-storage=scratch:/s",
                "--node-group=gpu",
            ],
            &["manifest", "devpod", "me", "--image=i:1", "--mount=default:/data"],
            &["manifest", "pod", "p", "--image=i:1", "--local-storage=scratch:/s"],
            &["manifest", "--from-lep", "spec.yaml"],
        ],
    ),
];

const SPEC: &str = "
metadata: {name: web}
spec:
  container: {image: 'web:1', command: [serve], ports: [{container_port: 8000, host_port: 80}]}
  envs: [{name: MODE, value: fast}]
  resource_requirement: {resource_shape: cpu.small, min_replicas: 2, affinity: {allowed_dedicated_node_groups: [gpu]}}
  mounts:
    - {path: /data, mount_path: /mnt/data}
    - {path: /, mount_path: /all, from: 'node-remote:shared', mount_options: {read_only: true}}
    - {path: /, mount_path: /scratch, from: 'node-local:scratch', mount_options: {local_cache_size_mib: 1}}
";

fn world() -> World {
    let world = World::new();
    world.gateway.write("a b/one.txt", "one");
    world.gateway.write("a b/deep/two", "two two");
    world.gateway.write("é", "");
    world.write("one", "1");
    world.write("tree/x", "x");
    world.write("tree/y/z", "zz");
    world.write("spec.yaml", SPEC);
    let there = ["a b/one.txt", "a b/deep/two", "é"].map(|path| world.gateway.root().join(path));
    for path in there.into_iter().chain(["one", "tree/x", "tree/y/z"].map(|path| world.path(path))) {
        chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = fs::File::open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(1_700_000_000, 5)).unwrap();
    }
    world
}

/// All that is typed, with what came of it.
fn record(verb: &Verb, is_storage: bool) -> String {
    let world = world();
    let address = world.gateway.url();
    let mut text = String::new();
    for words in verb.1 {
        let words: Vec<String> = words.iter().map(|word| word.replace("ADDRESS", &address)).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if is_storage {
            words.insert(0, "storage");
        }
        let mut command = world.command(&words);
        command.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "canary-secret");
        let said = Said::by(command);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("canary-secret"), "{words:?}");
        let typed: Vec<String> = words.iter().map(|word| shell(word)).collect();
        write!(text, "$ wfs {}\n{}", typed.join(" "), said.stdout).unwrap();
        if !said.stdout.is_empty() && !said.stdout.ends_with('\n') {
            text.push_str(" (and no line end)\n");
        }
        for line in said.stderr.lines() {
            text.push_str(format!("stderr: {line}").trim_end());
            text.push('\n');
        }
        writeln!(text, "exit: {}\n", said.code.unwrap()).unwrap();
    }
    let dir = world.dir.path().to_str().unwrap();
    let text = text.replace(address.trim_start_matches("http://"), "ADDRESS").replace(dir, "DIR");
    scrubbed(&text)
}

fn shell(word: &str) -> String {
    if word.contains([' ', '$']) { format!("'{word}'") } else { word.to_owned() }
}

/// Without what is another each time.
fn scrubbed(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == 'e' || c == '-';
    let mut text = between(text, "\"elapsed\":", is_number);
    text = between(&text, "\"etag\":\"\\\"", |c| c != '\\');
    text = between(&text, "etag:     \"", |c| c != '"');
    text = between(&text, "answered in ", |c| c.is_ascii_digit());
    text = between(&text, "answers in ", |c| c.is_ascii_digit());
    let lines = text.lines().filter(|line| !line.starts_with(r#"{"type":"progress""#));
    // Of a transfer: how long it took, and the rate.
    let line = |line: &str| match line.rsplit_once(", in ") {
        Some((said, _)) if said.contains("loaded (") => format!("{said}, in ...\n"),
        _ => format!("{line}\n"),
    };
    let mut all: String = lines.map(line).collect();
    // An empty line stands between two commands, and none at the end.
    all.pop();
    all
}

/// Whatever stands behind each `before`, as far as it is of that kind, becomes dots.
fn between(text: &str, before: &str, kind: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(before);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&kind);
        write!(all, "{before}...{rest}").unwrap();
    }
    all
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn compare(verbs: &[Verb], is_storage: bool) {
    let mut wrong = Vec::new();
    for verb in verbs {
        let (path, said) = (folder().join(verb.0).with_extension("txt"), record(verb, is_storage));
        if std::env::var_os("WFS_WRITE_GOLDEN").is_some() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &said).unwrap();
        }
        let golden = fs::read_to_string(path).unwrap_or_default();
        let differs = |(a, b): &(&str, &str)| a != b;
        if golden != said {
            let first = golden.lines().zip(said.lines()).find(differs);
            wrong.push(format!("{}: was, is: {first:#?}", verb.0));
        }
    }
    assert!(wrong.is_empty(), "{}\nWFS_WRITE_GOLDEN=1 writes what is said now", wrong.join("\n"));
}

#[test]
fn golden_files_have_what_each_verb_of_storage_says() {
    compare(&STORAGE, true);
}

#[test]
fn golden_files_have_what_the_other_verbs_say() {
    compare(&OTHERS, false);
}

/// The reference has a heading for each command; those without commands below them are verbs.
#[test]
fn golden_files_are_there_for_every_verb() {
    let world = World::new();
    let pages = world.wfs(&["man", "--markdown"]).ended(0).stdout;
    let heading = |line: &str| {
        Some(line.strip_prefix('#')?.split_once("`wfs ")?.1.trim_end_matches('`').replace(' ', "-"))
    };
    let commands: BTreeSet<String> = pages.lines().filter_map(heading).collect();
    let is_verb = |name: &&String| !commands.iter().any(|other| other.starts_with(&format!("{name}-")));
    // `ls-file-system` is not below `ls`.
    let verbs: BTreeSet<&str> = commands
        .iter()
        .filter(|name| is_verb(name) || name.as_str() == "storage-ls")
        .map(String::as_str)
        .collect();
    let has = |name: &str| STORAGE.iter().chain(&OTHERS).any(|verb| verb.0 == name);
    let without: Vec<_> = verbs.iter().filter(|name| !has(name) && !ELSEWHERE.contains(name)).collect();
    assert!(verbs.len() > 25 && without.is_empty(), "no golden file: {without:?} of {verbs:?}");
}
