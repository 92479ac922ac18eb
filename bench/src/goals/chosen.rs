//! Which races a measuring program is asked for.

use anyhow::{Result, ensure};

use super::{Goal, Race};

/// Words of its command line.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// Which goals; all of none
    goals: Vec<Goal>,
    /// Only races whose title has this in it: to look for where the time goes
    #[arg(long, default_value = "")]
    only: String,
}

impl Chosen {
    /// Those of all that are asked for.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, all: &'static [Race]) -> Result<Vec<&'static Race>> {
        let is_wanted = |race: &&Race| {
            (self.goals.is_empty() || self.goals.contains(&race.goal)) && race.title.contains(&self.only)
        };
        let races: Vec<&Race> = all.iter().filter(is_wanted).collect();
        ensure!(!races.is_empty(), "nothing is asked for");
        Ok(races)
    }
}
