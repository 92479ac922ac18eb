//! The user guide's tables of conditions, Events and figures of FsCaches name what the code has: by the words in its source, which
//! are the only list of them that there is.

use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../../docs/user-guide.md");

/// Where reasons of conditions and of Events stand.
const SOURCES: [&str; 9] = [
    include_str!("../../src/fs_cache/cleanup.rs"),
    include_str!("../../src/fs_cache/conflict.rs"),
    include_str!("../../src/fs_cache/findings.rs"),
    include_str!("../../src/fs_cache/ledger.rs"),
    include_str!("../../src/fs_cache/mod.rs"),
    include_str!("../../src/fs_cache/setting.rs"),
    include_str!("../../src/fs_cache/status.rs"),
    include_str!("../../src/fs_cache/survey.rs"),
    include_str!("../../src/pair.rs"),
];

/// Words of the same form that are none: values, kinds, and what others call theirs.
const NO_REASONS: [&str; 8] =
    ["True", "False", "FsCache", "PersistentVolume", "PersistentVolumeClaim", "Reachable", "Remove", "Scrub"];

const FIGURES: [&str; 2] =
    [include_str!("../../src/metrics.rs"), include_str!("../../../csi-driver/src/cache/figures.rs")];

/// The rows of the guide's tables about caches, without their heads.
fn rows() -> Vec<&'static str> {
    let from = GUIDE.split_once("\n### Caches").expect("the guide has a part about caches").1;
    let part = from.split_once("\n### ").map_or(from, |(part, _)| part);
    let is_head = |next: Option<&str>| next.is_some_and(|line| line.starts_with("| ---"));
    let lines = part.lines().zip(part.lines().skip(1).map(Some).chain([None]));
    let rows = lines.filter(|(line, next)| line.starts_with('|') && !is_head(*next));
    rows.map(|(line, _)| line).collect()
}

/// The literals of a source that look like names.
fn literals(source: &'static str, is_name: fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    let code = source.split_once("#[cfg(test)]").map_or(source, |(code, _)| code);
    code.split('"').filter(move |piece| is_name(piece))
}

fn is_reason(text: &str) -> bool {
    text.len() > 3
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|letter| letter.is_ascii_alphabetic())
}

fn is_figure(text: &str) -> bool {
    text.starts_with("cache_") && text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
}

fn words(row: &str) -> impl Iterator<Item = &str> {
    row.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
}

#[test]
fn every_reason_of_the_code_stands_in_the_guide_and_the_guide_has_no_other() {
    let rows = rows();
    let told: BTreeSet<&str> = rows.iter().flat_map(|row| words(row)).collect();
    let known: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| literals(source, is_reason))
        .filter(|name| !NO_REASONS.contains(name))
        .collect();
    assert!(known.len() > 40, "the sources are read in another way than they are written: {known:?}");
    let untold: Vec<_> = known.difference(&told).collect();
    assert!(untold.is_empty(), "the guide does not name {untold:?}");
    // Reasons of conditions are in backticks, Events stand in the first column.
    let quoted = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let first = rows.iter().filter_map(|row| row.split('|').nth(1)).flat_map(words);
    let named: BTreeSet<&str> = quoted.chain(first).filter(|name| is_reason(name)).collect();
    let invented: Vec<_> = named.difference(&known).collect();
    assert!(invented.is_empty(), "the guide names {invented:?}, which nothing says");
}

#[test]
fn every_figure_of_caches_stands_in_the_guide_and_the_guide_has_no_other() {
    let known: BTreeSet<&str> = FIGURES.iter().flat_map(|source| literals(source, is_figure)).collect();
    let rows = rows();
    let told: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| words(row))
        .filter_map(|word| word.strip_prefix("workspacefs_"))
        .map(|word| word.strip_suffix("_total").unwrap_or(word))
        .collect();
    assert_eq!(told, known);
}
