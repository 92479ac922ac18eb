//! The process that has the kernel's device open: it may wait there for the disk, and dies with the plugin, which unbinds the cache. A
//! process of its own, because its working directory is an argument of two commands, and because nobody else should wait. One
//! thread, no runtime.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use workspacefs_runtime::chain;
use workspacefs_sys::channel::BlockingChannel;
use workspacefs_sys::{Errno, process};

use super::cachefiles::{Cachefiles, Device, OpenError};
use super::daemon::{BindError, Daemon, TendError};
use super::protocol::{Answer, Hello, Question, Refusal, RefusalKind, Reply};

/// A helper before this one lets go of the device while it ends; a `cachefilesd` does not.
const BUSY_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the helper on the socket that is its standard input, until the plugin closes it. `parent` is the plugin's process id.
pub fn run(parent: u32) -> ExitCode {
    // Between fork and here the plugin may have died: then nobody would ever kill us.
    if process::die_with(parent).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    match serve(BlockingChannel::new(socket), Device::open) {
        // The plugin is gone, or has no use for us any more.
        Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cache-helper: its socket failed: {error}");
            ExitCode::FAILURE
        }
        Ok(never) => match never {},
    }
}

fn serve<D: Cachefiles>(
    mut channel: BlockingChannel,
    open: impl Fn(&Path) -> Result<D, OpenError>,
) -> io::Result<std::convert::Infallible> {
    let hello: Hello = serde_json::from_slice(&channel.receive()?.bytes)?;
    let mut daemon = None;
    loop {
        let question: Question = serde_json::from_slice(&channel.receive()?.bytes)?;
        let reply: Reply = answer(&mut daemon, || patiently(|| open(&hello.device)), question);
        channel.send(&serde_json::to_vec(&reply)?, &[])?;
    }
}

fn answer<D: Cachefiles>(
    daemon: &mut Option<Daemon<D>>,
    open: impl Fn() -> Result<D, OpenError>,
    question: Question,
) -> Reply {
    match question {
        Question::Bind(folder) => {
            // First: a device can be open once.
            unbind(daemon);
            let device = open().map_err(|error| refusal(open_refused(&error), &error))?;
            let bound = Daemon::bind(device, &folder);
            *daemon = Some(bound.map_err(|error| refusal(bind_refused(&error), &error))?);
            Ok(Answer::Bound)
        }
        Question::Tend { within_ms } => {
            let until = Instant::now() + Duration::from_millis(within_ms);
            let Some(bound) = daemon else {
                let message = "no cache is bound".into();
                return Err(Refusal { kind: RefusalKind::Broken, message });
            };
            bound.tend(until).map(Answer::Tended).map_err(|error| {
                let kind = match error {
                    TendError::Dead => RefusalKind::Dead,
                    TendError::Device(_) | TendError::Folder(_) => RefusalKind::Broken,
                };
                refusal(kind, &error)
            })
        }
        Question::Unbind => {
            unbind(daemon);
            Ok(Answer::Unbound)
        }
    }
}

fn unbind<D: Cachefiles>(daemon: &mut Option<Daemon<D>>) {
    if let Some(mut bound) = daemon.take() {
        bound.leave();
    }
}

