//! Whether a file has to be copied: decided from what both sides say of it, nothing else.

use crate::stat::Stat;

/// What has to be done about a file, a link or a directory that is in the source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing.
    Same,
    /// Its content is there; owner or mode are others.
    Attributes,
    /// All of it.
    Copy,
    /// First a directory has to go that is in its place.
    InTheWay,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Owner and group.
    pub owner: bool,
    /// In which steps of nanoseconds the destination keeps times.
    pub step: u64,
    /// What has another name may be a file of an earlier copy: it is never changed in place.
    pub shared: bool,
}

/// A file or link with the same size and time of modification is the same.
pub(crate) fn verdict(source: &Stat, destination: Option<&Stat>, terms: Terms) -> Verdict {
    let Some(destination) = destination else { return Verdict::Copy };
    if destination.kind.is_dir() && !source.kind.is_dir() {
        return Verdict::InTheWay;
    }
    let same_content = destination.kind == source.kind
        && destination.size == source.size
        && source.mtime.is_kept_as(destination.mtime, terms.step);
    match same_content {
        false => Verdict::Copy,
        true if same_attributes(source, destination, terms) => Verdict::Same,
        // A link's owner cannot be changed in place on every file system, and it is quickly made.
        true if source.kind.is_symlink() => Verdict::Copy,
        true if is_another_too(source, destination, terms) => Verdict::Copy,
        true => Verdict::Attributes,
    }
}

/// What the destination has is some other file too, which would be changed with it.
pub(crate) fn is_another_too(source: &Stat, destination: &Stat, terms: Terms) -> bool {
    let links_max = if terms.shared { 1 } else { source.links };
    destination.links > links_max
}

/// Owner and mode are what they can be. A link has no mode.
pub(crate) fn same_attributes(source: &Stat, destination: &Stat, terms: Terms) -> bool {
    let owner = !terms.owner || (source.uid, source.gid) == (destination.uid, destination.gid);
    owner && (source.kind.is_symlink() || mode(source, destination.uid, destination.gid) == destination.mode)
}

/// The mode that a copy gets. A program that runs as its owner (or group) must not begin to run as another.
pub(crate) fn mode(source: &Stat, uid: u32, gid: u32) -> u32 {
    const SET_UID: u32 = 0o4000;
    const SET_GID: u32 = 0o2000;
    let mut mode = source.mode;
    if uid != source.uid {
        mode &= !SET_UID;
    }
    if gid != source.gid {
        mode &= !SET_GID;
    }
    mode
}

/// The times differ by so little that it may be the destination that keeps them in coarse steps: worth finding out.
pub(crate) fn may_be_coarse(source: &Stat, destination: &Stat) -> bool {
    const COARSEST: u64 = 2_000_000_000;
    source.size == destination.size
        && source.kind == destination.kind
        && source.mtime != destination.mtime
        && source.mtime.is_kept_as(destination.mtime, COARSEST)
}

#[cfg(test)]
mod tests {
    use rustix::fs::FileType;

    use super::*;
    use crate::Time;
    use crate::stat::Id;

    const TERMS: Terms = Terms { owner: true, step: 1, shared: false };

    fn stat(kind: FileType) -> Stat {
        let time = Time { seconds: 7, nanoseconds: 5 };
        let id = Id::default();
        Stat { kind, mode: 0o644, uid: 1, gid: 2, size: 3, blocks: 1, mtime: time, ctime: time, id, links: 1 }
    }

    #[test]
    fn size_time_and_kind_decide_over_the_content_and_owner_and_mode_over_the_rest() {
        let file = stat(FileType::RegularFile);
        let longer = Stat { size: 4, ..file };
        let later = Stat { mtime: Time { seconds: 7, nanoseconds: 6 }, ..file };
        let other_mode = Stat { mode: 0o600, ..file };
        let other_owner = Stat { uid: 9, ..file };
        let link = stat(FileType::Symlink);
        for (destination, verdict_) in [
            (None, Verdict::Copy),
            (Some(file), Verdict::Same),
            (Some(longer), Verdict::Copy),
            (Some(later), Verdict::Copy),
            (Some(other_mode), Verdict::Attributes),
            (Some(other_owner), Verdict::Attributes),
            (Some(Stat { links: 2, ..other_mode }), Verdict::Copy),
            (Some(link), Verdict::Copy),
            (Some(stat(FileType::Directory)), Verdict::InTheWay),
        ] {
            assert_eq!(verdict(&file, destination.as_ref(), TERMS), verdict_, "{destination:?}");
        }
        assert_eq!(verdict(&file, Some(&other_owner), Terms { owner: false, ..TERMS }), Verdict::Same);
        assert_eq!(verdict(&link, Some(&Stat { mode: 0o777, ..link }), TERMS), Verdict::Same);
        assert_eq!(verdict(&link, Some(&Stat { uid: 9, ..link }), TERMS), Verdict::Copy);
    }

    #[test]
    fn a_file_that_may_be_an_earlier_copys_is_not_changed_in_place_whatever_names_the_source_has() {
        let source = Stat { links: 3, ..stat(FileType::RegularFile) };
        for (links, shared, expected) in [
            (1, false, Verdict::Attributes),
            (3, false, Verdict::Attributes),
            (1, true, Verdict::Attributes),
            (2, true, Verdict::Copy),
        ] {
            let destination = Stat { mode: 0o600, links, ..source };
            assert_eq!(
                verdict(&source, Some(&destination), Terms { shared, ..TERMS }),
                expected,
                "{links} {shared}"
            );
        }
    }

    #[test]
    fn a_program_that_runs_as_its_owner_loses_that_with_its_owner() {
        let program = Stat { mode: 0o6755, ..stat(FileType::RegularFile) };
        for (uid, gid, kept) in [(1, 2, 0o6755), (9, 2, 0o2755), (1, 9, 0o4755), (9, 9, 0o755)] {
            assert_eq!(mode(&program, uid, gid), kept);
        }
        // And the copy counts as the same then.
        let copy = Stat { uid: 9, mode: 0o2755, ..program };
        assert_eq!(verdict(&program, Some(&copy), Terms { owner: false, ..TERMS }), Verdict::Same);
    }

    #[test]
    fn coarse_times_are_suspected_only_where_they_could_be_the_reason() {
        let file = stat(FileType::RegularFile);
        let rounded = Stat { mtime: Time { seconds: 7, nanoseconds: 0 }, ..file };
        assert!(may_be_coarse(&file, &rounded));
        assert!(!may_be_coarse(&file, &file));
        assert!(!may_be_coarse(&file, &Stat { size: 4, ..rounded }));
        assert!(!may_be_coarse(&file, &Stat { mtime: Time { seconds: 70, nanoseconds: 0 }, ..file }));
    }
}
