//! Where the object of a key goes, and which keys have no place: these are told, and never written elsewhere. Pure.

use thiserror::Error;
use workspacefs_buckets::{NotAPath, is_folder_marker, path_of};
use workspacefs_files_proto::FilePath;

/// What the first name of a path begins with that is ours: our own folder, and what hides at the root of a share.
const OURS: &str = ".workspacefs";

/// What an object is to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// A file of this path, from the root.
    File(FilePath),
    /// A folder: an empty object with a slash at its end, as consoles make it.
    Folder(FilePath),
    /// Nothing, and nothing is missing: the mark of the very folder that is imported.
    Destination,
}

/// Why an object has no place.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum NoPlace {
    #[error("its key is no path: {0}")]
    NotAPath(#[from] NotAPath),
    #[error("its key is no path: it begins with .workspacefs, which is kept for the service itself")]
    Ours,
    #[error("another object is a file of the name that this one needs for a folder")]
    UnderAFile,
}

/// Gives places to the keys of one listing.
#[derive(Debug)]
pub(crate) struct Places {
    /// What of each key is not part of its path.
    folder: String,
    destination: FilePath,
    /// Paths of files, each the beginning of the next, that keys to come may want for a folder.
    open: Vec<String>,
}

impl Places {
    /// Of a prefix all is left out up to its last slash: `photos/20` gives `photos/2024/a` the path `2024/a`.
    pub fn new(prefix: &str, destination: FilePath) -> Self {
        let folder = prefix.rfind('/').and_then(|slash| prefix.get(..=slash)).unwrap_or_default();
        Self { folder: folder.to_owned(), destination, open: Vec::new() }
    }

    /// The place of the next key. That one file lies where another needs a folder is seen where keys come in their order, as S3
    /// lists them, without remembering more than the last few; else it is the file system that refuses the later one.
    ///
    /// # Errors
    /// [`NoPlace`]: it has none.
    pub fn place(&mut self, key: &str, size: u64) -> Result<Place, NoPlace> {
        let rest = key.strip_prefix(&self.folder).unwrap_or(key);
        if rest.is_empty() && size == 0 {
            return Ok(Place::Destination);
        }
        let is_folder = is_folder_marker(rest, size);
        let rest = if is_folder { rest.trim_end_matches('/') } else { rest };
        path_of(rest)?;
        let mut path = self.destination.clone();
        for name in rest.split('/') {
            // It is a path by now: what is refused here would be by the rules for people's paths alone.
            path.push(name.as_bytes()).map_err(|_| NotAPath::EmptyPart)?;
        }
        if is_ours(&path) {
            return Err(NoPlace::Ours);
        }
        self.open.retain(|file| rest.starts_with(file.as_str()));
        let lies_in = |file: &String| rest.as_bytes().get(file.len()) == Some(&b'/');
        if self.open.iter().any(|file| lies_in(file) || (is_folder && file == rest)) {
            return Err(NoPlace::UnderAFile);
        }
        if is_folder {
            return Ok(Place::Folder(path));
        }
        self.open.push(rest.to_owned());
        Ok(Place::File(path))
    }
}

