//! Goals that were measured again, each by itself: their rows in the overview and their sections are replaced, and say when.

use workspacefs_bench::goals::RaceReport;

use super::super::trees::Report;
use super::trees::{race, rows};

/// What the page says of one goal.
pub struct Goal {
    /// Its number, such as G4: the first word of all its rows and headings.
    number: String,
    rows: Vec<String>,
    sections: Vec<String>,
}

/// The goals of a report.
pub fn goals(report: &Report) -> Vec<Goal> {
    let mut goals: Vec<Goal> = Vec::new();
    for measured in &report.races {
        let number = number(&measured.goal);
        let at = goals.iter().position(|goal| goal.number == number).unwrap_or_else(|| {
            goals.push(Goal { number: number.to_owned(), rows: Vec::new(), sections: Vec::new() });
            goals.len() - 1
        });
        goals[at].rows.extend(rows(measured));
        goals[at].sections.push(section(measured, &report.here.day));
    }
    goals
}

fn section(measured: &RaceReport, day: &str) -> String {
    format!("{}\n\nMeasured on {day}, without the other goals.", race(measured))
}

/// A part with such goals, with these as they are now; those that it had nothing of come last.
pub fn replaced(part: &str, goals: &[Goal]) -> String {
    let mut blocks = part.trim_end().split("\n\n## ");
    let head: Vec<&str> = blocks.next().unwrap_or_default().lines().collect();
    let old_rows = head.iter().map(|line| (line.strip_prefix("| ").map_or("", number), (*line).to_owned()));
    let head = spliced(old_rows, goals, |goal| &goal.rows).join("\n");
    let old_sections = blocks.map(|block| (number(block), format!("## {block}")));
    let mut all = vec![head];
    all.extend(spliced(old_sections, goals, |goal| &goal.sections));
    all.join("\n\n")
}

/// Each goal's first old piece becomes all its new ones, the others of it go.
fn spliced<'a>(
    old: impl Iterator<Item = (&'a str, String)>,
    goals: &[Goal],
    pieces: fn(&Goal) -> &Vec<String>,
) -> Vec<String> {
    let mut left: Vec<&Goal> = goals.iter().collect();
    let mut all = Vec::new();
    for (number, piece) in old {
        if !goals.iter().any(|goal| goal.number == number) {
            all.push(piece);
        } else if let Some(at) = left.iter().position(|goal| goal.number == number) {
            all.extend(pieces(left.remove(at)).iter().cloned());
        }
    }
    all.extend(left.into_iter().flat_map(pieces).cloned());
    all
}

/// The first word, without what separates it from the next.
fn number(text: &str) -> &str {
    text.split([' ', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "# Trees of files\n\nMeasured.\n\n| goal | figure |\n| --- | --- |\n| G1 plain | a |\n| G16 plain | b |\n\
        | G6 | c |\n| G6 | d |\n\n## G1 plain: One\n\nOld.\n\n## G6: Six\n\nOld.\n\n## G6: More\n\nOld.\n\n## G16 plain: Caches\n\nOld.\n";

    fn goal(number: &str) -> Goal {
        let rows = vec![format!("| {number} | new |")];
        Goal { number: number.to_owned(), rows, sections: vec![format!("## {number}: New\n\nNew.")] }
    }

    #[test]
    fn what_a_goal_had_is_replaced_where_it_stood_and_the_others_stay() {
        let page = replaced(PART, &[goal("G6")]);
        let expected = "# Trees of files\n\nMeasured.\n\n| goal | figure |\n| --- | --- |\n| G1 plain | a |\n| G16 plain | b |\n\
            | G6 | new |\n\n## G1 plain: One\n\nOld.\n\n## G6: New\n\nNew.\n\n## G16 plain: Caches\n\nOld.";
        assert_eq!(page, expected);
        assert_eq!(replaced(&page, &[goal("G6")]), expected);
    }

    #[test]
    fn a_goal_that_the_page_had_nothing_of_comes_last() {
        let page = replaced(PART, &[goal("G9")]);
        assert!(page.contains("| G6 | d |\n| G9 | new |\n\n## G1 plain"), "{page}");
        assert!(page.ends_with("Old.\n\n## G9: New\n\nNew."), "{page}");
    }
}