/// Tries again for a moment while another has it.
fn patiently<D>(open: impl Fn() -> Result<D, OpenError>) -> Result<D, OpenError> {
    let began = Instant::now();
    loop {
        match open() {
            Err(OpenError::Busy) if began.elapsed() < BUSY_MAX => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

fn open_refused(error: &OpenError) -> RefusalKind {
    match error {
        OpenError::Busy => RefusalKind::DeviceBusy,
        OpenError::Missing => RefusalKind::Unsupported,
        OpenError::Io(_) => RefusalKind::Broken,
    }
}

/// The kernel makes and looks up files when it binds: only what it says of those is of the folder's file system. Anything else will
/// be the same with another.
fn bind_refused(error: &BindError) -> RefusalKind {
    match error {
        BindError::Refused { command, errno: Errno::IO | Errno::ROFS | Errno::UCLEAN | Errno::BADMSG }
            if command == "bind" =>
        {
            RefusalKind::Damaged
        }
        BindError::Refused { .. } | BindError::Name(_) => RefusalKind::Bind,
    }
}

fn refusal(kind: RefusalKind, error: &dyn std::error::Error) -> Refusal {
    Refusal { kind, message: chain(error) }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::path::PathBuf;
    use std::rc::Rc;

    use super::*;

    /// Whether somebody has the device, and the folder that the process is in.
    #[derive(Clone, Default)]
    struct Node {
        taken: Rc<Cell<bool>>,
        entered: Rc<RefCell<PathBuf>>,
    }

    /// A device that one has at a time.
    struct Only(Node);

    impl Only {
        fn open(node: &Node) -> Result<Self, OpenError> {
            if node.taken.replace(true) { Err(OpenError::Busy) } else { Ok(Self(node.clone())) }
        }
    }

    impl Drop for Only {
        fn drop(&mut self) {
            self.0.taken.set(false);
        }
    }

    impl Cachefiles for Only {
        fn tell(&mut self, command: &str) -> Result<(), Errno> {
            if command == "dir /refused" { Err(Errno::INVAL) } else { Ok(()) }
        }
        fn read(&mut self) -> Result<String, Errno> {
            Ok("cull=0".into())
        }
        fn enter(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).unwrap();
            self.0.entered.replace(path);
            Ok(())
        }
    }

    fn kind(reply: Reply) -> RefusalKind {
        reply.unwrap_err().kind
    }

    #[test]
    fn the_device_is_held_while_bound_and_let_go_by_unbind_and_by_what_fails() {
        let node = Node::default();
        let taken = &node.taken;
        let mut daemon = None;
        let mut ask = |question| answer(&mut daemon, || Only::open(&node), question);
        let folder = tempfile::tempdir().unwrap();
        let bind = || Question::Bind(folder.path().into());
        assert_eq!(kind(ask(Question::Tend { within_ms: 0 })), RefusalKind::Broken);
        assert!(matches!(ask(bind()), Ok(Answer::Bound)) && taken.get());
        // Again, after a plugin that asked twice.
        assert!(matches!(ask(bind()), Ok(Answer::Bound)) && taken.get());
        assert!(matches!(ask(Question::Tend { within_ms: 0 }), Ok(Answer::Tended(_))));
        assert!(matches!(ask(Question::Unbind), Ok(Answer::Unbound)) && !taken.get());
        assert_eq!(kind(ask(Question::Bind("/refused".into()))), RefusalKind::Bind);
        assert!(!taken.get(), "a host's own daemon can have it");
    }

    #[test]
    fn who_has_unbound_a_folder_is_not_in_it_when_it_answers() {
        let node = Node::default();
        let mut daemon = None;
        let mut ask = |question| answer(&mut daemon, || Only::open(&node), question);
        let folder = tempfile::tempdir().unwrap();
        for last in [Question::Unbind, Question::Bind(folder.path().into())] {
            assert!(matches!(ask(Question::Bind(folder.path().into())), Ok(Answer::Bound)));
            node.entered.replace(folder.path().join("cache"));
            ask(last).unwrap();
            assert_eq!(*node.entered.borrow(), Path::new("/"));
        }
    }

    #[test]
    fn only_an_error_of_what_is_bound_says_that_it_is_damaged() {
        let refused = |command: &str, errno| BindError::Refused { command: command.into(), errno };
        for errno in [Errno::IO, Errno::ROFS, Errno::UCLEAN, Errno::BADMSG] {
            assert_eq!(bind_refused(&refused("bind", errno)), RefusalKind::Damaged, "{errno}");
            assert_eq!(bind_refused(&refused("dir /x", errno)), RefusalKind::Bind, "{errno}");
        }
        for errno in [Errno::OPNOTSUPP, Errno::BUSY, Errno::INVAL, Errno::NOMEM, Errno::PERM] {
            assert_eq!(bind_refused(&refused("bind", errno)), RefusalKind::Bind, "{errno}");
        }
        assert_eq!(bind_refused(&BindError::Name("/a b".into())), RefusalKind::Bind);
    }

    #[test]
    fn anothers_device_is_busy_and_a_kernel_without_one_is_told() {
        let mut daemon: Option<Daemon<Only>> = None;
        let bind = || Question::Bind("/x".into());
        let busy = answer(&mut daemon, || Err(OpenError::Busy), bind());
        assert_eq!(kind(busy), RefusalKind::DeviceBusy);
        assert_eq!(kind(answer(&mut daemon, || Err(OpenError::Missing), bind())), RefusalKind::Unsupported);
    }

    #[test]
    fn one_that_lets_go_while_it_ends_is_waited_for() {
        let tries = Cell::new(0);
        let opened = patiently(|| {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(OpenError::Busy) } else { Ok(()) }
        });
        assert_eq!((opened, tries.get()), (Ok(()), 3));
        let missing: Result<(), _> = patiently(|| Err(OpenError::Missing));
        assert_eq!(missing, Err(OpenError::Missing));
    }

    #[tokio::test]
    async fn the_helper_answers_over_its_socket() {
        let (mut ours, theirs) = workspacefs_sys::channel::pair().unwrap();
        let thread = std::thread::spawn(move || {
            serve(BlockingChannel::new(theirs), |_| Err::<Device, _>(OpenError::Missing)).unwrap_err().kind()
        });
        let say = async |ours: &workspacefs_sys::channel::AsyncChannel, message: Vec<u8>| {
            ours.send(&message, &[]).await.unwrap();
        };
        say(&ours, serde_json::to_vec(&Hello { device: "/x".into() }).unwrap()).await;
        say(&ours, serde_json::to_vec(&Question::Bind("/x".into())).unwrap()).await;
        let reply: Reply = serde_json::from_slice(&ours.receive().await.unwrap().bytes).unwrap();
        assert_eq!(kind(reply), RefusalKind::Unsupported);
        drop(ours);
        assert_eq!(thread.join().unwrap(), UnexpectedEof);
    }
}
