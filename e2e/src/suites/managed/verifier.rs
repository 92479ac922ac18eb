//! A pod that writes and verifies all the time: blocks of random bytes, forced to the server, and read back past the page
//! cache. Whatever differs or fails is written down outside of the volume.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::until;

/// A round is one block of one of eight files. Each file's sum is kept beside it, for whoever reads it later.
const SCRIPT: &str = r#"
trap 'exit 0' TERM
round=0
while :; do
  round=$((round + 1)) file=/data/$POD.$((round % 8))
  head -c 131072 /dev/urandom > /tmp/wanted
  dd if=/tmp/wanted of=$file bs=128k conv=fsync 2> /tmp/said || echo "round $round: write: $(cat /tmp/said)" >> /tmp/errors
  dd if=$file of=/tmp/read bs=128k iflag=direct 2> /tmp/said || echo "round $round: read: $(cat /tmp/said)" >> /tmp/errors
  busybox cmp -s /tmp/wanted /tmp/read || echo "round $round: $file is not what was written" >> /tmp/errors
  sha256sum < /tmp/wanted > $file.sum || echo "round $round: cannot write $file.sum" >> /tmp/errors
  read now _ < /proc/uptime
  echo "$round $now" >> /tmp/rounds
done
"#;

/// A verifier on the claim.
pub fn verifier(name: &str, claim: &str) -> PodSpec {
    PodSpec::new(name).runs(&SCRIPT.replace("$POD", name)).claim(claim, "/data")
}

/// A verifier on an inline volume.
pub fn inline_verifier(name: &str, file_system: &str) -> PodSpec {
    PodSpec::new(name).runs(&SCRIPT.replace("$POD", name)).inline(file_system, "", "/data")
}

impl Context {
    /// Waits until a verifier has gone some rounds further.
    pub async fn verifies_again(&self, pod: &str, limit: Duration) -> Result<()> {
        let count = "wc -l < /tmp/rounds 2>/dev/null || echo 0";
        let before: usize = self.exec(pod, count).await?.trim().parse()?;
        let look = || async {
            let now: usize = self.exec(pod, count).await?.trim().parse()?;
            ensure!(now >= before + 3, "{before} rounds before, {now} now");
            Ok(())
        };
        until(&format!("the verifier {pod} goes on"), limit, look).await
    }

    /// That nothing failed and nothing differed; gives the rounds and the longest stop between two.
    pub async fn verified(&self, pod: &str) -> Result<(usize, Duration)> {
        let errors = self.exec(pod, "cat /tmp/errors 2>/dev/null || true").await?;
        ensure!(errors.is_empty(), "the verifier {pod} met errors:\n{errors}");
        let text = self.exec(pod, "cat /tmp/rounds").await?;
        let times: Vec<f64> = text
            .lines()
            .map(|line| line.split(' ').nth(1).context("half a line")?.parse().context("no time"))
            .collect::<Result<_>>()?;
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        Ok((times.len(), Duration::try_from_secs_f64(longest)?))
    }

    /// That the files of a verifier, which no longer writes, are what their sums say, read in another pod.
    pub async fn agrees(&self, reader: &str, writer: &str) -> Result<()> {
        let line = format!(
            "cd /data; for f in {writer}.[0-7]; do [ \"$(sha256sum < $f)\" = \"$(cat $f.sum)\" ] || echo $f; done"
        );
        let differ = self.exec(reader, &line).await?;
        // The last round may have been cut between the block and its sum.
        ensure!(differ.lines().count() <= 1, "{reader} reads other bytes in {differ}");
        Ok(())
    }
}
