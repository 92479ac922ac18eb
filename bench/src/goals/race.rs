//! What is measured: the goals G1 to G9, G11 and G16 of the project's performance plan as a table. One race is one tree in one
//! setting, in which we and the peers do the same. (G13 and G14 are in `transfers`, G17 is in `command_line`.)

use super::bar::{Demand, Figure};
use super::shape::{Shape, shape};
use super::tool::{self, Tool};

/// How much is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// The trees of the goals, everybody twice: for the page.
    Full,
    /// Smaller trees where the ratio means the same, and slow peers once where they are far behind: for a gate of minutes.
    Gate,
}

/// What is 1 ms away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slow {
    /// Nothing.
    Nothing,
    /// The source; each file's attributes cost an operation.
    Source,
    /// The source; attributes come with the listing.
    SourcePlus,
    /// The destination.
    Destination,
}

/// What is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Task {
    /// The destination is equal already.
    Refresh,
    /// The destination is not there.
    Copy,
    /// The destination is deleted.
    Delete,
    /// The destination is equal already and is read, or the source is.
    Read,
    /// The destination gets a cache's first generation.
    Fill,
    /// It has one that is equal to the source.
    FillAgain,
    /// It has one, and of the source one file in a hundred is another since.
    FillChanged,
    /// A file is taken from a server.
    Download,
    /// A file is given to a server.
    Upload,
    /// A server is asked for the first page of a folder.
    FirstPage,
    /// A server has nothing to do.
    Rest,
    /// All objects of a bucket become files.
    Import,
    /// A tree is given to a server, which has nothing of it.
    Send,
    /// A tree is taken from a server.
    Fetch,
    /// A program starts and ends.
    Start,
    /// A server is asked what a folder holds.
    List,
}

/// Whom we are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// What is run.
    pub tool: &'static Tool,
    /// How many times in the gate; twice on the page.
    pub gate_runs: usize,
}

/// One tree in one setting.
#[derive(Clone, Copy, Debug)]
pub struct Race {
    /// The goal's number.
    pub goal: Goal,
    /// What is done, where.
    pub title: &'static str,
    /// The tree.
    pub full: Shape,
    /// The gate's tree; None if it is for the page only.
    pub gate: Option<Shape>,
    /// What is slow.
    pub slow: Slow,
    /// What is done.
    pub task: Task,
    /// What we run.
    pub ours: &'static Tool,
    /// Whom we are compared with.
    pub peers: &'static [Peer],
    /// What has to come out.
    pub demands: &'static [Demand],
}

/// The goals that programs are run side by side for, by their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Goal {
    /// Refresh, plain.
    G1,
    /// Refresh, attributes with the listing.
    G2,
    /// Refresh of one flat directory.
    G3,
    /// First copy.
    G4,
    /// Local copy.
    G5,
    /// Large files.
    G6,
    /// A large file from far away.
    G7,
    /// Into a slow destination.
    G8,
    /// Deletion.
    G9,
    /// Memory.
    G11,
    /// Files over HTTP.
    G13,
    /// Imports from buckets.
    G14,
    /// Caches.
    G16,
    /// The command line.
    G17,
}

/// Twice, as on the page.
pub(crate) const fn both(tool: &'static Tool) -> Peer {
    Peer { tool, gate_runs: 2 }
}

/// So far behind that the gate needs no second run of it.
const fn far_behind(tool: &'static Tool) -> Peer {
    Peer { tool, gate_runs: 1 }
}

/// On the page only: nothing must hold against it.
pub(crate) const fn shown(tool: &'static Tool) -> Peer {
    Peer { tool, gate_runs: 0 }
}

pub(crate) const fn demand(figure: Figure, must: f64, goal: f64) -> Demand {
    Demand { figure, must, goal, page_times: 1 }
}

/// To be as fast as somebody who is nearly as fast as we are.
pub(crate) const fn close(figure: Figure, must: f64, goal: f64) -> Demand {
    Demand { page_times: 3, ..demand(figure, must, goal) }
}

