//! What is told of a bucket beside how much of it is kept: by number and the first name.

use std::fmt::Display;

use super::claims::Unfit;

/// The most of a key that is shown, in characters.
const KEY_CHARACTERS_MAX: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    unfit: Named,
    failed: Named,
    gone: Named,
    by_size: Named,
}

/// How many, and the first of them by its key.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: Option<(String, String)>,
}

impl Notes {
    /// It can be no file.
    pub fn unfit(&mut self, key: &str, why: Unfit) {
        self.unfit.add(key, &why);
    }

    /// It could not be read.
    pub fn failed(&mut self, key: &str, why: &impl Display) {
        self.failed.add(key, why);
    }

    /// It was listed, and when it was to be read it was not there.
    pub fn gone(&mut self, key: &str) {
        self.gone.add(key, &"it was listed");
    }

    /// Its content could not be compared with anything. (Why is not told: the next refresh would not know, and what it says
    /// would be news.)
    pub fn by_size(&mut self, key: &str) {
        self.by_size.add(key, &"");
    }

    /// Whether something was listed and not there: another listing tells whether it is gone, or cannot be had.
    pub fn has_gone(&self) -> bool {
        self.gone.count > 0
    }

    /// Whether the bucket has nothing that could be told of.
    pub fn is_empty(&self) -> bool {
        [&self.unfit, &self.failed, &self.gone, &self.by_size].iter().all(|named| named.count == 0)
    }

    /// Why the copy is not what the bucket is. None: it is.
    pub fn flaw(&self) -> Option<String> {
        self.failed.say("cannot be read").or_else(|| self.gone.say("cannot be found"))
    }

    /// What there is to know of a copy that is whole.
    pub fn remark(&self) -> String {
        let said = [self.unfit.say("cannot be files"), self.by_size.say("could be verified by size alone")];
        said.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl Named {
    fn add(&mut self, key: &str, why: &impl Display) {
        self.count += 1;
        if self.first.as_ref().is_none_or(|(first, _)| key < first.as_str()) {
            self.first = Some((key.to_owned(), why.to_string()));
        }
    }

    fn say(&self, what: &str) -> Option<String> {
        let (key, why) = self.first.as_ref()?;
        let objects = if self.count == 1 { "object" } else { "objects" };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        Some(format!("{} {objects} of the bucket {what}, first {}{why}", self.count, shown(key)))
    }
}

/// In one line, whatever is in it.
fn shown(key: &str) -> String {
    match key.char_indices().nth(KEY_CHARACTERS_MAX) {
        None => format!("{key:?}"),
        Some((end, _)) => format!("{:?}…", key.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_the_first_by_its_key_are_told_in_one_line() {
        let mut notes = Notes::default();
        assert_eq!((notes.flaw(), &*notes.remark()), (None, ""));
        notes.unfit("b//", Unfit::UnderAFile);
        notes.unfit("a\n/", Unfit::Twice);
        notes.by_size("x");
        assert_eq!(
            notes.remark(),
            "2 objects of the bucket cannot be files, first \"a\\n/\": it was listed already; \
             1 object of the bucket could be verified by size alone, first \"x\""
        );
        notes.gone("y");
        assert!(
            notes.has_gone()
                && notes.flaw().unwrap().ends_with("cannot be found, first \"y\": it was listed")
        );
        notes.failed(&"k".repeat(1000), &"why");
        let flaw = notes.flaw().unwrap();
        assert!(flaw.len() < 200 && flaw.ends_with("…: why"), "{flaw}");
    }
}
