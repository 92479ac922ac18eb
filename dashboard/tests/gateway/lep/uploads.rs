//! Uploads: where they go, what they replace, and what becomes of those that are not whole.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::{BASE, Lep, form, head, request, tail, upload};
use crate::world::JANE;

const F: &str = "/storage/default";

/// The file API sees a moment later than the caller that nothing more comes.
async fn nothing_is_unfinished(lep: &Lep) {
    let gone = async {
        while lep.files.unfinished() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("what was begun stays");
}

#[tokio::test]
async fn the_address_says_where_an_upload_goes_and_parents_are_made() {
    let lep = Lep::start().await;
    assert_eq!(lep.upload(&format!("{F}/a/b/there.txt"), "one").await.status, 201);
    assert_eq!(lep.files.read("a/b/there.txt").as_deref(), Some("one"));
    assert_eq!(lep.upload(&format!("{F}/a/b/there.txt"), "two").await.status, 200, "a file is replaced");
    assert_eq!(lep.files.read("a/b/there.txt").as_deref(), Some("two"));
    assert_eq!(lep.upload(&format!("{F}/empty"), "").await.status, 201);
    assert_eq!(lep.files.read("empty").as_deref(), Some(""));
}

#[tokio::test]
async fn an_upload_onto_a_folder_is_409_which_the_client_hears_after_its_last_byte() {
    let lep = Lep::start().await;
    lep.files.write("d1/b.txt", "b");
    lep.files.write("file", "f");
    let large = "x".repeat(20 << 20);
    for (path, code) in [
        ("/d1", "IsDirectory"),
        ("/d1/", "IsDirectory"),
        ("/new/", "IsDirectory"),
        ("/", "IsDirectory"),
        ("/file/x", "NotDirectory"),
    ] {
        let said = lep.upload(&format!("{F}{path}"), &large).await;
        assert_eq!((said.status.as_u16(), said.code().as_str()), (409, code), "{path}");
    }
    assert_eq!(lep.files.read("file").as_deref(), Some("f"));
    nothing_is_unfinished(&lep).await;
    assert!(!lep.files.path("new").exists());
}

#[tokio::test]
async fn contents_that_look_like_the_end_of_a_form_arrive_byte_by_byte() {
    let lep = Lep::start().await;
    let tricky = "\r\n--4f1d0c5be7a\r\n--\r\n\r--4f1d0c5be7a2\n\r\n".repeat(3000);
    assert_eq!(lep.upload(&format!("{F}/tricky"), &tricky).await.status, 201);
    assert!(lep.files.read("tricky").unwrap() == tricky);
    // One byte at a time, so that every line is torn.
    let whole: Vec<u8> = form("file", &tricky[..200]).into_bytes();
    let torn = stream::iter(whole).map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![byte])));
    let said = lep.world.ask(upload(JANE, &format!("{BASE}{F}/torn"), Body::from_stream(torn))).await;
    assert_eq!(said.status, 201);
    assert!(lep.files.read("torn").unwrap() == tricky[..200]);
}

#[tokio::test]
async fn what_is_no_form_with_one_file_leaves_nothing() {
    let lep = Lep::start().await;
    let two = format!("{}one{}", head("file"), tail().replace("--\r\n", "\r\n"))
        + form("file", "two").split_once("\r\n").unwrap().1;
    for (what, body) in [
        ("another name", form("files", "x")),
        ("no part", "--4f1d0c5be7a2--\r\n".into()),
        ("nothing", String::new()),
        ("no last line", format!("{}content", head("file"))),
        ("half a last line", format!("{}content\r\n--4f1d0c5be7a2", head("file"))),
        ("two parts", two),
        ("an endless head", format!("--4f1d0c5be7a2\r\nX: {}", "x".repeat(1 << 20))),
        ("an endless preamble", "x".repeat(1 << 20)),
        ("an endless padding", format!("{}content\r\n--4f1d0c5be7a2{}", head("file"), " ".repeat(1 << 20))),
    ] {
        let said = lep.world.ask(upload(JANE, &format!("{BASE}{F}/bad/x"), body)).await;
        assert_eq!((said.status.as_u16(), said.code()), (400, "BadRequest".into()), "{what}: {said:?}");
    }
    let mut plain = request(JANE, "POST", &format!("{BASE}{F}/bad/x"));
    *plain.body_mut() = Body::from("plain");
    assert_eq!(lep.world.ask(plain).await.status, 400);
    nothing_is_unfinished(&lep).await;
    assert!(!lep.files.path("bad").exists());
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_what_was_there() {
    let lep = Lep::start().await;
    lep.files.write("kept", "old");
    let (send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let request = upload(JANE, &format!("{BASE}{F}/kept"), Body::from_stream(ReceiverStream::new(pieces)));
    let breaking = async {
        send.send(Ok(head("file").into())).await.unwrap();
        send.send(Ok("x".repeat(2 << 20).into())).await.unwrap();
        let begun = async {
            while lep.files.unfinished() == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), begun).await.expect("it goes on while it comes");
        send.send(Err(std::io::Error::other("cut"))).await.unwrap();
    };
    let (said, ()) = tokio::join!(lep.world.try_send(request), breaking);
    assert!(said.is_err());
    nothing_is_unfinished(&lep).await;
    assert_eq!(lep.files.read("kept").as_deref(), Some("old"));
}
