//! `/proc/fs/fscache/stats`, as far as it says how often the cache answered. The kernel counts since it was started, or the module
//! loaded. Its lines differ between versions: what is not there is not made up.

/// How often the cache answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Readings that were answered from the disk; before Linux 6.4 what there were of readings less `misses`.
    pub hits: u64,
    /// Those that were not, and came from a server: since Linux 5.17 the kernel counts what it then stores.
    pub misses: u64,
}

/// Where it is.
pub const FILE: &str = "/proc/fs/fscache/stats";
/// Where the kernel says which it is.
pub const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Whether NFS counts what the cache does not have as read from it, too, before it stores it: until Linux 6.4. A kernel that does not
/// say which it is is taken for a newer one.
pub fn counts_misses_as_read(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (6, 4))
}

/// Reads the file's text, of the kernel of that release; None if neither form is in it.
pub fn parse(text: &str, release: &str) -> Option<Stats> {
    // Since 5.17: `IO     : rd=4 wr=100`. Before: `Retrvls: n=9 ok=4 wt=0 nod=5 nbf=0 int=0 oom=0`.
    let of = |line: &str, hits: &str, misses: &str| {
        let (_, fields) = text.lines().find_map(|found| {
            let (name, fields) = found.split_once(':')?;
            (name.trim() == line).then_some((name, fields))
        })?;
        Some(Stats { hits: field(fields, hits)?, misses: field(fields, misses)? })
    };
    let since = of("IO", "rd", "wr").map(|stats| match counts_misses_as_read(release) {
        true => Stats { hits: stats.hits.saturating_sub(stats.misses), ..stats },
        false => stats,
    });
    since.or_else(|| of("Retrvls", "ok", "nod"))
}

fn field(fields: &str, name: &str) -> Option<u64> {
    let words = fields.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    words.into_iter().find(|(found, _)| *found == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE_5_17: &str = "FS-Cache statistics\n\
        Cookies: n=3 v=1 vcol=0 voom=0\n\
        Acquire: n=3 ok=3 oom=0\n\
        LRU    : n=1 exp=2 rmv=0 drp=0 at=26\n\
        Invals : n=0\n\
        Updates: n=2 rsz=0 rsn=0\n\
        Relinqs: n=0 rtr=0 drop=0\n\
        NoSpace: nwr=0 ncr=0 cull=7\n\
        IO     : rd=25600 wr=100\n\
        RdHelp : DR=0 RA=0 RP=0 WB=0 WBZ=0 rr=0 sr=0\n";
    const BEFORE: &str = "FS-Cache statistics\n\
        Cookies: idx=3 dat=12 spc=0\n\
        Retrvls: n=40 ok=30 wt=1 nod=10 nbf=0 int=0 oom=0\n\
        Retrvls: ops=40 owt=2 abt=0\n\
        Stores : n=100 ok=100 agn=0 nbf=0 oom=0\n";

    #[test]
    fn both_forms_say_how_often_it_answered() {
        assert_eq!(parse(SINCE_5_17, "6.4.0"), Some(Stats { hits: 25600, misses: 100 }));
        assert_eq!(parse(BEFORE, "5.10.0"), Some(Stats { hits: 30, misses: 10 }));
        // With one more field, as since 6.8.
        let later = SINCE_5_17.replace("rd=25600 wr=100", "rd=25600 wr=100 mis=3");
        assert_eq!(parse(&later, "6.8.1"), parse(SINCE_5_17, "6.4.0"));
    }

    #[test]
    fn what_came_from_a_server_is_no_hit_where_the_kernel_counts_it_as_read() {
        assert_eq!(parse(SINCE_5_17, "6.1.0-18-amd64"), Some(Stats { hits: 25500, misses: 100 }));
        let more_stored = SINCE_5_17.replace("rd=25600", "rd=7");
        assert_eq!(parse(&more_stored, "6.1.0"), Some(Stats { hits: 0, misses: 100 }));
        for (release, expected) in [
            ("5.17.0", true),
            ("6.1.0-18-amd64\n", true),
            ("6.3.13", true),
            ("6.4.0-rc1", false),
            ("6.4", false),
            ("6.12.1", false),
            ("10.0.1", false),
            ("6", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(counts_misses_as_read(release), expected, "{release:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        for text in ["", "FS-Cache statistics\n", "IO : rd=1\n", "IO : rd=x wr=1\n", "RIO : rd=1 wr=1\n"] {
            assert_eq!(parse(text, "6.1.0"), None, "{text:?}");
        }
    }
}
