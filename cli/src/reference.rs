//! The reference in Markdown, made from what the command line knows of itself: docs/cli.md is this, and a test compares.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::Cli;

/// All of it.
pub fn markdown() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = String::from(
        "# The command `wfs`\n\nMade by `wfs man --markdown`; a test compares it with the program. Files of workspaces: `wfs storage`; \
         [for people who come from `lep storage`](from-lep-storage.md).\n",
    );
    describe(&root, 2, &mut text);
    text
}

fn describe(command: &Command, level: usize, text: &mut String) {
    // Nothing here fails: it is written into a String.
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = write!(text, "\n{} `{name}`\n", "#".repeat(level.min(4)));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n{}\n", about.trim());
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = write!(text, "\n```\n{usage}\n```\n");
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_everywhere(arg, level));
    let rows: Vec<String> = shown.map(row).collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n| | |\n| --- | --- |\n{}\n", rows.join("\n"));
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = write!(text, "\n```\n{}\n```\n", after.to_string().trim());
    }
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        describe(below, level + 1, text);
    }
}

/// What every command has; and what stands at the command above already.
fn is_everywhere(arg: &Arg, level: usize) -> bool {
    let is_help = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    is_help || (arg.is_global_set() && level > 3)
}

fn row(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>"));
    let values: Vec<String> = if arg.get_action().takes_values() { names.collect() } else { Vec::new() };
    let mut flags = Vec::new();
    flags.extend(arg.get_short().map(|short| format!("-{short}")));
    flags.extend(arg.get_long().map(|long| format!("--{long}")));
    let mut left = flags.join(", ");
    if left.is_empty() || !values.is_empty() {
        left = format!("{left} {}", values.join(" ")).trim().to_owned();
    }
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut right = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let possible: Vec<_> = arg.get_possible_values();
    if !possible.is_empty() && arg.get_action().takes_values() {
        let words: Vec<String> = possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let _ = write!(right, ". One of {}", words.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(right, ". Default: `{}`", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(right, ". Environment: `{}`", variable.to_string_lossy());
    }
    format!("| `{}` | {} |", left.replace('|', "\\|"), right.replace('|', "\\|").replace('<', "&lt;"))
}
