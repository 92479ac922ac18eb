//! Ganesha's log lines, passed on as ours.
//!
//! `25/11/2026 19:00:59 : epoch 6b07306c : host : nfs-ganesha-743[main] function :COMPONENT :LEVEL :text`

use tracing::Level;

/// What it complains about at every start and that nobody needs: it looks for D-Bus, Kerberos, rpcbind and finds none.
const NOISE: [&str; 6] = ["DBUS", "dbus", "krb5", "RADOS", "TIRPC", "Cannot register NFS V4 on TCP"];
/// Of the many things that happen to it, those that matter: the grace period; its start and its end.
const EVENTS: [&str; 3] = ["STATE", "Starting: Ganesha", "NFS EXIT"];

/// A line, taken apart.
#[derive(Debug, Eq, PartialEq)]
pub struct Line<'a> {
    /// How loud we pass it on.
    pub level: Level,
    /// Which part of Ganesha.
    pub component: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Takes a line apart; one of another form is passed on whole.
pub fn parse(line: &str) -> Line<'_> {
    let mut parts = line.splitn(4, " :");
    // The time, the epoch, the host; the rest has the same separator.
    let rest = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(epoch), Some(_), Some(rest)) if epoch.trim_start().starts_with("epoch") => rest,
        _ => return Line { level: Level::INFO, component: "", text: line },
    };
    let mut parts = rest.splitn(4, " :");
    let (Some(_function), Some(component), Some(level), Some(text)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Line { level: Level::INFO, component: "", text: line };
    };
    let level = match level.trim() {
        _ if NOISE.iter().any(|noise| component.contains(noise) || text.contains(noise)) => Level::DEBUG,
        "FATAL" | "MAJ" | "CRIT" => Level::ERROR,
        "WARN" => Level::WARN,
        "EVENT" if EVENTS.iter().any(|event| component.contains(event) || text.contains(event)) => {
            Level::INFO
        }
        _ => Level::DEBUG,
    };
    Line { level, component: component.trim(), text: text.trim() }
}

/// Passes a line on.
pub fn pass_on(line: &str) {
    let Line { level, component, text } = parse(line);
    match level {
        Level::ERROR => tracing::error!(target: "ganesha", component, "{text}"),
        Level::WARN => tracing::warn!(target: "ganesha", component, "{text}"),
        Level::INFO => tracing::info!(target: "ganesha", component, "{text}"),
        _ => tracing::debug!(target: "ganesha", component, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_level_and_noise_is_quiet() {
        let line =
            |rest: &str| format!("25/11/2026 19:00:59 : epoch 6b07306c : n : nfs-ganesha-7[main] {rest}");
        let text = line("nfs_start_grace :STATE :EVENT :NFS Server Now IN GRACE, duration 15");
        let expected =
            Line { level: Level::INFO, component: "STATE", text: "NFS Server Now IN GRACE, duration 15" };
        assert_eq!(parse(&text), expected);
        assert_eq!(parse(&line("main :MAIN :FATAL :Fatal errors. :x")).level, Level::ERROR);
        assert_eq!(parse(&line("main :MAIN :FATAL :Fatal errors. :x")).text, "Fatal errors. :x");
        assert_eq!(parse(&line("gsh :DBUS :CRIT :dbus_bus_get failed")).level, Level::DEBUG);
        assert_eq!(parse(&line("nfs_start :THREAD :EVENT :Starting delayed executor.")).level, Level::DEBUG);
        assert_eq!(parse("Segmentation fault").text, "Segmentation fault");
        assert_eq!(parse(" : : : ").level, Level::INFO);
    }
}
