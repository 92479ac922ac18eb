//! Trees in figures and in words.

/// A tree in figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// Directories that hold the files.
    pub directories: u64,
    /// Files, the same number in each directory.
    pub files: u64,
    /// The smallest file.
    pub bytes_min: u64,
    /// The largest file.
    pub bytes_max: u64,
}

pub(crate) const fn shape(directories: u64, files: u64, bytes_min: u64, bytes_max: u64) -> Shape {
    Shape { directories, files, bytes_min, bytes_max }
}

impl Shape {
    /// So many times smaller: to try something out. One file gets fewer bytes, several become fewer, as many in each directory.
    #[must_use]
    pub fn divided(self, divisor: u64) -> Self {
        let divisor = divisor.max(1);
        match self.files {
            1 => Self { bytes_min: self.bytes_min / divisor, bytes_max: self.bytes_max / divisor, ..self },
            files => Self { files: (files / divisor).max(self.directories), ..self },
        }
    }

    /// In words, for the page.
    pub fn words(&self) -> String {
        let count = |n: u64, one: &str, many: &str| match n {
            1 => format!("1 {one}"),
            _ => format!("{} {many}", thousands(n)),
        };
        let bytes = match (self.bytes_min, self.bytes_max) {
            (0, 0) => "empty".to_owned(),
            (min, max) if min == max && min % (1 << 20) == 0 => format!("{} MiB each", thousands(min >> 20)),
            (min, max) => format!("{} to {} bytes each", thousands(min), thousands(max)),
        };
        format!(
            "{}, {}, {bytes}",
            count(self.directories, "directory", "directories"),
            count(self.files, "file", "files")
        )
    }
}

/// With commas, as a person writes it.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::race::GIB;
    use super::*;

    #[test]
    fn a_smaller_tree_keeps_its_directories_and_a_single_file_its_place() {
        let divided = |shape: Shape| shape.divided(50);
        assert_eq!(divided(shape(100, 10_000, 4, 9)), shape(100, 200, 4, 9));
        assert_eq!(divided(shape(100, 1000, 4, 9)), shape(100, 100, 4, 9));
        assert_eq!(divided(shape(1, 1, 100, 200)), shape(1, 1, 2, 4));
        assert_eq!(shape(2, 10, 1, 1).divided(0), shape(2, 10, 1, 1));
    }

    #[test]
    fn a_tree_is_told_in_words() {
        let words = |directories, files, bytes_min, bytes_max| {
            Shape { directories, files, bytes_min, bytes_max }.words()
        };
        assert_eq!(words(512, 51_200, 512, 3000), "512 directories, 51,200 files, 512 to 3,000 bytes each");
        assert_eq!(words(1, 1, GIB, GIB), "1 directory, 1 file, 1,024 MiB each");
        assert_eq!(words(10, 1_000_000, 0, 0), "10 directories, 1,000,000 files, empty");
    }
}
