//! Secrets: from the environment, from a file or from a prompt; never from the command line, where everybody can read them.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::client::error::Refused;
use crate::text;

/// Keys of an object store. There is no `Debug` here.
pub struct Keys {
    /// Who.
    pub id: String,
    /// The secret.
    pub secret: Zeroizing<String>,
}

/// What the files and the environment call them.
const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";

/// From the file if there is one, else from the environment, else from the terminal.
///
/// # Errors
/// There are none.
pub fn keys(file: Option<&Path>) -> Result<Keys> {
    if let Some(path) = file {
        let name = text::shown(path);
        let content = fs::read_to_string(path).map(Zeroizing::new);
        let content = content.with_context(|| format!("cannot read the keys in {name}"))?;
        return parse(&content).ok_or_else(|| {
            Refused::because(format!(
                "{name} holds no keys: two lines, aws_access_key_id = ... and aws_secret_access_key = ..."
            ))
        });
    }
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(id), Some(secret)) = (read(ID), read(SECRET)) {
        return Ok(Keys { id, secret: secret.into() });
    }
    if !io::stdin().is_terminal() {
        return Err(Refused::because(format!(
            "the bucket's keys are not known: set {ID} and {SECRET}, or name a file by --credentials-file"
        )));
    }
    let id = ask("Access key id: ", false)?;
    let secret = ask("Secret access key: ", true)?;
    Ok(Keys { id: id.to_string(), secret })
}

/// From a file as the clients of AWS keep it, of its first section; sections are not told apart.
fn parse(content: &str) -> Option<Keys> {
    let value = |wanted: &str| {
        content.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let (id, secret) = (value(ID)?, value(SECRET)?);
    let good = !id.is_empty() && !secret.is_empty();
    good.then(|| Keys { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
}

/// Asks on the terminal; a secret does not appear there.
///
/// # Errors
/// Nobody answers.
pub fn ask(question: &str, is_secret: bool) -> Result<Zeroizing<String>> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).context("cannot ask")?;
    let hidden = is_secret.then(Hidden::begin).flatten();
    let mut answer = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if hidden.is_some() {
        drop(hidden);
        let _ = writeln!(stderr);
    }
    let answer = Zeroizing::new(answer.trim().to_owned());
    if answer.is_empty() { Err(Refused::because("no answer")) } else { Ok(answer) }
}

/// The terminal shows nothing of what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_the_clients_of_aws_keep_them() {
        let keys = parse("[default]\naws_access_key_id = AKID\naws_secret_access_key=a=b/c\n").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("AKID", "a=b/c"));
        assert!(parse("AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=y").is_some());
        for bad in ["", "aws_access_key_id = x", "aws_access_key_id =\naws_secret_access_key = y"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
