//! A pod that writes and syncs all the time, and what its files tell afterwards: whether a call failed, and the longest
//! stop between two writes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

/// The folders that a writer writes to: a claim, a folder of it by subPath, an inline volume.
const PLACES: [&str; 3] = ["/claim", "/sub-path", "/inline"];

/// Each round appends the node's uptime to a file in every folder, forces all of them to the server, and rests. What
/// fails is written down outside of the volumes.
const SCRIPT: &str = r#"
trap 'exit 0' TERM
while :; do
  read now _ < /proc/uptime
  for place in /claim /sub-path /inline; do
    echo "$now" >> "$place/beats" || echo "$now: cannot write $place" >> /tmp/errors
  done
  sync -d /claim/beats /sub-path/beats /inline/beats 2>> /tmp/errors || echo "$now: cannot sync" >> /tmp/errors
  sleep 0.1
done
"#;

/// A writer on the FileSystem. It writes to three files: each volume has a folder of its own.
pub fn writer(name: &str, file_system: &str) -> PodSpec {
    PodSpec::new(name)
        .runs(SCRIPT)
        .claim(file_system, PLACES[0])
        .sub_path(file_system, "by-sub-path", PLACES[1])
        .inline(file_system, "/by-inline", PLACES[2])
}

/// Makes the folder that an inline volume does not make by itself. The FileSystem's folder must be of the same name.
pub async fn make_room(context: &Context, file_system: &str) -> Result<()> {
    let line =
        format!("mkdir -p {file_system}/by-inline && chmod 0777 {file_system} {file_system}/by-inline");
    context.on_server(&line).await.map(drop)
}

/// What a writer's files tell.
#[derive(Debug)]
pub struct Story {
    /// Rounds.
    pub beats: usize,
    /// The longest time between two rounds.
    pub longest_stop: Duration,
}

impl Context {
    /// Reads what a writer wrote so far; that a call of it failed is an error.
    pub async fn story(&self, pod: &str) -> Result<Story> {
        let errors = self.exec(pod, "cat /tmp/errors 2>/dev/null || true").await?;
        ensure!(errors.is_empty(), "the writer {pod} met errors:\n{errors}");
        let mut stories = Vec::new();
        for place in PLACES {
            let text = self.exec(pod, &format!("cat {place}/beats")).await?;
            stories.push(read(&text).with_context(|| format!("{place}/beats"))?);
        }
        let longest = stories.into_iter().max_by_key(|story| story.longest_stop);
        longest.context("no story")
    }

    /// Waits until a writer has written a few rounds more.
    pub async fn beats_again(&self, pod: &str, limit: Duration) -> Result<()> {
        let count = "wc -l < /claim/beats";
        let before: usize = self.exec(pod, count).await?.trim().parse()?;
        let look = || async {
            let now: usize = self.exec(pod, count).await?.trim().parse()?;
            ensure!(now >= before + 3, "{before} rounds before, {now} now");
            Ok(())
        };
        crate::suites::wait::until(&format!("the writer {pod} goes on"), limit, look).await
    }
}

fn read(text: &str) -> Result<Story> {
    let parse = |line: &str| {
        line.trim().parse::<f64>().with_context(|| format!("a line that no writer wrote: {line:?}"))
    };
    let times = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    ensure!(times.len() >= 2, "only {} rounds", times.len());
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    Ok(Story { beats: times.len(), longest_stop: Duration::try_from_secs_f64(longest)? })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_longest_stop_is_found_and_a_torn_line_is_an_error() {
        let story = read("1.00\n1.10\n4.60\n4.70\n").unwrap();
        assert_eq!(story.beats, 4);
        assert!((story.longest_stop.as_secs_f64() - 3.5).abs() < 1e-9);
        assert!(read("1.00\n1.1x\n").is_err());
        assert!(read("1.00\n").is_err());
    }
}
