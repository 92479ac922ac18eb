//! A person's day: login, upload, download, move, delete and undo, archive, logout; while a pod of the workspace reads and writes the
//! same files.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::answer::answered;
use super::content::{Content, MIB, digest, digest_for_header};
use super::door::{Door, Files, Visitor};
use super::people::{DATA, Shop};
use super::tus::Upload;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use reqwest::Method;

const BIG: Content = Content("uploaded in pieces");
const BIG_LENGTH: u64 = 20 * MIB + 123;
const PIECE: usize = 8 << 20;
const PLAIN: &[u8] = b"what was decided\n";
const POD: &str = "user";

pub fn cases() -> Vec<Case> {
    cases![
        a_browsers_session_has_a_strict_cookie_and_changes_nothing_without_its_csrf_word,
        what_is_uploaded_is_what_a_pod_reads_and_what_is_downloaded_deleted_and_restored,
    ]
}

async fn a_browsers_session_has_a_strict_cookie_and_changes_nothing_without_its_csrf_word(
    context: Context,
) -> Result<()> {
    let Shop { door, token, .. } = Shop::open(&context).await?;
    door.nobody().get("session").await?.refused(401, "Unauthenticated")?;
    door.try_log_in("not-a-token").await?.refused(401, "Unauthenticated")?;
    let (answer, person) = door.log_in(&token).await?;
    let cookie = answer.header("set-cookie");
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        ensure!(
            cookie.split("; ").any(|found| found == attribute),
            "the cookie is not {attribute}: {cookie}"
        );
    }
    ensure!(cookie.starts_with("__Host-wfs=") && !cookie.contains("Domain"), "the cookie is {cookie}");
    let name = format!("system:serviceaccount:{}:editor", context.namespace());
    let session = person.get("session").await?.expect(200)?.json()?;
    ensure!(answer.json()?["user"] == name && session["user"] == name, "it is somebody else: {session}");
    what_is_seen(&context, &person).await?;

    let files = person.files(context.namespace(), DATA);
    let forger = person.without_csrf().files(context.namespace(), DATA);
    forger.put("content/forged", "x").await?.refused(403, "Forbidden")?;
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.example")] {
        let from_elsewhere = files.ask(Method::PUT, "content/forged").header(header, value).body("x");
        answered(from_elsewhere).await?.refused(403, "Forbidden")?;
    }
    files.get("stat/forged").await?.refused(404, "NotFound")?;
    files.put("content/mine", "x").await?.expect(201)?;

    person.post("logout", &json!({})).await?.expect(204)?;
    person.get("session").await?.refused(401, "Unauthenticated")?;
    files.get("stat/mine").await?.refused(401, "Unauthenticated").map(drop)
}

/// A workspace's member sees it and nothing else, and what of its FileSystem.
async fn what_is_seen(context: &Context, person: &Visitor) -> Result<()> {
    let workspaces = person.get("workspaces").await?.expect(200)?.json()?;
    let own = json!([{ "name": context.namespace(), "fileSystems": 1 }]);
    ensure!(workspaces == own, "the person sees {workspaces}");
    let path = format!("workspaces/{}/filesystems", context.namespace());
    let all = person.get(&path).await?.expect(200)?.json()?;
    let rights = json!({ "read": true, "write": true, "delete": true });
    for (field, value) in
        [("name", json!(DATA)), ("kind", json!("nfs")), ("files", json!("Ready")), ("rights", rights)]
    {
        ensure!(all[0][field] == value, "{field} of the FileSystem is not {value}: {all}");
    }
    let form = json!({ "kind": "job", "name": "train", "image": "busybox",
        "mounts": [{ "fileSystem": DATA, "from": "/datasets", "as": "/mnt/data" }] });
    let path = format!("workspaces/{}/manifest", context.namespace());
    let yaml = person.post(&path, &form).await?.expect(200)?.json()?;
    let yaml = yaml["yaml"].as_str().context("no manifest")?;
    // What the page offers to copy is what the API server takes.
    let dry = context.kubectl(&["apply", "--dry-run=server", "-f", "-"], yaml).await?;
    ensure!(dry.status.success(), "kubectl: {}\n{yaml}", String::from_utf8_lossy(&dry.stderr));
    Ok(())
}

async fn what_is_uploaded_is_what_a_pod_reads_and_what_is_downloaded_deleted_and_restored(
    context: Context,
) -> Result<()> {
    let Shop { door, files, .. } = Shop::open(&context).await?;
    uploads(&files).await?;
    context.start([PodSpec::new(POD).claim(DATA, "/data")]).await?;
    pods_see_it(&context, &files).await?;
    downloads(&files).await?;
    moves_and_copies(&context, &files).await?;
    trash(&context, &files).await?;
    archive(&files).await?;
    context.note(format!("the gateway shows {}", short(&door)));
    Ok(())
}

