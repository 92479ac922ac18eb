//! A bucket as the source, served in this process.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};
use workspacefs_api::PathState::{Evicted, Missing, Partial, Whole};
use workspacefs_api::mover::FailureReason;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, Fault, SECRET_ACCESS_KEY, Seen, Store};

use crate::tree::{inode, look, names};
use crate::world::{Said, World, noise};

/// Larger than a part, so that there are several.
const LARGE: usize = 9_000_001;

struct Cloud {
    world: World,
    service: FakeS3,
    _runtime: Runtime,
}

impl Cloud {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let service = runtime.block_on(FakeS3::start("buck")).unwrap();
        let cloud = Self { world: World::new(), service, _runtime: runtime };
        cloud.keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        cloud
    }

    fn keys(&self, id: &str, secret: &str) {
        let folder = self.world.path("credentials");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("accessKeyId"), id).unwrap();
        fs::write(folder.join("secretAccessKey"), secret).unwrap();
    }

    fn store(&self) -> &Store {
        self.service.store()
    }

    fn command(&self, generation: i64, arguments: &[&str]) -> Command {
        let mut command = self.world.command(&[]);
        command.args(["--generation", &generation.to_string(), "--endpoint", &self.service.endpoint()]);
        command.arg("--credentials").arg(self.world.path("credentials")).args(arguments);
        if !arguments.contains(&"--bucket") {
            command.args(["--bucket", "buck"]);
        }
        command
    }

    fn fill(&self, generation: i64, arguments: &[&str]) -> Said {
        self.world.said_by(self.command(generation, arguments))
    }

    fn read(&self, generation: i64, path: &str) -> Vec<u8> {
        fs::read(self.world.data(generation).join(path)).unwrap()
    }

    /// The keys of which content was sent since the last call.
    fn fetched(&self) -> Vec<String> {
        let is_content = |seen: &Seen| seen.method == "GET" && !seen.key.is_empty();
        let mut keys: Vec<_> =
            self.store().take_seen().into_iter().filter(is_content).map(|seen| seen.key).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

#[test]
fn objects_are_files_below_the_prefix_verified_and_for_everybody_to_read() {
    let cloud = Cloud::new();
    let large = noise(1, LARGE);
    cloud.store().put("p/a/b c+ä%2F", "x");
    cloud.store().put("p/large", large.clone());
    cloud.store().put("p/empty", "");
    cloud.store().put("p/", "");
    cloud.store().put("p/folder/", "");
    cloud.store().put("other", "not asked for");
    let said = cloud.fill(1, &["--prefix", "p/"]).made(1).states(&[Whole]);
    let path = &said.outcome.paths[0];
    assert_eq!((path.files, path.bytes, &*path.message), (3, 1 + LARGE as u64, ""));
    assert_eq!((cloud.read(1, "a/b c+ä%2F"), cloud.read(1, "large") == large), (b"x".to_vec(), true));
    assert_eq!(names(&cloud.world.data(1)), ["a", "empty", "large"]);
    assert_eq!(names(&cloud.world.target().join("1")), ["data", "filling.json", "manifest", "paths.json"]);
    let mode =
        |path: &str| fs::metadata(cloud.world.data(1).join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(""), mode("a"), mode("large")], [0o755, 0o755, 0o644]);
    let modified = fs::metadata(cloud.world.data(1).join("a/b c+ä%2F")).unwrap().mtime();
    assert_eq!(modified, 1_700_000_001);
    // What was said is said again, and what lies there is what its manifest says.
    cloud.fetched();
    cloud.fill(1, &["--prefix", "p/"]).made(1).states(&[Whole]);
    assert_eq!(cloud.fetched(), [""; 0]);
    cloud.world.run(&["--scrub", "--generation", "1"]).made(1).states(&[Whole]);
    fs::write(cloud.world.data(1).join("large"), noise(2, LARGE)).unwrap();
    let said = cloud.world.run(&["--scrub", "--generation", "1"]).states(&[Partial]);
    said.says(0, "first large: has other content");
}

