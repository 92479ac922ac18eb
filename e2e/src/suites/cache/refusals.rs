//! What `kubectl apply` refuses of an FsCache, and in which words.

use anyhow::{Result, ensure};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;

pub fn cases() -> Vec<Case> {
    cases![a_cache_that_cannot_be_meant_is_refused_and_the_words_say_why]
}

/// What of [`PLAIN`] is replaced, by what, and the words that the user reads.
const REFUSED: [(&str, &str, &str); 19] = [
    ("[/a, /b/c]", "[/a, /a/b]", "paths overlap"),
    ("[/a, /b/c]", "[/x/y/z, /b, /x/y]", "paths overlap"),
    ("[/a, /b/c]", "[/a, /a]", "Duplicate value"),
    ("[/a, /b/c]", "[aa]", "paths are absolute"),
    ("[/a, /b/c]", "[/a/../../b]", "paths are absolute"),
    ("[/a, /b/c]", "[/a/]", "paths are absolute"),
    ("[/a, /b/c]", "[/.workspacefs/cache]", "not inside .workspacefs"),
    ("[/a, /b/c]", "[]", "paths go with fileSystem"),
    ("fileSystem: near", "fileSystem: data", "target is the source"),
    ("fileSystem: near", "fileSystem: near, localStorage: fast", "target takes exactly one of"),
    ("{fileSystem: near}", "{}", "target takes exactly one of"),
    ("scrub: 168h", "scrub: 30s", "scrub is a duration of at least a minute"),
    ("maxAge: 24h", "maxAge: soon", "maxAge is a duration"),
    ("interval: 1h", "interval: 1d", "interval is a duration"),
    ("interval: 1h", "interval: 1h, schedule: '0 2 * * *'", "refresh takes at most one of"),
    ("interval: 1h", "schedule: '0 0 2 * * *'", "schedule has five fields"),
    ("bandwidth: 100M", "bandwidth: 0", "bandwidth is a quantity"),
    ("bandwidth: 100M", "bandwith: 100M", "bandwith"),
    ("name: c", "name: c.d", "an FsCache's name is a DNS label"),
];

const PLAIN: &str = "{apiVersion: workspacefs.io/v1alpha1, kind: FsCache, metadata: {name: c}, spec: {\
     source: {fileSystem: data, paths: [/a, /b/c]}, target: {fileSystem: near}, refresh: {interval: 1h}, \
     maxAge: 24h, scrub: 168h, limits: {bandwidth: 100M}}}";

/// What cannot be changed later.
const IMMUTABLE: [(&str, &str); 3] = [
    ("fileSystem: data", "fileSystem: other"),
    ("[/a, /b/c]", "[/a]"),
    ("fileSystem: near", "localStorage: fast"),
];

async fn a_cache_that_cannot_be_meant_is_refused_and_the_words_say_why(context: Context) -> Result<()> {
    let mut wrong = Vec::new();
    for (part, instead, words) in REFUSED {
        let said = context.refused(&PLAIN.replace(part, instead)).await?;
        if !said.contains(words) {
            wrong.push(format!("{instead} is refused without the words {words:?}: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    context.apply(PLAIN).await?;
    for (part, instead) in IMMUTABLE {
        let said = context.refused(&PLAIN.replace(part, instead)).await?;
        ensure!(said.contains("source and target are immutable"), "{instead} is refused so: {said}");
    }
    for (part, instead) in [("1h", "2h"), ("100M", "1G"), ("24h", "1h")] {
        context.apply(&PLAIN.replace(part, instead)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_is_replaced_is_there() {
        let parts = REFUSED.iter().map(|(part, ..)| part).chain(IMMUTABLE.iter().map(|(part, _)| part));
        for part in parts {
            assert!(PLAIN.contains(part), "{part}");
        }
    }
}