fn short(door: &Door) -> String {
    door.fingerprint().chars().take(23).collect()
}

async fn uploads(files: &Files) -> Result<()> {
    let entry = files.put("folders/reports/2026?parents=true", "").await?.expect(201)?.json()?;
    ensure!(entry["type"] == "dir" && entry["path"] == "reports/2026", "the folder is {entry}");
    let put = |digest: String| {
        let request = files.ask(Method::PUT, "content/reports/2026/plain");
        let request = request.header("repr-digest", format!("sha-256=:{digest}:"));
        request.header("x-wfs-mode", "0640").header("x-wfs-modified", "2026-02-03T04:05:06Z").body(PLAIN)
    };
    answered(put(digest_for_header(b"another"))).await?.refused(422, "ChecksumMismatch")?;
    files.get("stat/reports/2026/plain").await?.refused(404, "NotFound")?;
    answered(put(digest_for_header(PLAIN))).await?.expect(201)?;
    let again = files.ask(Method::PUT, "content/reports/2026/plain").header("if-none-match", "*").body("x");
    answered(again).await?.refused(412, "PreconditionFailed")?;

    let upload = Upload::begin(files, "reports/2026/big", BIG, BIG_LENGTH).await?;
    let first = upload.send(0, PIECE).await?;
    ensure!(upload.send_wrong(first, PIECE).await?.status == 460, "a piece that is another was taken");
    ensure!(upload.offset().await? == first, "a piece that was refused is there");
    // From where the server is not.
    ensure!(upload.send(first + 1, PIECE).await.is_err(), "a piece from elsewhere was taken");
    let listed = files.get("uploads").await?.expect(200)?.json()?;
    ensure!(listed[0]["offset"] == first && listed[0]["size"] == BIG_LENGTH, "unfinished: {listed}");
    let mut offset = first;
    while offset < BIG_LENGTH {
        files.get("stat/reports/2026/big").await?.refused(404, "NotFound")?;
        offset = upload.send(offset, PIECE).await?;
    }
    let entry = files.get("stat/reports/2026/big").await?.expect(200)?.json()?;
    ensure!(entry["size"] == BIG_LENGTH, "the file is {entry}");
    Ok(())
}

async fn pods_see_it(context: &Context, files: &Files) -> Result<()> {
    let seen = context.exec(POD, "cd /data/reports/2026 && sha256sum < big && stat -c '%a %Y' plain").await?;
    let expected = format!("{}  -\n640 {}", BIG.digest(BIG_LENGTH), 1_770_091_506);
    ensure!(seen == expected, "the pod reads\n{seen}\nexpected\n{expected}");
    // As pods see the root of their volume: what belongs to `files` is in a folder of its own.
    let root = context.exec(POD, "ls -A /data | grep -v '^[.]workspacefs'").await?;
    ensure!(root == "reports", "at the root there is {root:?}");
    context.exec(POD, "echo from a pod > /data/reports/2026/theirs").await?;
    let look = || async {
        let entries = files.list("reports/2026").await?;
        let names: Vec<&Value> = entries.iter().map(|entry| &entry["name"]).collect();
        ensure!(names == ["big", "plain", "theirs"], "there are {names:?}");
        Ok(())
    };
    // NFS clients believe a folder for a while.
    until("what a pod wrote is listed", seconds(90), look).await?;
    let body = files.get("content/reports/2026/theirs").await?.expect(200)?.body;
    ensure!(body == b"from a pod\n", "it reads {:?}", String::from_utf8_lossy(&body));
    let ours = files.list("").await?;
    ensure!(ours.len() == 1, "the API shows its own folder: {ours:?}");
    for hidden in ["list/.workspacefs", "content/.workspacefs-files/x", "list/.workspacefs-files"] {
        files.get(hidden).await?.refused(404, "NotFound")?;
    }
    Ok(())
}

async fn downloads(files: &Files) -> Result<()> {
    const PATH: &str = "content/reports/2026/big";
    let whole = files.get(PATH).await?.expect(200)?;
    ensure!(digest(&whole.body) == BIG.digest(BIG_LENGTH), "the download differs");
    let disposition = whole.header("content-disposition");
    ensure!(disposition.starts_with("attachment") && disposition.contains("big"), "it is {disposition:?}");
    ensure!(whole.header("x-content-type-options") == "nosniff", "no nosniff: {:?}", whole.headers);
    ensure!(whole.header("content-security-policy").contains("sandbox"), "no sandbox: {:?}", whole.headers);
    let (from, to) = (MIB - 5, 2 * MIB + 9);
    let request = files.ask(Method::GET, PATH).header("range", format!("bytes={from}-{}", to - 1));
    let part = answered(request).await?.expect(206)?;
    ensure!(part.body == BIG.bytes(from, usize::try_from(to - from)?), "the range differs");
    let range = format!("bytes {from}-{}/{BIG_LENGTH}", to - 1);
    ensure!(part.header("content-range") == range, "its range is {:?}", part.header("content-range"));
    let tag = whole.header("etag").to_owned();
    let unchanged = files.ask(Method::GET, PATH).header("if-none-match", &tag);
    ensure!(answered(unchanged).await?.expect(304)?.body.is_empty(), "304 with a body");
    let beyond = files.ask(Method::GET, PATH).header("range", format!("bytes={BIG_LENGTH}-"));
    answered(beyond).await?.refused(416, "RangeNotSatisfiable")?;
    files.get("content/reports").await?.refused(409, "IsDirectory").map(drop)
}