/// A cache's first generation, on the page only.
const fn fill(
    title: &'static str,
    full: Shape,
    slow: Slow,
    ours: &'static Tool,
    peers: &'static [Peer],
    demands: &'static [Demand],
) -> Race {
    Race { goal: Goal::G16, title, full, gate: None, slow, task: Task::Fill, ours, peers, demands }
}

pub(crate) const GIB: u64 = 1 << 30;

/// All of them. Those with the same tree stand together, so that it is made once.
pub const RACES: &[Race] = &[
    Race {
        goal: Goal::G1,
        title: "Refresh, nothing changed; source 1 ms away, attributes cost an operation each",
        full: shape(512, 51_200, 512, 3000),
        gate: Some(shape(100, 10_000, 512, 3000)),
        slow: Slow::Source,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[far_behind(&tool::RSYNC_REFRESH), both(&tool::RCLONE_REFRESH)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 20.0, 40.0),
            demand(Figure::Faster(&[&tool::RCLONE_64]), 1.5, 2.0),
        ],
    },
    Race {
        goal: Goal::G2,
        title: "Refresh, nothing changed; source 1 ms away, attributes come with the listing",
        full: shape(512, 51_200, 512, 3000),
        gate: Some(shape(160, 16_000, 512, 3000)),
        slow: Slow::SourcePlus,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[both(&tool::RSYNC_REFRESH), both(&tool::RCLONE_REFRESH)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 2.0, 4.0),
            demand(Figure::Faster(&[&tool::RCLONE_64]), 1.5, 2.5),
            demand(Figure::OperationsPerFile, 0.05, 0.035),
        ],
    },
    Race {
        goal: Goal::G3,
        title: "Refresh of one flat directory, nothing changed; source 1 ms away, attributes cost an operation each",
        full: shape(1, 20_000, 512, 3000),
        gate: Some(shape(1, 6000, 512, 3000)),
        slow: Slow::Source,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[far_behind(&tool::RSYNC_REFRESH), far_behind(&tool::RCLONE_REFRESH)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 15.0, 35.0),
            demand(Figure::Faster(&[&tool::RCLONE_64]), 15.0, 35.0),
        ],
    },
    Race {
        goal: Goal::G4,
        title: "First copy of small files; source 1 ms away, attributes cost an operation each",
        full: shape(100, 9600, 4096, 65_536),
        gate: Some(shape(40, 3200, 4096, 65_536)),
        slow: Slow::Source,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[
            far_behind(&tool::RSYNC),
            shown(&tool::CP),
            both(&tool::RCLONE_64),
            far_behind(&tool::FPSYNC),
            far_behind(&tool::XCP_64),
        ],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 15.0, 25.0),
            demand(Figure::Faster(&[&tool::RCLONE_64]), 1.7, 2.5),
            demand(Figure::Faster(&[&tool::FPSYNC]), 5.0, 8.0),
            demand(Figure::Faster(&[&tool::XCP_64]), 4.0, 6.0),
            demand(Figure::OperationsPerFile, 3.2 + LAST_LOOK, 3.05 + LAST_LOOK),
        ],
    },
    Race {
        goal: Goal::G4,
        title: "First copy of small files; source 1 ms away, attributes come with the listing",
        full: shape(100, 9600, 4096, 65_536),
        // Nobody is far behind here, so that it costs seconds, and the ratio is a close one.
        gate: Some(shape(100, 9600, 4096, 65_536)),
        slow: Slow::SourcePlus,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[both(&tool::XCP_64)],
        demands: &[
            close(Figure::Faster(&[&tool::XCP_64]), 1.0, 1.3),
            demand(Figure::OperationsPerFile, 2.2 + LAST_LOOK, 2.05 + LAST_LOOK),
        ],
    },
    Race {
        goal: Goal::G5,
        title: "First copy from one local disk to another",
        full: shape(320, 32_000, 4096, 65_536),
        gate: Some(shape(100, 10_000, 4096, 65_536)),
        slow: Slow::Nothing,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[both(&tool::RSYNC), both(&tool::CP), both(&tool::XCP), both(&tool::CPZ)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 1.4, 1.7),
            demand(Figure::Faster(&[&tool::CP]), 1.2, 1.5),
            demand(Figure::Faster(&[&tool::XCP, &tool::CPZ]), 0.85, 1.0),
            demand(Figure::Processor(&tool::RSYNC), 0.65, 0.5),
        ],
    },
    Race {
        goal: Goal::G6,
        title: "First copy of large files from one local disk to another",
        full: shape(1, 8, GIB, GIB),
        gate: Some(shape(1, 8, GIB / 8, GIB / 8)),
        slow: Slow::Nothing,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[both(&tool::RSYNC)],
        demands: &[close(Figure::Faster(&[&tool::RSYNC]), 1.0, 1.3), demand(Figure::MemoryMb, 128.0, 64.0)],
    },
    Race {
        goal: Goal::G7,
        title: "First copy of one large file; source 1 ms away, read-ahead of 128 KiB",
        full: shape(1, 1, GIB, GIB),
        gate: Some(shape(1, 1, GIB / 4, GIB / 4)),
        slow: Slow::Source,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[far_behind(&tool::RSYNC), both(&tool::CP)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 2.0, 4.0),
            demand(Figure::Faster(&[&tool::CP]), 1.2, 1.8),
        ],
    },
    Race {
        goal: Goal::G8,
        title: "First copy of small files; destination 1 ms away",
        full: shape(20, 2000, 4096, 65_536),
        gate: Some(shape(20, 1000, 4096, 65_536)),
        slow: Slow::Destination,
        task: Task::Copy,
        ours: &tool::WFS,
        peers: &[far_behind(&tool::RSYNC), both(&tool::RCLONE_4), shown(&tool::RCLONE_32)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 5.0, 12.0),
            demand(Figure::Faster(&[&tool::RCLONE_4]), 1.2, 2.5),
            demand(Figure::OperationsPerFile, 9.0, 6.1),
        ],
    },
    Race {
        goal: Goal::G9,
        title: "Deletion on a local disk",
        full: shape(2000, 200_000, 512, 3000),
        gate: Some(shape(500, 50_000, 512, 3000)),
        slow: Slow::Nothing,
        task: Task::Delete,
        ours: &tool::DELETE_TREE,
        peers: &[both(&tool::RM)],
        demands: &[demand(Figure::Faster(&[&tool::RM]), 1.3, 1.8)],
    },
    Race {
        goal: Goal::G11,
        title: "Memory of a refresh, nothing changed; source 1 ms away, attributes cost an operation each",
        full: shape(2000, 200_000, 0, 0),
        gate: Some(shape(1000, 100_000, 0, 0)),
        slow: Slow::Source,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[far_behind(&tool::RCLONE_REFRESH)],
        demands: &[demand(Figure::Memory(&tool::RCLONE_64), 1.0, 0.5)],
    },
    Race {
        goal: Goal::G11,
        title: "The same with 10,000 files",
        full: shape(100, 10_000, 0, 0),
        gate: Some(shape(100, 10_000, 0, 0)),
        slow: Slow::Source,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[],
        demands: &[],
    },
    Race {
        goal: Goal::G11,
        title: "The same with 1,000,000 files",
        full: shape(10_000, 1_000_000, 0, 0),
        gate: None,
        slow: Slow::Source,
        task: Task::Refresh,
        ours: &tool::WFS_REFRESH,
        peers: &[],
        demands: &[],
    },
    Race {
        goal: Goal::G16,
        title: "One reader of a cache's files beside one of the source; source 1 ms away, attributes cost an operation each",
        full: shape(100, 9600, 4096, 65_536),
        gate: Some(shape(20, 1920, 4096, 65_536)),
        slow: Slow::Source,
        task: Task::Read,
        ours: &tool::READ_COPY,
        peers: &[far_behind(&tool::READ_SOURCE)],
        demands: &[demand(Figure::Faster(&[&tool::READ_SOURCE]), 10.0, 25.0)],
    },
    Race {
        goal: Goal::G16,
        title: "Reading a cache's large files from its disk",
        full: shape(1, 8, GIB / 4, GIB / 4),
        gate: None,
        slow: Slow::Nothing,
        task: Task::Read,
        ours: &tool::READ_COPY_4,
        peers: &[both(&tool::READ_RAW)],
        demands: &[demand(Figure::Faster(&[&tool::READ_RAW]), 0.95, 1.0)],
    },
    fill(
        "A cache's first fill, by size alone; source 1 ms away, attributes come with the listing",
        shape(100, 9600, 4096, 65_536),
        Slow::SourcePlus,
        &tool::MOVER_BY_SIZE,
        &[both(&tool::READ_SOURCE_64), both(&tool::WRITE)],
        &[close(Figure::OfSlower(&[&tool::READ_SOURCE_64, &tool::WRITE]), 0.9, 1.0)],
    ),
    fill(
        "A cache's first fill, read back; source 1 ms away, attributes come with the listing",
        shape(100, 9600, 4096, 65_536),
        Slow::SourcePlus,
        &tool::MOVER,
        &[both(&tool::READ_SOURCE_64), shown(&tool::WRITE), both(&tool::WRITE_AND_READ)],
        &[close(Figure::OfSlower(&[&tool::READ_SOURCE_64, &tool::WRITE_AND_READ]), 0.9, 1.0)],
    ),
    fill(
        "A cache's first fill with large files, by size alone; source 1 ms away, attributes cost an operation each",
        shape(1, 8, GIB / 4, GIB / 4),
        Slow::Source,
        &tool::MOVER_BY_SIZE,
        &[both(&tool::READ_SOURCE_64), both(&tool::WRITE)],
        &[close(Figure::OfSlower(&[&tool::READ_SOURCE_64, &tool::WRITE]), 0.9, 1.0)],
    ),
    fill(
        "A cache's first fill with large files, read back; source 1 ms away, attributes cost an operation each",
        shape(1, 8, GIB / 4, GIB / 4),
        Slow::Source,
        &tool::MOVER,
        &[both(&tool::READ_SOURCE_64), shown(&tool::WRITE), both(&tool::WRITE_AND_READ)],
        &[close(Figure::OfSlower(&[&tool::READ_SOURCE_64, &tool::WRITE_AND_READ]), 0.9, 1.0)],
    ),
    Race {
        goal: Goal::G16,
        title: "A cache's refresh, nothing changed; source 1 ms away, attributes cost an operation each",
        full: shape(512, 51_200, 512, 3000),
        gate: None,
        slow: Slow::Source,
        task: Task::FillAgain,
        ours: &tool::MOVER_REFRESH,
        peers: &[far_behind(&tool::RSYNC_REFRESH), both(&tool::RCLONE_REFRESH)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 20.0, 40.0),
            demand(Figure::Faster(&[&tool::RCLONE_64]), 1.5, 2.0),
        ],
    },
    Race {
        goal: Goal::G16,
        title: "A cache's refresh, nothing changed; source 1 ms away, attributes come with the listing",
        full: shape(512, 51_200, 512, 3000),
        gate: None,
        slow: Slow::SourcePlus,
        task: Task::FillAgain,
        ours: &tool::MOVER_REFRESH,
        peers: &[both(&tool::RSYNC_REFRESH), both(&tool::RCLONE_REFRESH)],
        demands: &[
            demand(Figure::Faster(&[&tool::RSYNC]), 2.0, 4.0),
            close(Figure::Faster(&[&tool::RCLONE_64]), 1.5, 2.5),
            demand(Figure::OperationsPerFile, 0.05, 0.035),
        ],
    },
    // Where something has changed, the comparison was for nothing. Here it ends soon, as each directory has a file that changed; where
    // the only one comes last, the source is listed once more.
    Race {
        goal: Goal::G16,
        title: "A cache's refresh, one file in a hundred changed; source 1 ms away, attributes come with the listing",
        full: shape(512, 51_200, 512, 3000),
        gate: None,
        slow: Slow::SourcePlus,
        task: Task::FillChanged,
        ours: &tool::MOVER_REFRESH,
        peers: &[shown(&tool::RSYNC_REFRESH), shown(&tool::RCLONE_REFRESH)],
        demands: &[],
    },
];

