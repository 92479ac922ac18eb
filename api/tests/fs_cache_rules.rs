//! What `kubectl apply` accepts and refuses of an FsCache: the schema's CEL rules, evaluated as the API server does.
//! (Patterns and lengths are the API server's own schema checks.)

use kube::core::cel::{validate_cel, validate_cel_update};
use workspacefs_api::FsCache;

const PLAIN: &str = "{source: {fileSystem: data, paths: [/a, /b/c]}, target: {fileSystem: near}}";

fn cache(spec: &str) -> FsCache {
    named("warm", spec)
}

fn named(name: &str, spec: &str) -> FsCache {
    let yaml = format!(
        "apiVersion: workspacefs.io/v1alpha1\nkind: FsCache\nmetadata: {{name: {name}, namespace: team-a}}\nspec: {spec}"
    );
    serde_saphyr::from_str(&yaml).expect(spec)
}

fn refusal(spec: &str) -> String {
    validate_cel(&cache(spec)).expect_err(spec).to_string()
}

/// A spec with these paths.
fn of(paths: &str) -> String {
    format!("{{source: {{fileSystem: data, paths: [{paths}]}}, target: {{fileSystem: near}}}}")
}

/// The plain spec with a field more.
fn with(field: &str) -> String {
    PLAIN.replacen('{', &format!("{{{field}, "), 1)
}

#[test]
fn a_cache_of_each_source_and_target_is_accepted() {
    for spec in [
        PLAIN,
        "{source: {fileSystem: data, paths: [/a]}, target: {localStorage: nvme}, refresh: {interval: 1h30m}, \
          maxAge: 24h, scrub: 168h, verify: Size, limits: {bandwidth: 100M, capacity: 1Gi}, parallelism: 4}",
        "{source: {s3: {bucket: abc, prefix: a/, secretRef: {name: s}}}, target: {fileSystem: near}, exposure: Claim, \
          refresh: {schedule: '*/5 2 * * 1-5'}}",
    ] {
        validate_cel(&cache(spec)).expect(spec);
    }
}

#[test]
fn exactly_one_source_and_one_target_are_demanded() {
    for (source, words) in [
        ("{}", "source takes exactly one of"),
        ("{fileSystem: data}", "paths go with fileSystem"),
        ("{fileSystem: data, paths: []}", "paths go with fileSystem"),
        (
            "{fileSystem: data, paths: [/a], s3: {bucket: abc, secretRef: {name: s}}}",
            "source takes exactly one of",
        ),
        ("{s3: {bucket: abc, secretRef: {name: s}}, paths: [/a]}", "paths go with fileSystem"),
    ] {
        let refusal =
            refusal(&format!("{{source: {source}, target: {{fileSystem: near}}, exposure: Claim}}"));
        assert!(refusal.contains(words), "{source}: {refusal}");
    }
    for target in ["{}", "{fileSystem: near, localStorage: nvme}"] {
        let refusal = refusal(&format!("{{source: {{fileSystem: data, paths: [/a]}}, target: {target}}}"));
        assert!(refusal.contains("target takes exactly one of"), "{target}: {refusal}");
    }
}

#[test]
fn paths_are_plain_absolute_and_apart() {
    for path in
        ["a", "/", "/a/", "/a//b", "/a/../b", "/..", "/./a", "\"/a\\nb\"", "/.workspacefs", "/.workspacefs/x"]
    {
        assert!(refusal(&of(path)).contains("paths are absolute"), "{path}");
    }
    for paths in ["/a, /a/b", "/x/y/z, /b, /x/y"] {
        assert!(refusal(&of(paths)).contains("paths overlap"), "{paths}");
    }
    for paths in ["/a, /ab", "/a/b..c, /...", "/.workspacefsx", "'/with space'"] {
        validate_cel(&cache(&of(paths))).expect(paths);
    }
}

#[test]
fn a_copy_in_the_source_itself_is_refused_and_a_bucket_has_no_place_to_appear_at() {
    let itself = PLAIN.replace("near", "data");
    assert!(refusal(&itself).contains("target is the source"));
    let bucket = "{source: {s3: {bucket: abc, secretRef: {name: s}}}, target: {fileSystem: near}}";
    assert!(refusal(bucket).contains("exposure must be Claim"));
}

#[test]
fn times_and_sizes_are_what_they_should_be() {
    for (field, words) in [
        ("refresh: {interval: 1h, schedule: '0 2 * * *'}", "at most one of"),
        ("refresh: {interval: 30s}", "interval is a duration"),
        ("refresh: {interval: 1d}", "interval is a duration"),
        ("refresh: {interval: ''}", "interval is a duration"),
        ("refresh: {schedule: '0 2 * * * *'}", "five fields"),
        ("refresh: {schedule: '0 2 * *'}", "five fields"),
        ("maxAge: soon", "maxAge is a duration"),
        ("scrub: 1m1h", "scrub is a duration"),
        ("limits: {bandwidth: 0}", "bandwidth is a quantity"),
        ("limits: {capacity: lots}", "capacity is a quantity"),
    ] {
        let refusal = refusal(&with(field));
        assert!(refusal.contains(words), "{field}: {refusal}");
    }
}

#[test]
fn what_lies_on_the_target_is_a_copy_of_what_the_spec_says_for_good() {
    let change =
        |new: &str| validate_cel_update(&cache(new), &cache(PLAIN)).map_err(|error| error.to_string());
    for new in [PLAIN.replace("data", "other"), PLAIN.replace("near", "other"), PLAIN.replace("/a, ", "")] {
        assert!(change(&new).unwrap_err().contains("immutable"), "{new}");
    }
    for field in ["refresh: {interval: 2h}", "limits: {bandwidth: 1M}", "maxAge: 1h", "verify: Size"] {
        change(&with(field)).expect(field);
    }
}

#[test]
fn a_name_is_a_dns_label() {
    let refusal = validate_cel(&named("a.b", PLAIN)).unwrap_err().to_string();
    assert!(refusal.contains("DNS label"), "{refusal}");
}
