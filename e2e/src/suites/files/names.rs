//! Names and things that a pod of the workspace makes to hurt whoever looks at them: everything is shown, what is a file is read and
//! deleted by its bytes, and nothing leads out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{answered, encoded};
use super::door::{Door, Files};
use super::people::{DATA, Shop};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{patient, seconds};

const POD: &str = "user";
/// What outside of the FileSystem must neither be read nor changed.
const OUTSIDE: &str = "outside of it";
/// Nothing that is refused takes long: a FIFO that is opened to be read would wait for ever.
const REFUSAL_TIME_MAX: Duration = seconds(10);

/// What the shell's printf makes them from, and what they are. `/` is in no name.
const NAMES: [(&str, &[u8]); 11] = [
    (r"line\nbreak", b"line\nbreak"),
    (r"\047single\042double", b"'single\"double"),
    (r"<img src=x onerror=alert(1)>", b"<img src=x onerror=alert(1)>"),
    (r"invoice\342\200\256txt.exe", b"invoice\xe2\x80\xaetxt.exe"),
    (r"latin\351\377", b"latin\xe9\xff"),
    (r"back\\slash", b"back\\slash"),
    (r"..\\..\\up", b"..\\..\\up"),
    (r"%%2e%%2e%%2f", b"%2e%2e%2f"),
    (r" both ends ", b" both ends "),
    (r"-rf", b"-rf"),
    (r"\033[31mred\007", b"\x1b[31mred\x07"),
];

pub fn cases() -> Vec<Case> {
    cases![hostile_names_are_shown_read_and_deleted_and_nothing_leads_out_of_the_file_system]
}

async fn hostile_names_are_shown_read_and_deleted_and_nothing_leads_out_of_the_file_system(
    context: Context,
) -> Result<()> {
    let Shop { door, token, files } = Shop::open(&context).await?;
    context.on_server(&format!("printf '{OUTSIDE}' > outside")).await?;
    context.start([PodSpec::new(POD).claim(DATA, "/data")]).await?;
    context.exec(POD, &make_names()).await?;
    names(&context, &files).await?;
    context.exec(POD, MAKE_TRAPS).await?;
    traps(&context, &files).await?;
    paths(&context, &door, &token).await?;
    let outside = context.on_server("cat outside; ls").await?;
    ensure!(outside == format!("{OUTSIDE}data\noutside"), "outside there is {outside:?}");
    Ok(())
}

/// Each file holds its place in the list.
fn make_names() -> String {
    let one = |(number, (name, _)): (usize, &(&str, &[u8]))| {
        // No command drops what printf ends with, so a mark stands for the end.
        format!("n=$(printf -- '{name}/'); printf {number} > \"/data/names/${{n%/}}\"")
    };
    let all: Vec<String> = NAMES.iter().enumerate().map(one).collect();
    format!("mkdir /data/names && {}", all.join(" && "))
}

async fn names(context: &Context, files: &Files) -> Result<()> {
    let entries = files.list("names").await?;
    let by_path: BTreeMap<&str, &Value> =
        entries.iter().filter_map(|entry| Some((entry["path"].as_str()?, entry))).collect();
    ensure!(by_path.len() == NAMES.len(), "{} of {} are listed: {entries:?}", by_path.len(), NAMES.len());
    for (number, (_, name)) in NAMES.iter().enumerate() {
        let decoded = |path: &&&str| {
            percent_decode_str(path).collect::<Vec<u8>>() == [b"names/".as_slice(), name].concat()
        };
        let path = by_path.keys().find(decoded);
        let path = path.with_context(|| format!("{} is not listed", String::from_utf8_lossy(name)))?;
        let shown = by_path[path]["name"].as_str();
        ensure!(shown == Some(&*String::from_utf8_lossy(name)), "{path} is shown as {shown:?}");
        // By what the list says, and by what a program makes of the name itself.
        for path in [(*path).to_owned(), format!("names/{}", encoded(name))] {
            let answer = files.get(&format!("content/{path}")).await?.expect(200)?;
            ensure!(answer.body == number.to_string().as_bytes(), "{path} reads {:?}", answer.body);
            let disposition = answer.header("content-disposition");
            let plain = disposition.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            ensure!(plain && disposition.starts_with("attachment"), "{path} is sent as {disposition:?}");
        }
    }
    let zip = files.get("archive/names?format=zip").await?.expect(200)?;
    ensure!(zip.body.starts_with(b"PK"), "no archive of such names");
    for (_, name) in NAMES {
        let path = format!("content/names/{}", encoded(name));
        files.delete(&path).await?.expect(200)?;
    }
    let left = context.exec(POD, "ls -A /data/names").await?;
    ensure!(left.is_empty(), "these are left: {left:?}");
    Ok(())
}

/// What is no file and no folder, and links that lead out: by name, by `..`, and as a folder on the way.
const MAKE_TRAPS: &str = "cd /data && mkdir traps && cd traps && ln -s ../../outside up && ln -s /etc/passwd root && \
                          ln -s ../.. folder && ln -s loop loop && mkfifo fifo && printf in > inside && ln -s inside link";