/// A file that was read is looked at once more, past every cache, to see that it did not change meanwhile. The goals of G4
/// were set before that was asked for.
const LAST_LOOK: f64 = 1.0;

impl Race {
    /// Its goal, and the source's mode or what a server does: some goals are about several.
    pub fn name(&self) -> String {
        let what = match (self.task, self.slow) {
            (Task::Download, _) => " download",
            (Task::Upload, _) => " upload",
            (Task::FirstPage, _) => " first page",
            (Task::Rest, _) => " at rest",
            (Task::Import, _) if self.full.files == 1 => " large",
            (Task::Import, _) => " small",
            (Task::Send, _) => " upload",
            (Task::Fetch, _) => " download",
            (Task::Start, _) => " start",
            (Task::List, _) => " ls",
            (_, Slow::Source) => " plain",
            (_, Slow::SourcePlus) => " plus",
            (_, Slow::Nothing | Slow::Destination) => "",
        };
        format!("{:?}{what}", self.goal)
    }

    /// Whether the source lies on another disk than the destination, in memory: what fills a cache comes from another computer.
    /// Otherwise both share one disk, whose reads and writes together are limited, and a copy is slower than either side alone.
    pub fn source_is_elsewhere(&self) -> bool {
        matches!(self.task, Task::Fill | Task::FillAgain | Task::FillChanged)
    }

