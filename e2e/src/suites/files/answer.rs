//! A request sent and answered in whole, and what a case wants of the answer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::suites::wait::{patient, seconds};

/// Time for an answer that is not to be watched while it comes.
const ANSWER_TIME_MAX: Duration = seconds(60);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Of HTTP.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Vec<u8>,
}

/// Sends a request and waits for all of the answer.
pub async fn answered(request: RequestBuilder) -> Result<Answer> {
    let response = request.timeout(patient(ANSWER_TIME_MAX)).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.context("the answer broke off")?.to_vec();
    Ok(Answer { status, headers, body })
}

/// A body of JSON.
pub fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}

impl Answer {
    /// Nothing but this status will do.
    pub fn expect(self, status: u16) -> Result<Answer> {
        ensure!(self.status == status, "{status} was expected: {}", self.words());
        Ok(self)
    }

    /// A refusal with this status and code; its message.
    pub fn refused(self, status: u16, code: &str) -> Result<String> {
        let body = self.expect(status)?.json()?;
        ensure!(body["code"] == code, "the code {code} was expected: {body}");
        let message = body["message"].as_str().unwrap_or_default();
        ensure!(message.len() > 3, "it says nothing to a person: {body}");
        Ok(message.to_owned())
    }

    /// The body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("this is no JSON: {}", self.words()))
    }

    /// The lines of a stream.
    pub fn lines(&self) -> Result<Vec<Value>> {
        let text = std::str::from_utf8(&self.body)?;
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn words(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("it answers {} {}", self.status, body.chars().take(400).collect::<String>())
    }
}

/// A name, or a path, as it goes into a URL: every byte that could mean anything else is written as its number.
pub fn encoded(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    let one = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_survives_a_url() {
        assert_eq!(encoded(b"a/b-c_9"), "a/b-c_9");
        assert_eq!(encoded(b"a b\n\"'%\\\xff."), "a%20b%0A%22%27%25%5C%FF%2E");
        let url = format!("https://h/{}", encoded(b"x/%2e%2e/ \\y"));
        assert_eq!(reqwest::Url::parse(&url).unwrap().as_str(), url);
    }
}
