//! What is left out of a run: patterns as in a `.gitignore`, matched by the crate `ignore`.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use thiserror::Error;

/// What is left out. The default takes everything.
///
/// Patterns are those of gitignore(5); each is read by itself, and the last one that matches decides:
///
/// | pattern | means |
/// | --- | --- |
/// | `name` | whatever has this name, at any depth |
/// | `/name`, `some/name` | a `/` at the beginning or within: only at this place, seen from the root |
/// | `name/` | a `/` at the end: only directories (a link to one is none) |
/// | `*`, `?`, `[a-c]`, `[!a]` | any bytes, one byte, one of these, one not of these; none of them matches `/` |
/// | `**/name`, `some/**`, `a/**/b` | across any number of directories |
/// | `{a,b}` | one of these: what gitignore does not have |
/// | `!pattern` | the opposite: takes in again what an earlier pattern left out |
/// | `\x` | the character itself: `\!name`, `\#name`, `\[` |
/// | `#...`, an empty one | nothing |
///
/// What lies in a directory that is left out is left out with it: no `!pattern` takes it in again.
///
/// `include` patterns narrow it further: if there are any, then of all that is not a directory only that is taken which
/// the last of them that matches it, or a directory above it, does not exclude with `!`. `src/` takes all that lies in
/// directories of that name. Directories are walked and made all the same, also those in which nothing is taken.
///
/// Names are bytes. A pattern is UTF-8, `?` matches one byte, and `*` also bytes that are no UTF-8.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// None where there are no patterns: then nothing is asked.
    exclude: Option<Gitignore>,
    include: Option<Gitignore>,
}

/// A pattern that is none.
#[derive(Debug, Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct FilterError {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Filter {
    /// Leaves out what `exclude` says and, if there are any, takes only the files that `include` says.
    pub fn new(
        exclude: impl IntoIterator<Item = impl AsRef<str>>,
        include: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, FilterError> {
        Ok(Self { exclude: compile(exclude)?, include: compile(include)? })
    }

    /// Nothing is left out: the path need not be put together to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.exclude.is_none() && self.include.is_none()
    }

    /// Whether this path, relative to the root, is left out. All directories above it must be known to be taken.
    pub(crate) fn leaves_out(&self, path: &Path, is_directory: bool) -> bool {
        if self.exclude.as_ref().is_some_and(|patterns| patterns.matched(path, is_directory).is_ignore()) {
            return true;
        }
        match &self.include {
            Some(patterns) if !is_directory => !names(patterns, path),
            _ => false,
        }
    }
}

/// The path itself is matched first, then the directories above it, from below.
fn names(patterns: &Gitignore, path: &Path) -> bool {
    for (depth, path) in path.ancestors().enumerate().filter(|(_, path)| !path.as_os_str().is_empty()) {
        match patterns.matched(path, depth > 0) {
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
            Match::None => {}
        }
    }
    false
}