async fn traps(context: &Context, files: &Files) -> Result<()> {
    let kinds: BTreeMap<String, String> = files
        .list("traps")
        .await?
        .iter()
        .map(|entry| (entry["name"].to_string(), entry["type"].to_string()))
        .collect();
    let expected = [
        ("fifo", "other"),
        ("folder", "symlink"),
        ("inside", "file"),
        ("link", "symlink"),
        ("loop", "symlink"),
        ("root", "symlink"),
        ("up", "symlink"),
    ];
    let expected = expected.map(|(name, kind)| (format!("{name:?}"), format!("{kind:?}")));
    ensure!(kinds == BTreeMap::from(expected), "they are listed as {kinds:?}");
    for trap in ["up", "root", "loop", "fifo", "folder/outside", "folder", "up/x"] {
        for rest in [format!("content/traps/{trap}"), format!("archive/traps/{trap}?format=tar")] {
            let limit = patient(REFUSAL_TIME_MAX);
            let answer = tokio::time::timeout(limit, files.get(&rest)).await;
            let answer = answer.with_context(|| format!("no answer to {rest}"))??;
            let told = String::from_utf8_lossy(&answer.body).contains(OUTSIDE);
            ensure!(!told, "{rest} shows what is outside");
            // A link that leads out may be archived as the link that it is.
            let refused = [400, 403, 404, 409].contains(&answer.status);
            ensure!(refused || rest.starts_with("archive"), "{rest} answers {}", answer.status);
        }
    }
    for (rest, body) in [("content/traps/folder/new", "x"), ("folders/traps/folder/new", "")] {
        let answer = files.put(rest, body).await?;
        ensure!([400, 403, 404, 409].contains(&answer.status), "{rest} answers {}", answer.status);
    }
    let transfer = json!({ "from": "traps/inside", "to": "traps/folder/moved" });
    let moved = files.post("move", &transfer).await?;
    ensure!([400, 403, 404, 409].contains(&moved.status), "a move through a link answers {}", moved.status);
    // Onto a link: it is replaced, or refused; never followed.
    files.put("content/traps/up", "mine").await?;
    let outside = context.on_server("cat outside").await?;
    ensure!(outside == OUTSIDE, "a write followed a link: {outside:?}");
    for trap in ["up", "root", "loop", "fifo", "folder", "link"] {
        let answer = files.delete(&format!("content/traps/{trap}")).await?;
        ensure!(answer.status == 200, "{trap} cannot be deleted: {answer:?}");
    }
    let left = context.exec(POD, "ls -A /data/traps && cat /data/traps/inside").await?;
    ensure!(left == "inside\nin", "there is left {left:?}");
    Ok(())
}

/// Paths that lead out by themselves, in all the ways in which they can be written.
async fn paths(context: &Context, door: &Door, token: &str) -> Result<()> {
    let base = format!("/wfs/v1/workspaces/{}/filesystems/{DATA}/api", context.namespace());
    for path in [
        "content/../../outside",
        "content/..%2Foutside",
        "content/%2e%2e/outside",
        "content/a/%2E%2E/%2e%2e/outside",
        "content/%00outside",
        "list/..",
        "archive/..?format=tar",
        "content/a%2Fb",
        "content/%zz",
        "content/.",
    ] {
        let (status, body) = door.ask_raw(context, &format!("GET {base}/{path}"), token).await?;
        let refused = [400, 404].contains(&status) && !body.contains(OUTSIDE);
        ensure!(refused, "{path} answers {status} {body}");
    }
    let long = format!("content/{}", "x".repeat(256));
    let files = door.with(token).files(context.namespace(), DATA);
    files.get(&long).await?.refused(400, "BadPath")?;
    // In bodies as in URLs.
    for to in ["../outside", "a/../../outside", "%2e%2e/outside", "a%2F..%2Fb"] {
        let moved = files.post("move", &json!({ "from": "traps/inside", "to": to })).await?;
        let field = moved.json()?["field"].clone();
        moved.refused(400, "BadRequest")?;
        ensure!(field == "to", "{to}: the field {field} is named");
    }
    let upload = files.ask(reqwest::Method::POST, "uploads").header("tus-resumable", "1.0.0");
    let upload = upload.header("upload-length", 1).header("upload-metadata", "path Li4vb3V0c2lkZQ==");
    answered(upload).await?.refused(400, "BadRequest").map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_pods_shell_makes_just_these_names() {
        let folder = tempfile::tempdir().unwrap();
        let line = make_names().replace("/data/", &format!("{}/", folder.path().display()));
        let made = Command::new("sh").args(["-c", &line]).status().unwrap();
        assert!(made.success());
        for (number, (_, name)) in NAMES.iter().enumerate() {
            use std::os::unix::ffi::OsStrExt;
            let path = folder.path().join("names").join(std::ffi::OsStr::from_bytes(name));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), number.to_string(), "{path:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path().join("names")).unwrap().count(), NAMES.len());
    }

    #[test]
    fn an_encoded_name_is_decoded_to_itself() {
        for (_, name) in NAMES {
            assert_eq!(percent_decode_str(&encoded(name)).collect::<Vec<u8>>(), name);
        }
    }
}
