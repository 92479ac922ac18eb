//! Block devices: which are formatted, which are ours, and which are never touched.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use workspacefs_nfs_server::storage::Source;
use workspacefs_sys::{inspect, unmount};

use crate::kill::mkfs_killed_at;
use crate::world::{Image, MIB, MountPoint, Ours, file_system, names, refused, run, text};

/// What XFS needs, and a little more.
const MIB_MIN: u64 = 320;

pub fn a_blank_device_becomes_ours_and_is_found_again() {
    let disk = Ours::new(MIB_MIN);
    assert_eq!(names(disk.mount.path()), ["archive", "export", "new", "state", "trash", "workspacefs.json"]);
    let marker = fs::read_to_string(disk.path("workspacefs.json")).unwrap();
    assert_eq!(run("blkid", &["-p", "-s", "LABEL", "-o", "value", text(disk.image.device())]), "workspacefs");
    disk.folders.ensure_file_system(&file_system(50)).unwrap();
    fs::write(disk.own().join("file"), "kept").unwrap();
    let disk = disk.restarted();
    assert_eq!(fs::read_to_string(disk.path("workspacefs.json")).unwrap(), marker);
    assert_eq!(fs::read_to_string(disk.own().join("file")).unwrap(), "kept");
    assert_eq!(disk.folders.file_systems().unwrap().len(), 1);
}

