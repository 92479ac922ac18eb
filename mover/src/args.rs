//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use workspacefs_api::Verify;
use workspacefs_api::mover::PROGRESS_PORT;

use crate::bucket::Origin;
use crate::job::{BucketFill, Fill, Job, Task};
use crate::path::{self, CachePath, PathError};

/// Copies folders into a generation of a cache
///
/// With --source and --path, or --bucket, makes the generation; with --scrub verifies it again; with neither only takes away what
/// --remove names, or with --remove-all everything.
#[derive(Clone, Debug, Parser)]
#[command(name = "mover", version, max_term_width = 100)]
pub struct Args {
    /// Root of the file system to copy from; it is only read
    #[arg(long, value_name = "DIR", requires_all = ["generation", "paths"])]
    source: Option<PathBuf>,
    /// What the source is known by: what lies on the target of another one is not taken for its copy
    #[arg(long, value_name = "ID", requires = "generation", conflicts_with = "scrub")]
    identity: Option<String>,
    /// A bucket to copy from, instead of --source
    #[arg(long, value_name = "NAME", requires_all = ["generation", "credentials"], conflicts_with_all = ["source", "scrub", "remove_all"])]
    bucket: Option<String>,
    /// Only objects whose key begins with this; what follows its last slash is a file's path
    #[arg(long, value_name = "PREFIX", requires = "bucket")]
    prefix: Option<String>,
    /// URL of the service [default: AWS S3]
    #[arg(long, value_name = "URL", requires = "bucket")]
    endpoint: Option<String>,
    /// The bucket's region [default: found by itself]
    #[arg(long, value_name = "REGION", requires = "bucket")]
    region: Option<String>,
    /// Folder with the files accessKeyId and secretAccessKey
    #[arg(long, value_name = "DIR", requires = "bucket")]
    credentials: Option<PathBuf>,
    /// The cache's folder on the target; made if it is missing
    #[arg(long, value_name = "DIR")]
    target: PathBuf,
    /// The generation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    generation: Option<i64>,
    /// A folder to copy, absolute, from the source's root; may be given more than once
    #[arg(long = "path", value_name = "P", requires = "source")]
    paths: Vec<CachePath>,
    /// What makes a copy count as verified
    #[arg(long, value_name = "WHAT", default_value = "checksum")]
    verify: VerifyArg,
    /// Read at most so many bytes per second from the source
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
    /// The most that the files may have together; paths that go beyond are left out
    #[arg(long, value_name = "BYTES")]
    capacity: Option<u64>,
    /// Use at most N threads [default: what the copy engine finds right]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Link what is unchanged since this generation from there; none if it does not lie there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    earlier: Option<i64>,
    /// First take away this generation; may be given more than once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    remove: Vec<i64>,
    /// Take away everything: the cache is deleted
    #[arg(long, conflicts_with_all = ["source", "scrub", "generation", "remove"])]
    remove_all: bool,
    /// Compare the generation with its manifests again; nothing is copied
    #[arg(long, conflicts_with = "source", requires = "generation")]
    scrub: bool,
    /// Where to answer GET /progress and /healthz
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PROGRESS_PORT)))]
    pub listen: SocketAddr,
    /// Where to write what came of it
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    pub outcome: PathBuf,
}

/// [`Verify`] on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum VerifyArg {
    /// The content, read again from the target
    Checksum,
    /// Whether each file is there with its size
    Size,
}

impl Args {
    /// What is to be done.
    ///
    /// # Errors
    /// [`PathError`]: two paths overlap.
    pub fn job(&self) -> Result<Job, PathError> {
        path::check(&self.paths)?;
        let task = match (self.generation, &self.source) {
            _ if self.remove_all => Task::RemoveAll,
            (Some(generation), _) if self.scrub => Task::Scrub(generation),
            (Some(generation), Some(source)) => Task::Fill(self.fill(generation, source.clone())),
            (Some(generation), None) => match self.origin() {
                Some(origin) => Task::FillBucket(self.fill_bucket(generation, origin)),
                None => Task::Remove,
            },
            _ => Task::Remove,
        };
        Ok(Job { target: self.target.clone(), remove: self.remove.clone(), workers: self.workers, task })
    }

    fn fill(&self, generation: i64, source: PathBuf) -> Fill {
        Fill {
            generation,
            source,
            identity: self.identity.clone(),
            paths: self.paths.clone(),
            verify: self.verify(),
            bandwidth: self.bandwidth,
            capacity: self.capacity,
            earlier: self.earlier,
        }
    }

    fn origin(&self) -> Option<Origin> {
        Some(Origin {
            bucket: self.bucket.clone()?,
            prefix: self.prefix.clone().unwrap_or_default(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            credentials: self.credentials.clone()?,
            bandwidth: self.bandwidth,
        })
    }

    fn fill_bucket(&self, generation: i64, origin: Origin) -> BucketFill {
        let (capacity, earlier) = (self.capacity, self.earlier);
        BucketFill {
            generation,
            origin,
            identity: self.identity.clone(),
            verify: self.verify(),
            capacity,
            earlier,
        }
    }

    fn verify(&self) -> Verify {
        match self.verify {
            VerifyArg::Checksum => Verify::Checksum,
            VerifyArg::Size => Verify::Size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["mover", "--target", "t"].iter().chain(arguments))
    }

    #[test]
    fn each_task_has_its_arguments_and_what_does_not_go_together_is_refused() {
        let task = |arguments: &[&str]| parse(arguments).unwrap().job().unwrap().task;
        assert!(matches!(task(&["--remove", "3", "--remove", "4"]), Task::Remove));
        assert!(matches!(task(&["--remove-all"]), Task::RemoveAll));
        assert!(matches!(task(&["--scrub", "--generation", "5"]), Task::Scrub(5)));
        let fill = ["--source", "s", "--generation", "5", "--path", "/b", "--path", "/a"];
        let Task::Fill(fill) = task(&fill) else { panic!() };
        assert_eq!(fill.paths.iter().map(CachePath::absolute).collect::<Vec<_>>(), ["/b", "/a"]);
        assert_eq!((fill.generation, fill.verify), (5, Verify::Checksum));
        let bucket = [
            "--bucket",
            "b",
            "--credentials",
            "c",
            "--prefix",
            "p/",
            "--generation",
            "5",
            "--bandwidth",
            "9",
        ];
        let Task::FillBucket(fill) = task(&bucket) else { panic!() };
        let Origin { bucket, prefix, bandwidth, .. } = fill.origin;
        assert_eq!((&*bucket, &*prefix, bandwidth, fill.generation), ("b", "p/", NonZeroU64::new(9), 5));
        for bad in [
            &["--source", "s"][..],
            &["--source", "s", "--generation", "5"],
            &["--source", "s", "--path", "/a"],
            &["--generation", "5", "--path", "/a"],
            &["--source", "s", "--generation", "0", "--path", "/a"],
            &["--source", "s", "--generation", "5", "--path", "a"],
            &["--scrub"],
            &["--bucket", "b", "--generation", "5"],
            &["--bucket", "b", "--credentials", "c"],
            &["--bucket", "b", "--credentials", "c", "--generation", "5", "--source", "s", "--path", "/a"],
            &["--prefix", "p", "--generation", "5"],
            &["--remove-all", "--scrub", "--generation", "5"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_that_overlap_are_refused() {
        let args = parse(&["--source", "s", "--generation", "5", "--path", "/a", "--path", "/a/b"]).unwrap();
        assert!(matches!(args.job(), Err(PathError::Overlap(..))));
    }
}
