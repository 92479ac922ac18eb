//! Brings the node's cache to what the LocalStorages wish, every ten seconds and when one of them changes, and says what came of
//! it. Whatever is in the way, pods start: what they mount then is not cached.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use workspacefs_api::{NodeCache, quantity};
use workspacefs_runtime::{CancellationToken, chain};
use workspacefs_storage::local::image::ImageWish;

use super::LocalCache;
use super::decision::{Asked, Next, Place, chosen, next};
use super::figures::CacheFigures;
use super::hands::Hands;
use super::protocol::{Refusal, RefusalKind, Space, Tended};

/// Between two passes.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// The same while files are being thrown away.
const INTERVAL_CULLING: Duration = Duration::from_secs(1);
/// To unbind it when the process ends: Kubernetes waits no longer.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// A cache that failed is made anew at most so often: a disk that fails does so again.
const ANEW: Duration = Duration::from_secs(600);

/// What is in the way, in a word and for a person.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Trouble {
    reason: &'static str,
    message: String,
}

impl Trouble {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<&Refusal> for Trouble {
    fn from(refusal: &Refusal) -> Self {
        match refusal.kind {
            RefusalKind::DeviceBusy => Self::new(
                "DeviceBusy",
                "another program on the node has the kernel's cache (/dev/cachefiles), most likely its own cachefilesd: it is left alone, and FileSystems with localCache are mounted without a cache; stop it on the node to have this one",
            ),
            RefusalKind::Unsupported => unsupported(),
            RefusalKind::Bind | RefusalKind::Damaged => Self::new("BindFailed", refusal.message.clone()),
            RefusalKind::Dead => Self::new("Failed", refusal.message.clone()),
            RefusalKind::Broken => Self::new("HelperFailed", refusal.message.clone()),
        }
    }
}

fn unsupported() -> Trouble {
    Trouble::new(
        "Unsupported",
        "the node's kernel has no /dev/cachefiles: FileSystems with localCache are mounted without a cache; load the module cachefiles on the node (modprobe cachefiles), where its kernel has it",
    )
}

/// See the module.
pub struct Keeper<H> {
    hands: H,
    known: LocalCache,
    figures: CacheFigures,
    /// What is bound.
    bound: Option<Place>,
    /// What of it was seen last.
    space: Space,
    /// LocalStorages, by uid, on whose disks there is no image, as it is to be.
    clean: HashSet<String>,
    /// When an image was made anew, since its cache had failed.
    made_anew: Option<Instant>,
}

/// Shared with who lets disks go.
pub type SharedKeeper<H> = Arc<Mutex<Keeper<H>>>;

impl<H: Hands> Keeper<H> {
    /// Nothing is bound.
    pub fn new(hands: H, known: LocalCache, figures: CacheFigures) -> Self {
        Self {
            hands,
            known,
            figures,
            bound: None,
            space: Space::default(),
            clean: HashSet::new(),
            made_anew: None,
        }
    }

    /// One pass over the LocalStorages that mean this node. Says when the next is due.
    pub async fn pass(&mut self, asked: &[Asked]) -> Duration {
        let mut asked = asked.to_vec();
        if !self.known.is_kept() {
            // Nobody else would unmount and remove what there is of an earlier plugin's.
            asked.iter_mut().for_each(|one| one.bytes = None);
        }
        let wished = Place::wished(&asked);
        let mut tended = Tended::default();
        let result = self.work(&asked, wished.as_ref(), &mut tended).await;
        if let Some(stats) = self.hands.stats() {
            self.figures.counted(stats);
        }
        match &self.bound {
            Some(_) => self.figures.tended(&tended),
            None => self.figures.unbound(),
        }
        let entries = asked.iter().filter(|asked| asked.bytes.is_some());
        let entries = entries.map(|one| (one.uid.clone(), self.entry(one, &asked, result.as_ref().err())));
        let entries: HashMap<String, NodeCache> = entries.collect();
        self.known.learn(self.bound.as_ref().map(|place| place.uid.clone()), entries);
        if tended.unfinished { INTERVAL_CULLING } else { INTERVAL }
    }

    async fn work(
        &mut self,
        asked: &[Asked],
        wished: Option<&Place>,
        tended: &mut Tended,
    ) -> Result<(), Trouble> {
        // Also of what is not there any more: its device may be had again.
        let supported = self.hands.is_supported();
        let wished = wished.filter(|_| supported);
        if next(wished, self.bound.as_ref()) == Next::LetGo {
            self.let_go().await;
        }
        self.tidy(asked, wished).await;
        match (next(wished, self.bound.as_ref()), wished) {
            (Next::Take, Some(place)) => {
                self.take(place).await?;
                self.tend(place, tended).await
            }
            (Next::Tend, Some(place)) => self.tend(place, tended).await,
            (Next::Rest | Next::LetGo, _) | (_, None) if supported => Ok(()),
            _ => Err(unsupported()),
        }
    }

    async fn take(&mut self, place: &Place) -> Result<(), Trouble> {
        let folder = self.image(place).await?;
        if let Err(refusal) = self.hands.bind(&folder).await {
            self.hands.unbind().await;
            if refusal.kind == RefusalKind::Damaged {
                self.make_anew(place).await;
            }
            return Err(Trouble::from(&refusal));
        }
        tracing::info!(storage = place.uid, bytes = place.bytes, "the node's cache is bound");
        self.bound = Some(place.clone());
        Ok(())
    }

    async fn image(&mut self, place: &Place) -> Result<PathBuf, Trouble> {
        let image = self.hands.image(&place.uid, ImageWish::Mounted(place.bytes)).await;
        image.map_err(|error| Trouble::new("NoImage", chain(&error)))
    }