async fn moves_and_copies(context: &Context, files: &Files) -> Result<()> {
    let transfer = |from: &str, to: &str| json!({ "from": from, "to": to });
    let (plain, copy) = ("reports/2026/plain", "reports/copy");
    let copied = files.post("copy", &transfer("reports/2026", copy)).await?.expect(200)?.lines()?;
    let last = copied.last().context("no line")?;
    ensure!(last["done"] == true && last["files"] == 3, "the copy ends with {last}");
    files.post("move", &transfer(plain, copy)).await?.refused(409, "Exists")?;
    files.post("move", &transfer("reports/copy/plain", "reports/moved")).await?.expect(200)?;
    files.get("stat/reports/copy/plain").await?.refused(404, "NotFound")?;
    let sums = context.on_server("cd data/reports && sha256sum < copy/big && cat moved").await?;
    let expected = format!("{}  -\n{}", BIG.digest(BIG_LENGTH), String::from_utf8_lossy(PLAIN).trim_end());
    ensure!(sums == expected, "the server has\n{sums}\nexpected\n{expected}");
    let found = files.get("search/reports?name=LAIN").await?.expect(200)?.lines()?;
    ensure!(found.len() == 2 && found[0]["path"] == plain, "a search finds {found:?}");
    ensure!(found[1] == json!({ "done": true, "limited": false }), "a search ends with {:?}", found[1]);
    Ok(())
}

async fn trash(context: &Context, files: &Files) -> Result<()> {
    files.delete("content/reports/copy").await?.refused(409, "NotEmpty")?;
    let deleted = files.delete("content/reports/copy?recursive=true").await?.expect(200)?.json()?;
    let id = deleted["trash"].as_str().context("nothing to undo it with")?.to_owned();
    files.get("stat/reports/copy").await?.refused(404, "NotFound")?;
    context.on_server("test ! -e data/reports/copy").await?;
    let listed = files.get("trash").await?.expect(200)?.json()?;
    let entry = &listed["entries"][0];
    let by = format!("system:serviceaccount:{}:editor", context.namespace());
    ensure!(
        entry["id"] == id.as_str() && entry["path"] == "reports/copy" && entry["deletedBy"] == by,
        "{listed}"
    );
    let restore = format!("trash/{id}/restore");
    files.put("content/reports/copy", "in the way").await?.expect(201)?;
    files.post(&restore, &json!({})).await?.refused(409, "Exists")?;
    files.delete("content/reports/copy?permanent=true").await?.expect(204)?;
    files.post(&restore, &json!({})).await?.expect(200)?;
    let sum = context.on_server("sha256sum < data/reports/copy/big").await?;
    ensure!(sum.starts_with(&BIG.digest(BIG_LENGTH)), "what came back differs: {sum}");
    let usage = files.get("usage").await?.expect(200)?.json()?;
    ensure!(usage["used"].as_u64().is_some_and(|used| used > BIG_LENGTH), "the usage is {usage}");
    ensure!(usage["trash"]["entries"] == 0, "the trash has {usage}");
    Ok(())
}

async fn archive(files: &Files) -> Result<()> {
    let answer = files.get("archive/reports/2026?format=tar").await?.expect(200)?;
    ensure!(
        answer.header("content-type") == "application/x-tar",
        "it is a {:?}",
        answer.header("content-type")
    );
    let mut seen = Vec::new();
    let mut archive = tar::Archive::new(answer.body.as_slice());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes)?;
        if entry.header().entry_type().is_file() {
            seen.push((path, digest(&bytes)));
        }
    }
    seen.sort();
    let expected = [
        ("2026/big".to_owned(), BIG.digest(BIG_LENGTH)),
        ("2026/plain".to_owned(), digest(PLAIN)),
        ("2026/theirs".to_owned(), digest(b"from a pod\n")),
    ];
    ensure!(seen == expected, "the archive holds {seen:?}");
    let zip = files.get("archive/reports/2026?format=zip").await?.expect(200)?;
    // The record that ends it, without a comment, is its last 22 bytes.
    let end = zip.body.len().checked_sub(22).and_then(|at| zip.body.get(at..at + 4));
    ensure!(zip.body.starts_with(b"PK\x03\x04") && end == Some(b"PK\x05\x06"), "the zip has no end");
    Ok(())
}
