//! Trees of files: the goals of the project's performance plan, run beside other programs. `tool` and `race` are tables of
//! who does what where, `bar` is the arithmetic, `side_by_side` the order, `course` the file systems, `judge` the check.

mod bar;
mod chosen;
mod course;
mod flat;
mod judge;
mod race;
mod report;
mod shape;
mod side_by_side;
mod telling;
mod tool;

pub(crate) use bar::median;
pub use bar::{Demand, Figure, Level, Sense};
pub use chosen::Chosen;
pub use course::FileSystems;
pub use flat::flat;
pub use race::{Extent, Goal, Peer, RACES, Race, Slow, Task};
pub(crate) use race::{GIB, both, close, demand, shown};
pub use report::{Bar, Line, RaceReport, Sample};
pub use shape::Shape;
pub(crate) use shape::shape;
pub use side_by_side::{Course, race};
pub use telling::told;
pub use tool::{Places, Tool};
