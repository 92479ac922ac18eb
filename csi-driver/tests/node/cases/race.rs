//! The attack of CVE-2021-25741: a folder on the way is swapped for a symbolic link while it is resolved.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::world::{Claim, World, inline, names};

const SWAPS: u64 = 1_000_000;
/// No swapping for longer than this, however slow the machine is.
const TIME_MAX: Duration = Duration::from_secs(150);

pub async fn a_folder_swapped_for_a_link_a_million_times_never_leads_out(world: World) {
    let export = world.export("e");
    for folder in ["a/way/data", "other-tenant/data"] {
        fs::create_dir_all(export.join(folder)).unwrap();
    }
    fs::write(export.join("a/way/data/inside"), "").unwrap();
    fs::write(export.join("other-tenant/data/outside"), "").unwrap();
    fs::create_dir(world.path("outside/data")).unwrap();
    fs::write(world.path("outside/data/outside"), "").unwrap();
    // One leads to another tenant's folder of the same share, one off the share.
    symlink("../other-tenant", export.join("a/near")).unwrap();
    symlink(world.path("outside"), export.join("a/far")).unwrap();
    let world = world.with_file_system(&export, "a");
    let node = world.node();
    let swaps = Arc::new(AtomicU64::new(0));
    let swapper = std::thread::spawn({
        let (swaps, folder) = (swaps.clone(), export.join("a"));
        move || {
            let started = Instant::now();
            while swaps.load(Ordering::Relaxed) < SWAPS && started.elapsed() < TIME_MAX {
                for link in ["near", "far"] {
                    for _ in 0..2 {
                        renameat_with(CWD, folder.join("way"), CWD, folder.join(link), RenameFlags::EXCHANGE)
                            .unwrap();
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    });
    let (mut inside, mut refused) = (0, 0);
    while !swapper.is_finished() {
        let request = inline(&world.target("v"), "way/data");
        match node.publish(request.clone()).await {
            Ok(()) => {
                assert!(world.target("v").join("inside").exists(), "something else was mounted");
                assert!(!world.target("v").join("outside").exists(), "the outside was mounted");
                inside += 1;
            }
            Err(_) => refused += 1,
        }
        node.undo(&request).await;
    }
    swapper.join().unwrap();
    let swaps = swaps.load(Ordering::Relaxed);
    println!("{swaps} swaps, {inside} mounted inside, {refused} refused");
    assert!(swaps >= SWAPS, "only {swaps} swaps");
    assert!(inside > 0 && refused > 0, "the race was not run: {inside} inside, {refused} refused");
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

/// The same on the way to a FileSystem's own folder, which is made while somebody swaps.
pub async fn a_folder_is_never_made_behind_a_link(world: World) {
    let export = world.export("e");
    fs::create_dir_all(export.join("ws/way")).unwrap();
    fs::create_dir(export.join("ws/other-tenant")).unwrap();
    symlink("other-tenant", export.join("ws/link")).unwrap();
    let node = world.node();
    let done = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (done, folder) = (done.clone(), export.join("ws"));
        move || {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, folder.join("way"), CWD, folder.join("link"), RenameFlags::EXCHANGE)
                    .unwrap();
                // Each of the two is there for long enough to be met.
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    });
    let (mut made, mut refused) = (0, 0);
    for number in 0..500 {
        let uid = format!("{number:08x}-d9cb-469f-a165-70867728950e");
        let claim = Claim { uid, ..Claim::of(&export, &format!("ws/way/{number}/deep")) };
        let request = claim.at(&world.target("v"));
        match node.publish(request.clone()).await {
            Ok(()) => made += 1,
            Err(_) => refused += 1,
        }
        node.undo(&request).await;
    }
    done.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    println!("{made} made, {refused} refused");
    assert_eq!(
        names(&export.join("ws/other-tenant")),
        Vec::<String>::new(),
        "made in another tenant's folder"
    );
    assert!(made > 0 && refused > 0, "the race was not run: {made} made, {refused} refused");
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}