    async fn tend(&mut self, place: &Place, tended: &mut Tended) -> Result<(), Trouble> {
        match self.hands.tend().await {
            Ok(done) => {
                (*tended, self.space) = (done, done.space);
                Ok(())
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "the node's cache is let go");
                self.let_go().await;
                if refusal.kind == RefusalKind::Dead {
                    self.make_anew(place).await;
                }
                Err(Trouble::from(&refusal))
            }
        }
    }

    /// What was in it can be had again; what made it fail may be in the image. The next pass makes another.
    async fn make_anew(&mut self, place: &Place) {
        if self.made_anew.is_some_and(|at| at.elapsed() < ANEW) {
            return;
        }
        match self.hands.image(&place.uid, ImageWish::Gone).await {
            Ok(_) => self.made_anew = Some(Instant::now()),
            Err(error) => tracing::warn!(cause = chain(&error), "a failed cache's image stays for now"),
        }
    }

    /// Takes away what is not wished: images that are mounted and not bound, and those of LocalStorages that want none any more or do
    /// not have the node's cache.
    async fn tidy(&mut self, asked: &[Asked], wished: Option<&Place>) {
        let chosen = chosen(asked);
        let is_chosen = |uid: &str| chosen.is_some_and(|one| one.uid == uid);
        // What an earlier plugin left mounted there is bound again after the first look.
        let is_awaited = chosen.is_some_and(|one| !one.seen);
        let stays = |uid: &str| wished.is_some_and(|place| place.uid == uid) || is_awaited && is_chosen(uid);
        for uid in self.hands.mounted().into_iter().filter(|uid| !stays(uid)) {
            self.unmount(&uid).await;
        }
        for one in asked.iter().filter(|one| one.ready) {
            if is_chosen(&one.uid) {
                self.clean.remove(&one.uid);
            } else if !self.clean.contains(&one.uid) {
                match self.hands.image(&one.uid, ImageWish::Gone).await {
                    Ok(_) => drop(self.clean.insert(one.uid.clone())),
                    Err(error) => {
                        tracing::warn!(
                            storage = one.name,
                            cause = chain(&error),
                            "the cache's image stays for now"
                        );
                    }
                }
            }
        }
    }

    /// Unbinds and unmounts what is bound, so that its disk can be unmounted.
    pub async fn let_go(&mut self) {
        // First of all: nobody is to begin to use it.
        self.known.unbound();
        self.figures.unbound();
        self.space = Space::default();
        self.hands.unbind().await;
        if let Some(place) = self.bound.take() {
            tracing::info!(storage = place.uid, "the node's cache is unbound");
            self.unmount(&place.uid).await;
        }
    }

    /// The same, if it lies on the disk of that LocalStorage.
    pub async fn let_go_of(&mut self, uid: &str) {
        if self.bound.as_ref().is_some_and(|place| place.uid == uid) {
            self.let_go().await;
        } else if self.hands.mounted().iter().any(|mounted| mounted == uid) {
            self.unmount(uid).await;
        }
    }

    async fn unmount(&mut self, uid: &str) {
        if let Err(error) = self.hands.image(uid, ImageWish::Unmounted).await {
            tracing::warn!(uid, cause = chain(&error), "the cache's image stays mounted for now");
        }
    }

    fn entry(&self, one: &Asked, asked: &[Asked], trouble: Option<&Trouble>) -> NodeCache {
        let size = one.bytes.map(quantity::exact);
        let not = |reason: &str, message: String| NodeCache {
            ready: false,
            reason: reason.into(),
            message,
            size: size.clone(),
            used: None,
        };
        match chosen(asked) {
            Some(other) if other.uid != one.uid => {
                not("AnotherStorage", format!("a node has one cache, and LocalStorage {} has it", other.name))
            }
            _ if self.bound.as_ref().is_some_and(|place| place.uid == one.uid) => NodeCache {
                ready: true,
                reason: "Ready".into(),
                message: String::new(),
                size: size.clone(),
                used: Some(quantity::rounded(self.space.bytes_used)),
            },
            _ => match trouble {
                Some(trouble) => not(trouble.reason, trouble.message.clone()),
                None if one.leaving => not("Leaving", "the LocalStorage is being deleted".into()),
                None => not("DiskNotReady", "its disk is not ready on this node".into()),
            },
        }
    }
}

/// Makes passes until `shutdown`, and unbinds then. `asked` says what the LocalStorages wish, None while that is not known; `changed`
/// waits until it may be another.
pub async fn run<H: Hands>(
    keeper: &SharedKeeper<H>,
    asked: impl Fn() -> Option<Vec<Asked>>,
    mut changed: impl AsyncFnMut(),
    shutdown: CancellationToken,
) {
    let work = async {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = changed() => {}
            }
            while let Some(asked) = asked() {
                let due = keeper.lock().await.pass(&asked).await;
                if due >= INTERVAL {
                    break;
                }
                tokio::time::sleep(due).await;
            }
        }
    };
    let _: Option<std::convert::Infallible> = shutdown.run_until_cancelled(work).await;
    // What is mounted goes on without it; the image stays mounted, and whoever starts next binds it again.
    let farewell = async {
        let mut keeper = keeper.lock().await;
        keeper.known.unbound();
        keeper.hands.unbind().await;
    };
    // One that does not answer is killed when it is given up, and who lets a disk go may have it for longer.
    let _ = tokio::time::timeout(FAREWELL_MAX, farewell).await;
}

#[cfg(test)]
mod tests;