#[test]
fn a_refresh_fetches_what_changed_links_the_rest_and_leaves_the_earlier_one_alone() {
    let cloud = Cloud::new();
    for key in ["same", "d/same", "changed", "gone", "d/e/gone", "becomes-a-folder", "was/a/folder"] {
        cloud.store().put(key, format!("first {key}"));
    }
    cloud.fill(1, &[]).made(1);
    let first = look(&cloud.world.data(1));
    cloud.fetched();
    for key in ["gone", "d/e/gone", "becomes-a-folder", "was/a/folder"] {
        cloud.store().remove(key);
    }
    // Of the same length.
    cloud.store().put("changed", "secnd changed");
    cloud.store().put("becomes-a-folder/x", "new");
    cloud.store().put("was", "new");
    cloud.fill(2, &["--earlier", "1"]).made(2).states(&[Whole]);
    assert_eq!(cloud.fetched(), ["becomes-a-folder/x", "changed", "was"]);
    assert_eq!(look(&cloud.world.data(1)), first);
    assert_eq!(names(&cloud.world.data(2)), ["becomes-a-folder", "changed", "d", "same", "was"]);
    assert_eq!(names(&cloud.world.data(2).join("d")), ["same"]);
    let inode_of = |generation, path: &str| inode(&cloud.world.data(generation).join(path));
    for path in ["same", "d/same"] {
        assert_eq!(inode_of(1, path), inode_of(2, path), "{path}");
    }
    assert_eq!(cloud.read(2, "changed"), b"secnd changed");
    cloud.world.run(&["--scrub", "--generation", "2"]).made(2).states(&[Whole]);
    // A copy that is damaged is fetched again where it is found wrong, and the earlier one is not written to.
    fs::write(cloud.world.data(2).join("same"), "damaged!!!").unwrap();
    cloud.fill(3, &["--earlier", "2"]).made(3).states(&[Whole]);
    assert_eq!((cloud.fetched(), cloud.read(3, "same")), (vec!["same".to_owned()], b"first same".to_vec()));
    assert_eq!(cloud.read(2, "same"), b"damaged!!!");
}

#[test]
fn a_generation_of_another_bucket_is_neither_said_again_nor_gone_on_with_nor_linked_from() {
    let cloud = Cloud::new();
    cloud.store().put("file", "x");
    cloud.fill(1, &["--identity", "s3:other"]).made(1);
    cloud.fetched();
    let said = cloud.fill(1, &["--identity", "s3:buck"]).failed(FailureReason::Failed);
    assert!(said.outcome.failure.unwrap().message.contains("copy of another source"));
    cloud.fill(2, &["--identity", "s3:buck", "--earlier", "1"]).made(2);
    assert_eq!(cloud.fetched(), ["file"]);
    let (made, left) = (cloud.world.target().join("1"), cloud.world.target().join("filling-3"));
    fs::rename(made, left).unwrap();
    cloud.fill(3, &["--identity", "s3:buck"]).made(3);
    assert_eq!(cloud.fetched(), ["file"]);
}

#[test]
fn what_a_run_that_was_cut_had_fetched_is_not_fetched_again_and_what_it_left_goes() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let cloud = Cloud::new();
        // So much that it is written down at once, before anything else is.
        cloud.store().put("big", noise(9, 65 << 20));
        (0..40).for_each(|n| cloud.store().put(&format!("k{n:02}"), noise(n, 1000)));
        cloud.store().put("goes/meanwhile", "x");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        cloud.store().on_request(move |seen, _| {
            let is_late = seen.key.starts_with('k') && counted.fetch_add(1, Ordering::Relaxed) >= 20;
            is_late.then_some(Fault::Silence)
        });
        let mut child = cloud.command(1, &["--workers", "4"]).spawn().unwrap();
        let began = Instant::now();
        while count.load(Ordering::Relaxed) < 24 && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What has been answered is placed.
        std::thread::sleep(Duration::from_millis(500));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        child.wait().unwrap();
        cloud.store().clear_hook();
        cloud.store().remove("goes/meanwhile");
        let placed = names(&cloud.world.target().join("filling-1/data"));
        assert!(placed.len() >= 20, "{placed:?}");
        cloud.fetched();
        cloud.fill(1, &[]).made(1).states(&[Whole]);
        let again = cloud.fetched();
        match signal {
            Signal::SIGTERM => {
                assert!(again.iter().all(|key| !placed.contains(key)), "{again:?} of {placed:?}")
            }
            _ => assert!(!again.contains(&"big".to_owned()), "{again:?}"),
        }
        assert_eq!(names(&cloud.world.data(1)).len(), 41);
        (0..40).for_each(|n| assert_eq!(cloud.read(1, &format!("k{n:02}")), noise(n, 1000)));
    }
}

