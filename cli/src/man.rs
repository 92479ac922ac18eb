//! `wfs man`: the manual pages, made from what the command line knows of itself.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{CommandFactory, ValueHint};
use clap_mangen::Man;

use crate::{Cli, reference};

/// Prints the manual pages, or writes them to a directory
#[derive(clap::Args)]
#[command(after_help = "For example: wfs man /usr/local/share/man/man1; or: wfs man | man -l -")]
pub struct Args {
    /// Directory for wfs.1, wfs-sync.1 and so on; made if it does not exist
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Print the reference in Markdown instead
    #[arg(long, conflicts_with = "dir")]
    markdown: bool,
}

/// Writes them.
pub fn run(args: &Args) -> Result<()> {
    if args.markdown {
        let text = reference::markdown();
        return std::io::stdout().write_all(text.as_bytes()).context("cannot print the reference");
    }
    let pages = pages()?;
    let Some(dir) = &args.dir else {
        let all: Vec<u8> = pages.into_iter().flat_map(|(_, page)| page).collect();
        return std::io::stdout().write_all(&all).context("cannot print the pages");
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One for the whole and one for each command: file name and content.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, &mut pages)?;
    Ok(pages)
}

fn add(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    pages.push(page(command.clone(), &exits(&help))?);
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.into_iter().try_for_each(|below| add(below, pages))
}

/// The exit codes of a help, which stand in lines below `Exit codes:`, as a section of a page.
fn exits(help: &str) -> String {
    let Some((_, table)) = help.split_once("Exit codes:\n") else { return String::new() };
    let mut roff = String::from(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in table.lines().filter_map(|line| line.trim().split_once(' ')) {
        roff.push_str(&format!(".TP\n.B {code}\n{}.\n", meaning.trim()));
    }
    roff
}

fn page(command: clap::Command, end: &str) -> Result<(String, Vec<u8>)> {
    let has_commands = command.has_subcommands();
    let man = Man::new(command).source(concat!("workspacefs ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(end.as_bytes());
    Ok((man.get_filename(), page))
}
