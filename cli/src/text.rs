//! Words for people: names that do not change the terminal, errors with their causes.

use std::error::Error;
use std::io::Write;
use std::path::Path;

/// A path as it may be shown. A name can hold line ends and the codes that move a terminal's cursor; what is not plain
/// text is shown in quotes and escaped. The root itself is ".".
pub fn shown(path: &Path) -> String {
    match path.to_str() {
        Some("") => ".".to_owned(),
        Some(text) if !text.chars().any(is_unsafe) => text.to_owned(),
        _ => format!("{path:?}"),
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

/// A line on stderr. Nobody is left to be told if that fails.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "wfs: {line}");
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use workspacefs_sync::{Errno, Problem};

    use super::*;

    #[test]
    fn no_name_moves_the_cursor_or_begins_a_line() {
        for (name, text) in [
            (&b"a/b c"[..], "a/b c"),
            (b"", "."),
            ("ü".as_bytes(), "ü"),
            (b"a\nb", r#""a\nb""#),
            (b"\x1b[2J", r#""\u{1b}[2J""#),
            (b"\xff", r#""\xFF""#),
            ("a\u{202e}b".as_bytes(), r#""a\u{202e}b""#),
        ] {
            assert_eq!(shown(Path::new(OsStr::from_bytes(name))), text);
        }
    }

    #[test]
    fn an_error_is_told_with_the_kernels_answer() {
        let problem = Problem::Failed { step: "open the source file", errno: Errno::ACCESS };
        assert_eq!(chain(&problem), "cannot open the source file: Permission denied (os error 13)");
    }
}
