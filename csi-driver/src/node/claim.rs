//! NodePublishVolume of the claim of an FsCache: the copy that is current for this node, read-only, chosen once, for the
//! pod's life. There is no source behind it: what is not Ready is not mounted, the pod waits and its Events say what for.

use std::os::fd::AsFd;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;
use workspacefs_api::cache_attributes::{CacheVolumeAttributes, CacheVolumeId};
use workspacefs_api::volume::POD_NAMESPACE;

use super::Node;
use super::arguments::Publish;
use super::nest::used;
use super::publish::{PublishError, Undo, record};
use super::target::State;
use super::targets::{BeginError, Begun, OnShare};
use crate::cache::Lies;

impl Node {
    /// See the module. The caller holds the target's guard, at which nothing like what is asked for is mounted.
    ///
    /// # Errors
    /// [`PublishError`], at the latest at the deadline; then nothing of it is left.
    pub(super) async fn publish_copy(
        &self,
        asked: Publish,
        id: &CacheVolumeId,
        here: State,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let whose = CacheVolumeAttributes::from_map(&asked.context).map_err(PublishError::Attributes)?;
        if asked.context.get(POD_NAMESPACE).is_some_and(|namespace| *namespace != whose.namespace) {
            return Err(PublishError::OtherNamespace(whose.namespace));
        }
        let nothing = OnShare { share: None, whose: None, copies: Vec::new() };
        if self.0.targets.begin(here, record(&asked, nothing))? == Begun::Done {
            return Ok(());
        }
        let undo = Undo { node: self.clone(), target: Some(asked.target) };
        let Some(target) = &undo.target else { return Ok(()) };
        // Only where the record and the mount table disagree is there anything to take off.
        target.unmount()?;
        self.0.usages.forget(target.path());
        let nests = &self.0.config.nests;
        let reach = |cache: &_| nests.ground.of(cache);
        let nest =
            nests.caches.choose_for_claim(target.path(), (id.uid(), &whose), Timestamp::now(), reach)?;
        let share = match &nest.lies {
            Lies::OnShare(share, _) => Some(share),
            Lies::OnDisk(..) => None,
        };
        // What is not recorded would not be known as used after a restart.
        let recorded = self.0.targets.change(target, |place| {
            place.copies = vec![used(&nest)];
            place.share = share.cloned();
        });
        recorded.map_err(BeginError::Record)?;
        let folder = target.make()?;
        let view = self.copy_view(&nest, deadline).await;
        let view = view.inspect_err(|_| nests.figures.count(false)).map_err(PublishError::Copy)?;
        view.attach(folder.as_fd()).map_err(PublishError::Attach)?;
        self.count_copies(self.0.targets.at(target));
        undo.keep();
        self.0.failures.forget(&asked.volume_id);
        Ok(())
    }
}
