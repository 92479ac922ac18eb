//! A plugin as a process of its own, to be killed at any step: it says "ready", waits for a byte, makes one call and
//! ends.

use std::io::{Read, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::cases::caches;
use crate::world::{Claim, World};

/// What the plugin is to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    pub api: String,
    pub root: String,
    pub export: String,
    pub folder: String,
    pub target: String,
    pub unpublish: bool,
    /// With copies of `cases::caches`.
    pub copies: bool,
}

pub fn run(settings: &str) -> ExitCode {
    let settings: Settings = serde_json::from_str(settings).unwrap();
    let mut world = World::inherited(crate::parse_api(&settings.api), settings.root.as_ref());
    if settings.copies {
        world = caches::known(world);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = world.node();
        let claim = Claim::of(settings.export.as_ref(), &settings.folder);
        let target = settings.target.as_ref();
        println!("ready");
        std::io::stdout().flush().unwrap();
        std::io::stdin().read_exact(&mut [0]).unwrap();
        if settings.unpublish {
            node.unpublish(&claim.id(), target).await.unwrap();
            node.node.sweep().await;
        } else {
            node.publish(claim.at(target)).await.unwrap();
        }
        // Nothing is dropped, as if it were killed now.
        std::process::exit(0)
    })
}