    /// Its tree, if it is run to that extent.
    pub fn shape(&self, extent: Extent) -> Option<Shape> {
        match extent {
            Extent::Full => Some(self.full),
            Extent::Gate => self.gate,
        }
    }
}

impl Peer {
    /// How many times it is run.
    pub fn runs(&self, extent: Extent) -> usize {
        match extent {
            Extent::Full => 2,
            Extent::Gate => self.gate_runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bar::Sense;
    use super::*;
    use crate::command_line::COMMANDS;
    use crate::transfers::TRANSFERS;

    fn all() -> impl Iterator<Item = &'static Race> {
        RACES.iter().chain(TRANSFERS).chain(COMMANDS)
    }

    #[test]
    fn whoever_a_demand_compares_us_with_takes_part_wherever_the_race_is_run() {
        for race in all() {
            for demand in race.demands {
                for wanted in demand.figure.peers() {
                    let peer = race.peers.iter().find(|peer| peer.tool.name == wanted.name);
                    let runs =
                        |extent| race.shape(extent).is_none() || peer.is_some_and(|p| p.runs(extent) > 0);
                    let named = format!("{:?}: {}", race.goal, wanted.name);
                    assert!(runs(Extent::Full) && runs(Extent::Gate), "{named}");
                }
            }
        }
    }

    #[test]
    fn no_two_figures_have_the_same_name() {
        let figures = all().flat_map(|race| race.demands.iter().map(move |demand| (race, demand)));
        let names: Vec<String> =
            figures.map(|(race, demand)| format!("{}: {:?}", race.name(), demand.figure)).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
        }
    }

    #[test]
    fn operations_are_counted_only_where_something_is_slow() {
        for race in all() {
            let counts = race.demands.iter().any(|d| matches!(d.figure, Figure::OperationsPerFile));
            assert!(!counts || race.slow != Slow::Nothing, "{:?}", race.goal);
        }
    }

    #[test]
    fn a_goal_asks_for_no_less_than_the_gate() {
        for demand in all().flat_map(|race| race.demands) {
            let asks_more = match demand.figure.sense() {
                Sense::AtLeast => demand.goal >= demand.must,
                Sense::AtMost => demand.goal <= demand.must,
            };
            assert!(asks_more, "{demand:?}");
        }
    }

    #[test]
    fn files_are_spread_evenly_over_the_directories() {
        for shape in all().flat_map(|race| [Some(race.full), race.gate]).flatten() {
            assert_eq!(shape.files % shape.directories, 0, "{shape:?}");
        }
    }
}
