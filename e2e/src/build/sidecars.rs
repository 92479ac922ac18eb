//! The container images of the CSI sidecars, under the names that the chart has by default: there is no registry to pull
//! them from. Each is one static program, as upstream's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build::cache::{self, CacheError, Key};
use crate::build::container_image::{ContainerImage, Entry, ImageError};
use crate::build::programs::Programs;
use crate::progress::Progress;

/// One of them.
pub struct Sidecar {
    /// The program.
    pub program: &'static str,
    /// Name and tag of its image.
    pub reference: &'static str,
}

/// All of them; the tags are the versions in `programs/sidecars/go.mod`.
pub const SIDECARS: [Sidecar; 2] = [
    Sidecar { program: "csi-provisioner", reference: "registry.k8s.io/sig-storage/csi-provisioner:v6.3.0" },
    Sidecar { program: "csi-resizer", reference: "registry.k8s.io/sig-storage/csi-resizer:v2.2.0" },
];

/// Why there is no image of a sidecar.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It was not built.
    #[error("no set of programs has {0}")]
    NoProgram(&'static str),
    /// Its program cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The archives, written into `folder` where it does not have them: `container-<program>-<key>/<program>.tar`.
pub fn archives(programs: &Programs, folder: &Path) -> Result<Vec<PathBuf>, SidecarError> {
    SIDECARS.iter().map(|sidecar| sidecar.archive(programs, folder)).collect()
}

impl Sidecar {
    fn archive(&self, programs: &Programs, folder: &Path) -> Result<PathBuf, SidecarError> {
        let path = programs.path(self.program).ok_or(SidecarError::NoProgram(self.program))?;
        let mut key = Key::default();
        // The path of a program holds the key of its set.
        key.add(path.as_os_str().as_encoded_bytes()).add(self.reference.as_bytes());
        let entry = folder.join(format!("container-{}-{}", self.program, key.finish()));
        let name = format!("{}.tar", self.program);
        let entry = cache::entry(&entry, &Progress::default(), |unfinished| {
            let content =
                fs::read(&path).map_err(|source| SidecarError::Read { path: path.clone(), source })?;
            let image = ContainerImage {
                reference: self.reference.into(),
                entries: vec![Entry::File { path: self.program.into(), mode: 0o755, content }],
                entrypoint: vec![format!("/{}", self.program)],
                environment: Vec::new(),
            };
            Ok::<_, SidecarError>(image.write(&unfinished.join(&name))?)
        })?;
        Ok(entry.join(name))
    }
}
