//! What was found, one line each, and what to do.

use anyhow::Result;
use serde::Serialize;

use crate::exit::Exit;
use crate::storage::output::{Format, Output, json, line};

/// In the order in which it was looked for.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

#[derive(Serialize)]
struct Finding {
    state: State,
    what: String,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Perhaps as it is meant.
    Odd,
    Bad,
}

impl Findings {
    /// As it should be.
    pub fn good(&mut self, what: &str, found: String) {
        self.put(State::Good, what, found, None);
    }

    /// Perhaps as it is meant.
    pub fn odd(&mut self, what: &str, found: String, remedy: &str) {
        self.put(State::Odd, what, found, Some(remedy));
    }

    /// Not as it should be.
    pub fn bad(&mut self, what: &str, found: String, remedy: &str) {
        self.put(State::Bad, what, found, Some(remedy));
    }

    fn put(&mut self, state: State, what: &str, found: String, remedy: Option<&str>) {
        let remedy = remedy.map(str::to_owned);
        self.0.push(Finding { state, what: what.to_owned(), found, remedy });
    }

    /// Tells it.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print(&self, output: Output) -> Result<Exit> {
        for finding in &self.0 {
            match output.format {
                Format::Json => json(finding)?,
                Format::Text if output.quiet && finding.state == State::Good => {}
                Format::Text => line(&finding.text())?,
            }
        }
        let is_bad = self.0.iter().any(|finding| finding.state == State::Bad);
        Ok(if is_bad { Exit::Failed } else { Exit::Done })
    }
}

impl Finding {
    fn text(&self) -> String {
        let mark = match self.state {
            State::Good => "ok  ",
            State::Odd => "note",
            State::Bad => "BAD ",
        };
        let remedy = self.remedy.as_ref().map(|remedy| format!("\n      {remedy}")).unwrap_or_default();
        format!("{mark}  {}: {}{remedy}", self.what, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bad_decides_the_exit_code_and_each_comes_with_a_remedy() {
        let mut findings = Findings::default();
        findings.good("a", "fine".into());
        findings.odd("b", "hm".into(), "look");
        let quiet = Output { quiet: true, ..Output::default() };
        assert_eq!(findings.print(quiet).unwrap(), Exit::Done);
        findings.bad("c", "broken".into(), "repair it");
        assert_eq!(findings.print(quiet).unwrap(), Exit::Failed);
        assert_eq!(findings.0[2].text(), "BAD   c: broken\n      repair it");
    }
}