#[test]
fn an_object_that_changes_while_it_is_read_is_read_anew_and_one_that_goes_is_none() {
    let cloud = Cloud::new();
    cloud.store().put("large", noise(1, LARGE));
    cloud.store().put("goes", noise(2, LARGE));
    cloud.store().put("stays", "x");
    let once = Mutex::new(true);
    cloud.store().on_request(move |seen, store| {
        let is_second_part = seen.range.as_deref().is_some_and(|range| range.starts_with("bytes=4194304-"));
        match &*seen.key {
            "large" if is_second_part && std::mem::take(&mut *once.lock().unwrap()) => {
                store.put("large", noise(3, LARGE + 5));
            }
            "goes" if is_second_part => store.remove("goes"),
            _ => {}
        }
        None
    });
    let said = cloud.fill(1, &[]).made(1).states(&[Whole]);
    assert_eq!(
        (said.outcome.paths[0].files, names(&cloud.world.data(1))),
        (2, vec!["large".into(), "stays".to_owned()])
    );
    assert!(cloud.read(1, "large") == noise(3, LARGE + 5));
    // One that changes all the time is named, and nothing half of it stays.
    let seed = AtomicUsize::new(10);
    cloud.store().on_request(move |seen, store| {
        if seen.range.as_deref().is_some_and(|range| range.starts_with("bytes=4194304-")) {
            store.put("large", noise(seed.fetch_add(1, Ordering::Relaxed) as u64, LARGE));
        }
        None
    });
    cloud.store().put("large", noise(4, LARGE));
    let said = cloud.fill(2, &[]).failed(FailureReason::NothingWhole).states(&[Partial]);
    said.says(0, "1 object of the bucket cannot be read, first \"large\": the object was changed");
}

#[test]
fn keys_that_can_be_no_files_are_told_by_number_and_name_and_the_rest_goes_on() {
    let cloud = Cloud::new();
    for key in ["a", "a/b", "d/../../etc/passwd", "x//y", "/z", "full/", "ok/file", "n\0l"] {
        cloud.store().put(key, "content");
    }
    let said = cloud.fill(1, &[]).made(1).states(&[Whole]);
    assert_eq!(names(&cloud.world.data(1)), ["a", "ok"]);
    let said =
        said.says(0, "6 objects of the bucket cannot be files, first \"/z\": a part of it between slashes");
    assert_eq!(said.outcome.paths[0].files, 2);
    assert!(!cloud.world.path("etc").exists());
}

#[test]
fn what_can_be_verified_by_its_size_alone_says_so_at_the_next_refresh_too() {
    let cloud = Cloud::new();
    cloud.store().put_as("parts", noise(1, 100), "0123456789abcdef0123456789abcdef-2", &[]);
    let kms = [("x-amz-server-side-encryption", "aws:kms")];
    cloud.store().put_as("kms", noise(2, 100), "0123456789abcdef0123456789abcdef", &kms);
    cloud.store().put("plain", "x");
    let words = "2 objects of the bucket could be verified by size alone, first \"kms\"";
    cloud.fill(1, &[]).made(1).states(&[Whole]).says(0, words);
    cloud.fetched();
    cloud.fill(2, &["--earlier", "1"]).made(2).states(&[Whole]).says(0, words);
    assert_eq!(cloud.fetched(), [""; 0]);
}