fn put(image: &Image, offset: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(image.device()).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

pub fn a_device_with_anything_on_it_is_never_written_to() {
    // Small ones are refused before their size matters; mkfs.xfs makes none.
    const MIB_SMALL: u64 = 32;
    let last = MIB_SMALL * MIB - 1;
    /// An XFS superblock as a cut mkfs of somebody else's leaves it.
    fn half_xfs(image: &Image) {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(b"XFSB");
        head[108..113].copy_from_slice(b"other");
        head[126] = 1;
        put(image, 0, &head);
    }
    type Fill = Box<dyn Fn(&Image)>;
    let mkfs = |program: &'static str, arguments: &'static [&'static str]| -> Fill {
        Box::new(move |image: &Image| {
            run(program, &[arguments, &[text(image.device())]].concat());
        })
    };
    let bytes = |offset: u64, bytes: &'static [u8]| -> Fill {
        Box::new(move |image: &Image| put(image, offset, bytes))
    };
    let table: Vec<(&str, Fill, &[&str])> = vec![
        ("ext4", mkfs("mkfs.ext4", &["-q", "-F"]), &["ext4"]),
        ("ext4 with our label", mkfs("mkfs.ext4", &["-q", "-F", "-L", "workspacefs"]), &["ext4"]),
        ("another xfs", mkfs("mkfs.xfs", &["-q", "-f"]), &["xfs"]),
        ("an xfs with another label", mkfs("mkfs.xfs", &["-q", "-f", "-L", "data"]), &["\"data\""]),
        ("swap", mkfs("mkswap", &["-q"]), &["swap"]),
        ("LUKS", bytes(0, b"LUKS\xba\xbe\0\x02"), &[]),
        ("LVM", bytes(512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0 \0\0\0LVM2 001"), &[]),
        ("a partition table", bytes(446, &PARTITION), &[]),
        ("a byte at the start", bytes(0, b"x"), &["not blank"]),
        ("a byte in the first MiB", bytes(MIB - 1, b"x"), &["not blank"]),
        ("a byte at the end", bytes(last, b"x"), &["not blank"]),
        ("a byte in the last MiB", bytes(last - MIB + 1, b"x"), &["not blank"]),
        ("half an xfs of others", Box::new(half_xfs), &[]),
    ];
    let mount = MountPoint::new();
    for (what, fill, words) in table {
        println!("  {what}:");
        let image = Image::blank(if what.contains("xfs") { MIB_MIN } else { MIB_SMALL });
        fill(&image);
        let before = image.content();
        refused(
            image.source().take(mount.path()),
            &[words, &["nothing was written", text(image.device())]].concat(),
        );
        assert_eq!(image.content(), before, "{what}: it was written to");
        assert_eq!(inspect::is_mount_root(mount.path()), Ok(false), "{what}: it is still mounted");
    }
}

/// The first entry of an MBR and, 64 bytes later, its signature.
const PARTITION: [u8; 66] = {
    let mut entry = [0; 66];
    entry[4] = 0x83;
    entry[9] = 8;
    entry[13] = 8;
    entry[64] = 0x55;
    entry[65] = 0xaa;
    entry
};

pub fn our_own_formatting_killed_at_any_write_is_finished() {
    let mount = MountPoint::new();
    // Each of the first, when the superblock is written; then some, and the last.
    let writes = (1..16).chain((16..).step_by(5));
    for write in writes {
        let image = Image::blank(MIB_MIN);
        if !mkfs_killed_at(&["-q", "-L", "workspacefs", text(image.device())], write) {
            assert!(write > 10, "mkfs.xfs wrote {write} times only");
            println!("  fewer than {write} writes");
            break;
        }
        drop(image.source().take(mount.path()).unwrap_or_else(|error| panic!("write {write}: {error:?}")));
        assert!(names(mount.path()).contains(&"workspacefs.json".to_string()));
        unmount::plain(mount.path()).unwrap();
    }
}

pub fn a_device_killed_between_formatting_and_marker_is_ours() {
    let (image, mount) = (Image::blank(MIB_MIN), MountPoint::new());
    run("mkfs.xfs", &["-q", "-L", "workspacefs", text(image.device())]);
    drop(image.source().take(mount.path()).unwrap());
    // Killed while it wrote the marker.
    fs::remove_dir_all(mount.path().join("export")).unwrap();
    for folder in ["archive", "new", "state", "trash"] {
        fs::remove_dir_all(mount.path().join(folder)).unwrap();
    }
    fs::rename(mount.path().join("workspacefs.json"), mount.path().join(".workspacefs.json.new")).unwrap();
    unmount::plain(mount.path()).unwrap();
    drop(image.source().take(mount.path()).unwrap());
}

pub fn somebodys_files_under_our_label_are_left_alone() {
    let (image, mount) = (Image::blank(MIB_MIN), MountPoint::new());
    run("mkfs.xfs", &["-q", "-L", "workspacefs", text(image.device())]);
    mount.mount("xfs", "defaults", image.device());
    fs::write(mount.path().join("thesis.tex"), "years of work").unwrap();
    unmount::plain(mount.path()).unwrap();
    refused(image.source().take(mount.path()), &["thesis.tex", "nothing was written"]);
    assert_eq!(inspect::is_mount_root(mount.path()), Ok(false), "it is still mounted");
    mount.mount("xfs", "defaults", image.device());
    assert_eq!(names(mount.path()), ["thesis.tex"]);
}

pub fn a_device_that_grew_is_grown() {
    let image = Image::blank(MIB_MIN);
    let mount = MountPoint::new();
    let storage = image.source().take(mount.path()).unwrap();
    let total = || rustix::fs::statvfs(mount.path()).map(|stat| stat.f_blocks * stat.f_frsize).unwrap();
    let before = total();
    let mut growth = storage.growth().unwrap();
    growth.look().unwrap();
    assert_eq!(total(), before);
    // While it is mounted and used.
    image.grow(2 * MIB_MIN);
    growth.look().unwrap();
    let online = total();
    assert!(online > before + (MIB_MIN - 20) * MIB, "{before} {online}");
    // And while nobody looked.
    drop((storage, growth));
    unmount::plain(mount.path()).unwrap();
    image.grow(3 * MIB_MIN);
    drop(image.source().take(mount.path()).unwrap());
    assert!(total() > online + (MIB_MIN - 20) * MIB);
}

pub fn what_is_too_small_is_said_so() {
    let (image, mount) = (Image::blank(100), MountPoint::new());
    refused(image.source().take(mount.path()), &["104857600 bytes", "at least"]);
    refused(Source::Device("/dev/null".into()).take(mount.path()), &["not a block device"]);
    refused(Source::Device("/dev/no-such".into()).take(mount.path()), &["/dev/no-such", "found"]);
}

pub fn something_mounted_in_our_place_is_left_there() {
    let (image, mount) = (Image::blank(MIB_MIN), MountPoint::new());
    mount.mount("tmpfs", "size=1M", "none".as_ref());
    fs::write(mount.path().join("file"), "x").unwrap();
    refused(image.source().take(mount.path()), &["something else is mounted"]);
    assert_eq!(names(mount.path()), ["file"]);
}