/// Whether nobody may write there.
pub(crate) fn is_ours(path: &FilePath) -> bool {
    path.as_bytes().starts_with(OURS.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::from_bytes(text.as_bytes()).unwrap()
    }

    fn file(text: &str) -> Result<Place, NoPlace> {
        Ok(Place::File(path(text)))
    }

    /// Into the root.
    fn places(prefix: &str) -> Places {
        Places::new(prefix, FilePath::default())
    }

    #[test]
    fn a_key_lies_beneath_the_destination_or_says_why_not() {
        let long = format!("a/{}", "b".repeat(256));
        for (key, why) in [
            ("../a", NotAPath::Dots),
            ("a/../../b", NotAPath::Dots),
            ("./a", NotAPath::Dots),
            ("a//b", NotAPath::EmptyPart),
            ("/a", NotAPath::EmptyPart),
            ("a/", NotAPath::TrailingSlash),
            ("a\0", NotAPath::Nul),
            (long.as_str(), NotAPath::NameTooLong),
        ] {
            assert_eq!(places("").place(key, 1), Err(NoPlace::NotAPath(why)), "{key:?}");
        }
        for key in ["a", "a/b", "a\\..\\b", "%2e%2e/a", "a\nb", " ", "..."] {
            assert_eq!(places("").place(key, 1), file(key), "{key:?}");
        }
    }

    #[test]
    fn what_is_ours_at_the_root_is_nobodys() {
        let mut beneath = Places::new("", path(".workspacefs-files/trash"));
        assert_eq!(beneath.place("a", 1), Err(NoPlace::Ours));
        for key in [".workspacefs/x", ".workspacefs-files/trash/y", ".workspacefs"] {
            assert_eq!(places("").place(key, 1), Err(NoPlace::Ours), "{key}");
            let place = Places::new("", path("in")).place(key, 1);
            assert_eq!(place, file(&format!("in/{key}")), "{key}");
        }
        assert_eq!(places("").place(".workspacefs/", 0), Err(NoPlace::Ours));
        assert_eq!(places("").place("a/.workspacefs", 1), file("a/.workspacefs"));
        // It is the path that counts, not the key.
        assert_eq!(places("p/").place("p/.workspacefs-files/x", 1), Err(NoPlace::Ours));
    }

    #[test]
    fn of_a_prefix_the_folders_are_left_out() {
        let place = |prefix: &str, key: &str| places(prefix).place(key, 1);
        assert_eq!(place("photos/", "photos/a/b"), file("a/b"));
        assert_eq!(place("photos/20", "photos/2024/a"), file("2024/a"));
        assert_eq!(place("pho", "photos/a"), file("photos/a"));
        assert_eq!(place("a//", "a//b"), file("b"));
        assert_eq!(place("a/", "a//b"), Err(NoPlace::NotAPath(NotAPath::EmptyPart)));
        assert_eq!(places("photos/").place("photos/", 0), Ok(Place::Destination));
        assert_eq!(place("photos/", "photos/"), Err(NoPlace::NotAPath(NotAPath::Empty)));
    }

    #[test]
    fn only_an_empty_object_with_a_slash_at_its_end_is_a_folder() {
        let place = |key: &str, size| places("").place(key, size);
        assert_eq!(place("a/b/", 0), Ok(Place::Folder(path("a/b"))));
        assert_eq!(place("a/b/", 1), Err(NoPlace::NotAPath(NotAPath::TrailingSlash)));
        assert_eq!(place("a//", 0), Err(NoPlace::NotAPath(NotAPath::EmptyPart)));
        assert_eq!(place("../", 0), Err(NoPlace::NotAPath(NotAPath::Dots)));
    }

    #[test]
    fn of_a_file_and_a_folder_of_one_name_the_first_has_it() {
        let mut places = places("");
        let mut place = |key: &str| places.place(key, u64::from(!key.ends_with('/')));
        assert_eq!(place("a"), file("a"));
        assert_eq!(place("a-b/c"), file("a-b/c"));
        assert_eq!(place("a.b"), file("a.b"));
        assert_eq!(place("a/"), Err(NoPlace::UnderAFile));
        assert_eq!(place("a/b"), Err(NoPlace::UnderAFile));
        assert_eq!(place("a/b/c"), Err(NoPlace::UnderAFile));
        assert_eq!(place("ab"), file("ab"));
        assert_eq!(place("b/c"), file("b/c"));
        assert_eq!(place("b/c/d"), Err(NoPlace::UnderAFile));
    }

    proptest! {
        #[test]
        fn however_many_keys_come_in_their_order_no_file_lies_in_a_file(
            keys in proptest::collection::btree_set("[a/.-]{1,6}", 0..40)
        ) {
            let mut places = places("");
            let files: Vec<FilePath> = keys
                .iter()
                .filter_map(|key| match places.place(key, 1) {
                    Ok(Place::File(path)) => Some(path),
                    _ => None,
                })
                .collect();
            for file in &files {
                prop_assert!(!files.iter().any(|other| other != file && other.is_within(file)));
            }
        }
    }
}
