//! What each call costs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::time::Duration;

use workspacefs_slowfs::{Counters, Operation, self_check};

use crate::alone::{alone, mounted, quick, start};

/// Both modes, each with a folder of its own that has files already.
fn in_both_modes(folder: &std::path::Path, test: impl Fn(&mut crate::alone::Mounted, bool)) {
    for plus in [false, true] {
        let folder = folder.join(plus.to_string());
        fs::create_dir_all(folder.join("below/dir")).unwrap();
        (0..100).for_each(|n| fs::write(folder.join(format!("below/dir/file-{n}")), "content").unwrap());
        test(&mut mounted(&folder, quick(plus)), plus);
    }
}

fn counted(line: &str) -> Counters {
    line.parse().unwrap()
}

/// What was asked by this, without what has no pause.
fn asked(mounted: &mut crate::alone::Mounted, action: impl FnOnce(&std::path::Path)) -> Counters {
    let before = mounted.slow.counters().unwrap();
    action(&mounted.above);
    let mut asked = mounted.slow.counters().unwrap().since(&before);
    asked.operations.retain(|operation, _| operation.is_slow());
    asked.at_once = 0;
    asked
}

#[test]
fn a_small_file_is_looked_up_opened_and_read_once() {
    alone(module_path!(), "a_small_file_is_looked_up_opened_and_read_once", |folder| {
        in_both_modes(folder, |mounted, _| {
            let asked = asked(mounted, |above| {
                fs::metadata(above.join("dir")).unwrap();
                let mut content = Vec::new();
                let mut file = File::open(above.join("dir/file-7")).unwrap();
                file.metadata().unwrap();
                file.read_to_end(&mut content).unwrap();
                assert_eq!(content, b"content");
            });
            assert_eq!(asked, counted("lookup=2 open=1 read=1"));
            assert_eq!(asked.slow(), 4);
        });
    });
}

#[test]
fn names_that_were_listed_cost_a_lookup_each_unless_attributes_came_with_them() {
    let name = "names_that_were_listed_cost_a_lookup_each_unless_attributes_came_with_them";
    alone(module_path!(), name, |folder| {
        in_both_modes(folder, |mounted, plus| {
            let mut names = BTreeSet::new();
            let listed = asked(mounted, |above| {
                let entries = fs::read_dir(above.join("dir")).unwrap();
                names.extend(entries.map(|entry| entry.unwrap().path()));
            });
            assert_eq!(names.len(), 100);
            let (with, without) = (listed.of(Operation::ReadDirPlus), listed.of(Operation::ReadDir));
            assert_eq!((with > 0, without > 0), (plus, !plus), "{listed}");
            assert_eq!((listed.of(Operation::Lookup), listed.of(Operation::OpenDir)), (1, 1));
            let looked_at = asked(mounted, |_| {
                names.iter().for_each(|name| assert_eq!(fs::symlink_metadata(name).unwrap().len(), 7));
            });
            let expected = if plus { counted("") } else { counted("lookup=100") };
            assert_eq!(looked_at, expected);
        });
    });
}

#[test]
fn a_file_that_is_made_written_and_renamed_costs_each_of_it_once() {
    alone(module_path!(), "a_file_that_is_made_written_and_renamed_costs_each_of_it_once", |folder| {
        in_both_modes(folder, |mounted, _| {
            fs::metadata(mounted.above.join("dir")).unwrap();
            // The first write asks once for an attribute that there is not.
            fs::write(mounted.above.join("first"), "x").unwrap();
            let asked = asked(mounted, |above| {
                fs::write(above.join("dir/.new"), vec![1; 60_000]).unwrap();
                fs::rename(above.join("dir/.new"), above.join("dir/new")).unwrap();
            });
            // Two names that are not there, before they are.
            assert_eq!(asked, counted("lookup=2 create=1 write=1 rename=1"));
        });
    });
}

#[test]
fn directories_of_any_size_are_listed_whole_and_emptied() {
    alone(module_path!(), "directories_of_any_size_are_listed_whole_and_emptied", |folder| {
        in_both_modes(folder, |mounted, plus| {
            let below = mounted.below.join("large");
            fs::create_dir(&below).unwrap();
            let names: BTreeSet<String> = (0..5000).map(|n| format!("{n}-{}", "n".repeat(n % 200))).collect();
            names.iter().for_each(|name| fs::write(below.join(name), "").unwrap());
            let above = mounted.above.join("large");
            let listed: Vec<String> = fs::read_dir(&above)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(listed.len(), 5000, "{plus}");
            assert!(listed.into_iter().collect::<BTreeSet<_>>() == names);
            fs::remove_dir_all(&above).unwrap();
            assert!(!below.exists());
        });
    });
}

#[test]
fn files_take_no_descriptors_and_directories_until_they_are_forgotten() {
    alone(module_path!(), "files_take_no_descriptors_and_directories_until_they_are_forgotten", |folder| {
        in_both_modes(folder, |mounted, plus| {
            let pid = mounted.slow.pid();
            let held = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
            let before = held();
            let path = |n: usize| mounted.above.join(format!("dir/more-{n}"));
            for n in 0..300 {
                fs::create_dir(path(n)).unwrap();
                fs::write(path(n).join("file"), "x").unwrap();
                fs::write(path(n).join("other"), "x").unwrap();
            }
            let with_all = held();
            assert!((before + 300..before + 310).contains(&with_all), "{before} {with_all}");
            (0..300).for_each(|n| fs::remove_dir_all(path(n)).unwrap());
            // The kernel forgets when it finds time to.
            let is_forgotten = (0..200).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                held() <= before + 10
            });
            assert!(is_forgotten, "{plus}: {before} before, {} now", held());
        });
    });
}

#[test]
fn memory_is_not_filled_before_it_is_used() {
    alone(module_path!(), "memory_is_not_filled_before_it_is_used", |folder| {
        in_both_modes(folder, |mounted, _| {
            asked(mounted, |above| drop(fs::read(above.join("dir/file-1")).unwrap()));
            let status = fs::read_to_string(format!("/proc/{}/status", mounted.slow.pid())).unwrap();
            let peak =
                status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            let peak: u64 = peak.unwrap().parse().unwrap();
            assert!(peak < 64 << 10, "{peak} KiB");
        });
    });
}

#[test]
fn a_pause_is_as_long_as_was_asked_for() {
    alone(module_path!(), "a_pause_is_as_long_as_was_asked_for", |folder| {
        fs::create_dir_all(folder.join("below")).unwrap();
        fs::create_dir_all(folder.join("above")).unwrap();
        fs::write(folder.join("below/file"), "").unwrap();
        let settings = workspacefs_slowfs::Settings { delay: Duration::from_millis(80), ..quick(false) };
        let mut slow = start(&folder.join("below"), &folder.join("above"), settings);
        let started = std::time::Instant::now();
        fs::symlink_metadata(folder.join("above/file")).unwrap();
        let elapsed = started.elapsed();
        let lookups = slow.counters().unwrap().slow();
        assert!(lookups == 1 && elapsed >= Duration::from_millis(80), "{lookups}: {elapsed:?}");
    });
}

#[test]
fn lookups_in_one_directory_wait_beside_each_other() {
    alone(module_path!(), "lookups_in_one_directory_wait_beside_each_other", |folder| {
        let check = self_check(env!("CARGO_BIN_EXE_slowfs").as_ref(), folder).unwrap();
        println!("{check:?}");
        assert_eq!(check.lookups, 2000);
        assert!(check.at_once >= 24, "{check:?}");
    });
}