#[test]
fn wrong_keys_and_a_bucket_that_is_gone_are_told_apart_and_no_key_is_told() {
    let cloud = Cloud::new();
    cloud.store().put("k", "x");
    let check = |said: Said, reason, words: &str| {
        let said = said.failed(reason);
        let message = &said.outcome.failure.as_ref().unwrap().message;
        assert!(message.contains(words), "{message}");
        for key in [ACCESS_KEY_ID, SECRET_ACCESS_KEY, "AKIDOFNOBODY", "a-wrong-secret"] {
            assert!(!said.stderr.contains(key) && !message.contains(key), "{} {message}", said.stderr);
        }
    };
    cloud.keys("AKIDOFNOBODY", SECRET_ACCESS_KEY);
    check(cloud.fill(1, &[]), FailureReason::AccessDenied, "access key id: ");
    cloud.keys(ACCESS_KEY_ID, "a-wrong-secret");
    check(cloud.fill(1, &[]), FailureReason::AccessDenied, "secret access key: ");
    cloud.keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    check(
        cloud.fill(1, &["--bucket", "another"]),
        FailureReason::NoSuchBucket,
        "bucket: there is no bucket \"another\"",
    );
    check(cloud.fill(1, &["--region", "eu-west-1"]), FailureReason::SourceUnreachable, "region: ");
    fs::remove_file(cloud.world.path("credentials/secretAccessKey")).unwrap();
    check(cloud.fill(1, &[]), FailureReason::AccessDenied, "the Secret has no secretAccessKey");
    cloud.keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    // It goes after it was listed twice, once to be measured; of a large object the first answer has no words.
    for content in [1, LARGE] {
        cloud.store().put("k", noise(1, content));
        let listings = AtomicUsize::new(0);
        cloud.store().on_request(move |seen, store| {
            store.set_exists(seen.key.is_empty() && listings.fetch_add(1, Ordering::Relaxed) < 2);
            None
        });
        check(cloud.fill(1, &[]), FailureReason::NoSuchBucket, "bucket: there is no bucket \"buck\"");
        cloud.store().clear_hook();
        cloud.store().set_exists(true);
    }
    cloud.fill(1, &[]).made(1).states(&[Whole]);
}

#[test]
fn what_is_listed_and_never_there_keeps_the_copy_from_being_whole_and_an_empty_bucket_is_none() {
    let cloud = Cloud::new();
    cloud.store().put("hidden", "x");
    cloud.store().put("open", "x");
    cloud.store().on_request(|seen, _| (seen.key == "hidden").then_some(Fault::Error(404, "NoSuchKey")));
    let said = cloud.fill(1, &[]).failed(FailureReason::NothingWhole).states(&[Partial]);
    said.says(0, "1 object of the bucket cannot be found, first \"hidden\": it was listed");
    cloud.store().clear_hook();
    let said = cloud.fill(1, &["--prefix", "typo/"]).failed(FailureReason::NothingWhole);
    said.states(&[Missing]);
    cloud.fill(1, &[]).made(1).states(&[Whole]);
}

#[test]
fn an_object_that_may_not_be_read_keeps_the_copy_from_being_whole() {
    let cloud = Cloud::new();
    cloud.store().put("secret", "x");
    cloud.store().put("open", "x");
    cloud.store().on_request(|seen, _| (seen.key == "secret").then_some(Fault::Error(403, "AccessDenied")));
    let said = cloud.fill(1, &[]).failed(FailureReason::NothingWhole).states(&[Partial]);
    said.says(0, "first \"secret\": access denied");
    cloud.store().clear_hook();
    cloud.fetched();
    cloud.fill(1, &[]).made(1).states(&[Whole]);
    assert_eq!(cloud.fetched(), ["secret"]);
}

#[test]
fn more_than_the_limit_or_the_target_holds_is_left_out_with_the_numbers() {
    let cloud = Cloud::new();
    cloud.store().put("a", noise(1, 600));
    cloud.store().put("b", noise(2, 600));
    let said = cloud.fill(1, &["--capacity", "1000"]).failed(FailureReason::TargetFull).states(&[Evicted]);
    said.says(0, "its 1200 bytes do not fit");
    cloud.fill(1, &["--capacity", "1200"]).made(1).states(&[Whole]);
    crate::world::own_mounts();
    let cloud = Cloud::new();
    crate::world::memory(&cloud.world.target(), "size=1m");
    cloud.store().put("a", noise(1, LARGE));
    let said = cloud.fill(1, &[]).failed(FailureReason::TargetFull).states(&[Evicted]);
    said.says(0, "the target takes no more");
}

#[test]
fn a_limit_of_bandwidth_holds() {
    let cloud = Cloud::new();
    (0..30).for_each(|n| cloud.store().put(&format!("{n}"), noise(n, 100_000)));
    let began = Instant::now();
    cloud.fill(1, &["--bandwidth", "1000000"]).made(1);
    assert!(began.elapsed() >= Duration::from_millis(2500), "{:?}", began.elapsed());
}
