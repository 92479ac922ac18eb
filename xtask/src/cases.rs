//! Test programs of crates that need a real kernel, run inside a machine of the test cluster: built like `cargo test` does,
//! followed line by line, counted by what they say last.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use workspacefs_e2e::Machine;
use workspacefs_e2e::machine::Stream;

use crate::{shell, standalone};

/// Builds the test program `test`, a name that only one crate has, and finds it. The crate is not named: its dependencies
/// would be compiled once more, with the features that this crate alone asks for.
pub fn program(test: &str) -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--locked", "--no-run", "--test", test]);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = shell::output(&mut cargo)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        // The crate's own program is built beside it.
        .filter(|message| message["target"]["kind"][0] == "test")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo built no test program")
}

/// Runs a line of shell that ends with the program's own summary; `each_line` sees what it prints as it comes. Gives how
/// many cases passed and failed.
pub fn run(
    machine: &Machine,
    line: &str,
    limit: Duration,
    each_line: impl Fn(&str) -> Result<()>,
) -> Result<(usize, usize)> {
    let mut output = String::new();
    let mut seen = 0;
    let mut fault = Ok(());
    let code = machine.stream(&["sh", "-c", line], std::io::empty(), limit, |stream, bytes| {
        standalone::show(stream, bytes);
        if let Stream::Stdout = stream {
            output.push_str(&String::from_utf8_lossy(bytes));
        }
        while let Some(length) = output[seen..].find('\n') {
            let result = each_line(output[seen..seen + length].trim_end());
            if fault.is_ok() {
                fault = result;
            }
            seen += length + 1;
        }
    })?;
    std::io::stdout().flush()?;
    fault?;
    let Some((passed, failed)) = summary(&output)? else {
        bail!("the cases ended with code {code} and without a summary");
    };
    if code != 0 && failed == 0 {
        bail!("the cases ended with code {code} and report no failure");
    }
    Ok((passed, failed))
}

/// The counts of `test result: ok. 3 passed; 0 failed; ...`.
fn summary(output: &str) -> Result<Option<(usize, usize)>> {
    let Some(summary) = output.lines().rfind(|line| line.starts_with("test result:")) else {
        return Ok(None);
    };
    let words: Vec<&str> = summary.split([' ', ';']).collect();
    let count = |what: &str| -> Result<usize> {
        let at = words.iter().position(|word| *word == what).context("a summary without counts")?;
        Ok(words[at - 1].parse()?)
    };
    Ok(Some((count("passed")?, count("failed")?)))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_last_summary_counts() {
        let output = "test a ... ok\n\ntest result: FAILED. 3 passed; 1 failed; 0 ignored\n";
        assert_eq!(summary(output).unwrap(), Some((3, 1)));
        assert_eq!(summary("nothing\n").unwrap(), None);
        assert!(summary("test result: lost\n").is_err());
    }
}
