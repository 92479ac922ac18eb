//! An import from an S3 service of others, filled by Amazon's own client.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use workspacefs_testkit::moto::{ACCESS_KEY_ID, Moto, SECRET_ACCESS_KEY};

use crate::process::Process;

/// More than one page of a listing.
const SMALL: usize = 1203;
const MUCH: usize = 11 << 20;

/// The large one goes up in parts, so that its ETag is no MD5.
const FILLED: &str = "
s3.create_bucket(Bucket='holiday')
for n in range(1203):
    s3.put_object(Bucket='holiday', Key=f'photos/{n % 7}/photo {n}.jpg', Body=b'photo %d\\n' % n)
for key in ['photos/caf\u{e9} & 100%+?#.txt', 'photos/a//b', 'elsewhere/c']:
    s3.put_object(Bucket='holiday', Key=key, Body=key.encode())
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(bytes(n >> 10 & 255 for n in range(11 << 20))), 'holiday', 'photos/much', Config=config)
";

async fn imported(files: &Process, form: &Value) -> Value {
    let begun = files.ask("POST", "/v1/imports", &form.to_string()).await.is(201, "").json();
    let target = format!("/v1/imports/{}", begun["id"].as_str().unwrap());
    loop {
        let import = files.ask("GET", &target, "").await.ok().json();
        if !["listing", "running"].contains(&import["state"].as_str().unwrap()) {
            return import;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_amazons_client_put_into_motos_server_is_imported_and_the_second_time_skipped() {
    let moto = Moto::start();
    moto.run(FILLED);
    let files = Process::start().await;
    let form = json!({
        "provider": "s3", "bucket": "holiday", "prefix": "photos/", "endpoint": moto.endpoint(), "region": "us-east-1",
        "destination": "in", "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY,
    });
    let import = imported(&files, &form).await;
    let objects = json!({ "total": SMALL + 3, "done": SMALL + 2, "skipped": 0, "failed": 1 });
    assert_eq!((&import["state"], &import["objects"]), (&json!("done"), &objects), "{import}");
    assert_eq!(import["failures"][0]["key"], "photos/a//b", "{import}");
    assert_eq!(import["bySize"], 1, "{import}");

    let folder = files.dir.path().join("root/in");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(files.dir.path().join("root").join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let wanted = ["0", "1", "2", "3", "4", "5", "6", "caf\u{e9} & 100%+?#.txt", "much"];
    assert_eq!(names("in"), wanted.map(str::to_owned).into());
    for n in 0..SMALL {
        let content = fs::read_to_string(folder.join(format!("{}/photo {n}.jpg", n % 7))).unwrap();
        assert_eq!(content, format!("photo {n}\n"));
    }
    assert_eq!((0..7).map(|n| names(&format!("in/{n}")).len()).sum::<usize>(), SMALL);
    assert_eq!(fs::read_to_string(folder.join(wanted[7])).unwrap(), "photos/caf\u{e9} & 100%+?#.txt");
    assert!(fs::read(folder.join("much")).unwrap().iter().copied().eq((0..MUCH).map(|n| (n >> 10) as u8)));

    let again = imported(&files, &form).await;
    assert_eq!(
        (&again["objects"]["done"], &again["objects"]["skipped"]),
        (&json!(0), &json!(SMALL + 2)),
        "{again}"
    );
    let mut elsewhere = form;
    elsewhere["bucket"] = "nowhere".into();
    let refused = files.ask("POST", "/v1/imports", &elsewhere.to_string()).await.is(400, "").json();
    assert_eq!(refused["field"], "bucket", "{refused}");
}
