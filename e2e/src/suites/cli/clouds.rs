//! `wfs storage import`: from a service that speaks S3, on the cluster's bridge, to the end that the command waits for.

use anyhow::{Result, ensure};
use tokio::net::TcpListener;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY};

use super::FS;
use super::desk::{Desk, shop};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::files::{Content, MIB, Shop};
use crate::topology::GATEWAY;

const BUCKET: &str = "holiday";
const SMALL: usize = 20;
/// Read in parts.
const LARGE: Content = Content("an object that wfs imports");
const LARGE_LENGTH: usize = 24 * MIB as usize + 77;
/// What people type by mistake.
const NOBODY: &str = "AKIDOFNOBODY";
const WRONG: &str = "wrong-7e21-secret-access-key";

pub fn cases() -> Vec<Case> {
    let all = cases![an_import_by_wfs_brings_every_byte_and_a_wrong_key_is_named];
    all.into_iter().map(|case| case.within(400)).collect()
}

async fn an_import_by_wfs_brings_every_byte_and_a_wrong_key_is_named(context: Context) -> Result<()> {
    let Shop { door, token, .. } = shop(&context).await?;
    let service = FakeS3::serve(TcpListener::bind((GATEWAY, 0)).await?, BUCKET)?;
    let objects = objects();
    for (name, content) in &objects {
        service.store().put(&format!("photos/{name}"), content.clone());
    }
    service.store().put("other", "not asked for");
    let mut desk = Desk::with_token(&context, &door, &token)?;
    desk.keeps_secret(SECRET_ACCESS_KEY);
    desk.keeps_secret(WRONG);
    desk.set("AWS_ENDPOINT_URL", service.endpoint());
    let import = ["import", "s3", BUCKET, "/from cloud", "--prefix", "photos/"];

    desk.storage(&import).await?.ended(2)?.complains("AWS_SECRET_ACCESS_KEY")?;
    for (id, secret, field) in
        [(NOBODY, SECRET_ACCESS_KEY, "access key id: "), (ACCESS_KEY_ID, WRONG, "secret access key: ")]
    {
        desk.set("AWS_ACCESS_KEY_ID", id);
        desk.set("AWS_SECRET_ACCESS_KEY", secret);
        desk.storage(&import).await?.ended(1)?.complains(field)?;
    }
    let begun = desk.storage(&["import", "ls", "-o", "json"]).await?.ended(0)?;
    ensure!(begun.stdout.is_empty(), "an import was begun with wrong keys: {begun:?}");
    ensure!(context.on_server(&format!("ls {FS}")).await?.is_empty(), "something was written");

    // The file counts, whatever the environment says.
    let keys = format!(
        "[default]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
    );
    desk.write("keys", keys)?;
    let import = [&import[..], &["--credentials-file", "keys"]].concat();
    let count = objects.len();
    desk.storage(&import).await?.ended(0)?.says(&format!("{count} of {count} objects"))?;
    arrived(&context, &desk, &objects).await?;
    desk.storage(&["import", "ls"]).await?.ended(0)?.says("done")?.says("/from cloud")?;

    // What is there is not read again, and a key that is no path is named.
    service.store().put("photos/a//b", "never to be written");
    let said = desk.storage(&[&import[..], &["-o", "json"]].concat()).await?.ended(3)?;
    let report = said.complains("photos/a//b")?.report()?;
    ensure!(
        report["objects"]["skipped"] == count && report["objects"]["failed"] == 1,
        "the second import counts {report}"
    );
    arrived(&context, &desk, &objects).await
}

/// Names beneath the prefix, and contents.
fn objects() -> Vec<(String, Vec<u8>)> {
    let small = |number: usize| {
        let name = format!("{}/photo {number}.jpg", number % 3);
        (name, format!("photo {number}\n").repeat(number * 10).into_bytes())
    };
    let large = ("größe/large.tiff".to_owned(), LARGE.bytes(0, LARGE_LENGTH));
    (0..SMALL).map(small).chain([large]).collect()
}

/// Exactly these files are there: as the server has them on its disk, and as `wfs` brings them back.
async fn arrived(context: &Context, desk: &Desk, objects: &[(String, Vec<u8>)]) -> Result<()> {
    let look = format!("cd '{FS}/from cloud' && find . -type f | wc -l && sha256sum < größe/large.tiff");
    let seen = context.on_server(&look).await?;
    let expected = format!("{}\n{}  -", objects.len(), LARGE.digest(LARGE_LENGTH as u64));
    ensure!(seen == expected, "the server has\n{seen}\nexpected\n{expected}");
    desk.storage(&["download", "-r", "/from cloud", "back"]).await?.ended(0)?;
    for (name, content) in objects {
        let back = desk.read(&format!("back/from cloud/{name}"))?;
        ensure!(back == *content, "{name} is another file: {} bytes of {}", back.len(), content.len());
    }
    Ok(())
}
