//! The command lines of the races with the places filled in, and what all of one program have in common.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use workspacefs_testkit::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::identity::HOST;
use super::stub::{BUCKET, REGION};
use crate::goals::Tool;

/// What the words of curl's command lines stand for.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// Where TLS is spoken.
    pub tls: SocketAddr,
    /// Where it is not, if anywhere.
    pub plain: Option<SocketAddr>,
    /// The path of the large file in the tree.
    pub large: &'a str,
    /// The file that is given away.
    pub source: &'a Path,
    /// In base64, of that file.
    pub sha256: &'a str,
    /// Whom to believe.
    pub certificate: &'a Path,
}

impl Transfer<'_> {
    /// curl, the same for all: one HTTP/1.1 connection, TLS 1.3 with AES-256-GCM, which all of them would choose anyway.
    pub fn curl(&self, tool: &Tool) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--http1.1", "--noproxy", "*"]);
        command.args(["--tls13-ciphers", "TLS_AES_256_GCM_SHA384", "--cacert"]).arg(self.certificate);
        command.args(["--resolve", &format!("{HOST}:{}:127.0.0.1", self.tls.port())]);
        command.args(tool.argv.iter().skip(1).map(|word| self.meant_by(word)));
        command
    }

    /// Method and target of a request to `files`: what an assertion is made for.
    pub fn request(&self, tool: &Tool) -> Option<(&'static str, String)> {
        let url = tool.argv.last()?.strip_prefix("https://FILES")?;
        let method = if tool.argv.contains(&"-T") { "PUT" } else { "GET" };
        Some((method, url.replace("LARGE", self.large)))
    }

    fn meant_by(&self, word: &str) -> OsString {
        if word == "SRC" {
            return self.source.into();
        }
        if word == "DIGEST" {
            return format!("Repr-Digest: sha-256=:{}:", self.sha256).into();
        }
        let tls = format!("https://{HOST}:{}", self.tls.port());
        let plain = self.plain.map(|plain| format!("http://{plain}")).unwrap_or_default();
        let word = word.replace("https://FILES", &tls).replace("https://NGINX", &tls);
        word.replace("http://NGINX", &plain).replace("LARGE", self.large).into()
    }
}

/// s5cmd and rclone, each with the keys and nobody's settings. `program` is where it is.
pub fn import(tool: &Tool, program: &Path, endpoint: &str, destination: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(tool.argv.iter().skip(1).map(|word| match *word {
        "STUB" => endpoint.into(),
        "DST" => destination.as_os_str().to_owned(),
        "DST/" => destination.join("").into_os_string(),
        word => OsString::from(word),
    }));
    debug_assert!(tool.argv.iter().any(|word| word.contains(BUCKET)));
    command.env_remove("AWS_CA_BUNDLE").env_remove("AWS_PROFILE").env("LC_ALL", "C");
    command.env("AWS_CONFIG_FILE", "").env("AWS_SHARED_CREDENTIALS_FILE", "").env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    // rclone's remote `stub`. By itself it would list as S3 did before 2016.
    command.env("RCLONE_CONFIG", "");
    for (name, value) in [
        ("TYPE", "s3"),
        ("PROVIDER", "Other"),
        ("ENV_AUTH", "true"),
        ("REGION", REGION),
        ("ENDPOINT", endpoint),
        ("FORCE_PATH_STYLE", "true"),
        ("LIST_VERSION", "2"),
    ] {
        command.env(format!("RCLONE_CONFIG_STUB_{name}"), value);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::super::races::TRANSFERS;
    use super::*;
    use crate::goals::Task;

    fn transfer() -> Transfer<'static> {
        Transfer {
            tls: SocketAddr::from(([127, 0, 0, 1], 7)),
            plain: Some(SocketAddr::from(([127, 0, 0, 1], 8))),
            large: "d/f",
            source: Path::new("/s"),
            sha256: "AAAA",
            certificate: Path::new("/c"),
        }
    }

    fn tools(task: Task) -> Vec<&'static Tool> {
        let race = TRANSFERS.iter().find(|race| race.task == task).unwrap();
        std::iter::once(race.ours).chain(race.peers.iter().map(|peer| peer.tool)).collect()
    }

    fn words(command: &Command) -> Vec<String> {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_client_of_a_race_differs_in_the_address_and_what_only_ours_needs() {
        let ends = |task, count: usize| -> Vec<Vec<String>> {
            let of = |tool: &&Tool| {
                let words = words(&transfer().curl(tool));
                words[words.len() - count..].to_vec()
            };
            tools(task).iter().map(of).collect()
        };
        let output = |url: &str| vec!["-o".to_owned(), "/dev/null".into(), url.into()];
        assert_eq!(
            ends(Task::Download, 3),
            [
                output("https://localhost:7/v1/content/tree/d/f"),
                output("https://localhost:7/tree/d/f"),
                output("http://127.0.0.1:8/tree/d/f")
            ]
        );
        let [ours, nginx, _] = ends(Task::Upload, 5).try_into().unwrap();
        assert_eq!(
            ours,
            ["-T", "/s", "-H", "Repr-Digest: sha-256=:AAAA:", "https://localhost:7/v1/content/uploaded"]
        );
        assert_eq!(nginx[2..], ["-T", "/s", "https://localhost:7/uploaded"]);
    }

    #[test]
    fn only_a_request_to_files_is_vouched_for() {
        let requests = |task| -> Vec<_> { tools(task).iter().map(|tool| transfer().request(tool)).collect() };
        assert_eq!(requests(Task::Download), [Some(("GET", "/v1/content/tree/d/f".to_owned())), None, None]);
        assert_eq!(requests(Task::Upload), [Some(("PUT", "/v1/content/uploaded".to_owned())), None, None]);
    }

    #[test]
    fn importers_get_their_places_and_nobodys_settings() {
        let [_, s5cmd, rclone] = tools(Task::Import).try_into().unwrap();
        let of = |tool| import(tool, Path::new("p"), "http://x:1", Path::new("/d"));
        assert_eq!(words(&of(s5cmd)), ["--endpoint-url", "http://x:1", "cp", "s3://bench/*", "/d/"]);
        assert_eq!(words(&of(rclone)), ["copy", "--fast-list", "--transfers", "32", "stub:bench", "/d"]);
        let command = of(rclone);
        let set = |name: &str| command.get_envs().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(set("AWS_CA_BUNDLE"), Some(None));
        assert_eq!(set("RCLONE_CONFIG_STUB_ENDPOINT"), Some(Some("http://x:1".as_ref())));
    }
}