/// None of no patterns.
fn compile(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Option<Gitignore>, FilterError> {
    // Relative to a root that no path begins with.
    let mut builder = GitignoreBuilder::new("");
    // gitignore takes `[a` for a name; who writes that most likely meant something else.
    builder.allow_unclosed_class(false);
    for pattern in patterns {
        let pattern = pattern.as_ref();
        builder.add_line(None, pattern).map_err(|error| FilterError::new(pattern, error))?;
    }
    let patterns = builder.build().map_err(|error| FilterError::new("all of them", error))?;
    Ok(Some(patterns).filter(|patterns| !patterns.is_empty()))
}

impl FilterError {
    fn new(pattern: &str, error: ignore::Error) -> Self {
        let reason = match error {
            ignore::Error::Glob { err, .. } => err,
            other => other.to_string(),
        };
        Self { pattern: pattern.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    const NONE: [&str; 0] = [];

    /// A path that ends with `/` is a directory.
    fn left_out(filter: &Filter, path: &str) -> bool {
        filter.leaves_out(Path::new(path.trim_end_matches('/')), path.ends_with('/'))
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        for (patterns, out, taken) in [
            (&["*.o"][..], &["a.o", "d/a.o", "d/a.o/"][..], &["a.c", "a.o.c", "o"][..]),
            (&["*.o", "!keep.o"], &["a.o"], &["keep.o", "d/keep.o"]),
            (&["!keep.o", "*.o"], &["a.o", "keep.o"], &[]),
            (&["/a"], &["a", "a/"], &["b/a"]),
            (&["b/a"], &["b/a"], &["a", "c/b/a"]),
            (&["a/"], &["a/", "b/a/"], &["a", "b/a"]),
            (&["**/a/b"], &["a/b", "x/y/a/b"], &["b", "a/c/b"]),
            (&["a/**"], &["a/b", "a/b/c"], &["a/", "b/a"]),
            (&["a/**/b"], &["a/b", "a/x/y/b"], &["b", "x/a/b"]),
            (&["/*", "!/a"], &["b", "b/"], &["a", "a/", "a/b"]),
            (&["a?", "[b-d]x", "[!e]y"], &["ab", "bx", "dx", "fy"], &["a", "abc", "ex", "ey"]),
            (&["a*b"], &["ab", "axb", "d/axxb"], &["a/b"]),
            (&["{a,b}.c"], &["a.c", "b.c"], &["c.c"]),
            (&[r"\!a", r"\#b", r"\[c"], &["!a", "#b", "[c"], &["a", "b", "c"]),
            (&["#a", "", "   ", "!"], &[], &["a", "#a", " "]),
            (&["a "], &["a"], &["a "]),
            (&["line\nbreak"], &["line\nbreak"], &["line", "break"]),
            (&["*"], &["a", ".a", "a."], &[]),
        ] {
            let filter = Filter::new(patterns, NONE).unwrap();
            for path in out {
                assert!(left_out(&filter, path), "{patterns:?} leaves out {path:?}");
            }
            for path in taken {
                assert!(!left_out(&filter, path), "{patterns:?} takes {path:?}");
            }
        }
    }

    #[test]
    fn of_the_files_only_those_are_taken_that_are_included() {
        for (exclude, include, out, taken) in [
            (&[][..], &["*.rs"][..], &["a", "d/a.c", "rs"][..], &["a.rs", "d/a.rs", "d/", "d/e/"][..]),
            (&["/target/"], &["*.rs"], &["target/", "a.c"], &["a.rs", "src/"]),
            (&["b.rs"], &["*.rs"], &["b.rs", "d/b.rs"], &["a.rs"]),
            (&[], &["src/"], &["src", "a/b", "b"], &["src/a", "src/d/a", "d/src/a", "d/"]),
            (&[], &["src/", "!*.o"], &["src/a.o", "src/d/a.o"], &["src/a"]),
            (&[], &["src/", "!src/gen/"], &["src/gen/a"], &["src/a", "src/gen/"]),
            (&[], &["/a"], &["b/a"], &["a", "a/b"]),
            (&[], &["a", "b"], &["c"], &["a", "b"]),
            (&[], &["", "#"], &[], &["a"]),
        ] {
            let filter = Filter::new(exclude, include).unwrap();
            for path in out {
                assert!(left_out(&filter, path), "{exclude:?} {include:?} leave out {path:?}");
            }
            for path in taken {
                assert!(!left_out(&filter, path), "{exclude:?} {include:?} take {path:?}");
            }
        }
    }

    #[test]
    fn names_may_hold_any_bytes() {
        let filter = Filter::new(["a*.o", "?x", "/ü/*.tmp"], NONE).unwrap();
        for (name, out) in [
            (&b"a\xff.o"[..], true),
            (b"a\n\x1b.o", true),
            (b"\xffx", true),
            (b"\xff\xffx", false),
            ("üx".as_bytes(), false),
            ("ü/\u{0}.tmp".as_bytes(), true),
            (b"\xfc/a.tmp", false),
            (b"d/a\xff.o", true),
            (b"\xff", false),
        ] {
            let path = Path::new(OsStr::from_bytes(name));
            assert_eq!(filter.leaves_out(path, false), out, "{path:?}");
        }
    }

    #[test]
    fn the_root_and_what_no_filter_names_is_taken() {
        assert!(Filter::default().is_empty());
        assert!(Filter::new(NONE, NONE).unwrap().is_empty());
        assert!(Filter::new(["# nothing"], [""]).unwrap().is_empty());
        assert!(!Filter::default().leaves_out(Path::new("a"), false));
        assert!(!Filter::new(["/a"], ["b"]).unwrap().leaves_out(Path::new(""), true));
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name() {
        for bad in ["[a", "a{b", "a}", "[z-a]", "a\\"] {
            for (exclude, include) in [(vec!["ok", bad], vec![]), (vec![], vec!["ok", bad])] {
                let error = Filter::new(exclude, include).unwrap_err();
                assert_eq!(error.pattern, bad);
                assert!(!error.reason.is_empty());
            }
        }
    }
}
