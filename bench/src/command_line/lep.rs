//! The real `lep storage` client, of which only some files are asked: it takes more than a second for each. What they take is scaled.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::run::Usage;
use workspacefs_testkit::lep::Client;

/// A process for each name of a list. `$1` is the interpreter, `$2` the verb's first path, `$3` its second, each without the name.
const EACH: &str = "verb=$1 python=$2 from=$3 to=$4\n\
    while IFS= read -r name; do\n\
    \x20 \"$python\" -c 'from leptonai.cli import lep; lep()' storage \"$verb\" \"$from/$name\" \"$to/$name\" < /dev/null || exit 1\n\
    done < \"$5\"\n";
/// The same commands without a process for each.
const AT_ONCE: &str = "import sys\n\
    from leptonai.cli import lep\n\
    verb, source, to, names = sys.argv[1:]\n\
    for name in open(names).read().splitlines():\n\
    \x20   lep(['storage', verb, f'{source}/{name}', f'{to}/{name}'], standalone_mode=False)\n";

/// What is transferred.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// `upload` or `download`.
    pub verb: &'a str,
    /// The folder that names are of.
    pub from: &'a str,
    /// And the other.
    pub to: &'a str,
    /// The file with the names, one a line.
    pub names: &'a Path,
}

/// The command that transfers all names, by a process each or by one for all.
pub fn command(client: &Client, transfer: Transfer<'_>, at_once: bool) -> Command {
    let python = client.interpreter();
    let Transfer { verb, from, to, names } = transfer;
    let mut command = if at_once {
        let mut command = Command::new(python);
        command.args(["-c", AT_ONCE, verb]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", EACH, "sh", verb]).arg(python);
        command
    };
    command.args([OsString::from(from), to.into(), names.into()]);
    command.envs(client.environment());
    command
}

/// So many of these, spread evenly; all where there are no more.
pub fn some(names: &[String], count: usize) -> Vec<String> {
    let count = count.clamp(1, names.len().max(1));
    (0..count).filter_map(|number| names.get(number * names.len() / count).cloned()).collect()
}

/// What all would have taken, if some took that.
pub fn scaled(usage: Usage, of: usize, all: usize) -> Usage {
    let factor = all as f64 / of.max(1) as f64;
    Usage { seconds: usage.seconds * factor, processor_seconds: usage.processor_seconds * factor, ..usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_names_and_has_none_twice() {
        let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let sample = some(&names, 300);
        assert_eq!(sample.len(), 300);
        assert!(sample.windows(2).all(|two| two[0] != two[1]));
        assert_eq!((sample[0].as_str(), sample[299].as_str()), ("0", "996"));
        assert_eq!(some(&names[..7], 300), names[..7]);
        assert_eq!(some(&[], 300), Vec::<String>::new());
    }

    #[test]
    fn time_is_scaled_and_memory_is_not() {
        let usage = Usage { seconds: 3.0, processor_seconds: 1.5, memory_bytes: 9, code: Some(0) };
        let all = scaled(usage, 300, 10_000);
        assert!((all.seconds - 100.0).abs() < 1e-9 && (all.processor_seconds - 50.0).abs() < 1e-9);
        assert_eq!(all.memory_bytes, 9);
    }
}
