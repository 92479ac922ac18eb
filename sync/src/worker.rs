//! A worker: takes the next piece of work until there is none.

use crate::doom::Doomed;
use crate::engine::Engine;
use crate::listing::Buffer;
use crate::queue::Task;

/// What a worker has to itself. Its buffers come with their first use.
#[derive(Default)]
pub(crate) struct Worker {
    pub number: usize,
    bytes: Vec<u8>,
    listing: Option<Buffer>,
}

/// Read and written at a time. A small file is read in one piece, with a byte more to see that it ends.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

impl Worker {
    pub fn new(number: usize) -> Self {
        Self { number, ..Self::default() }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes.resize(BUFFER_BYTES, 0);
        &mut self.bytes
    }

    pub fn listing(&mut self) -> &mut Buffer {
        self.listing.get_or_insert_default()
    }

    /// Until the queue is closed.
    pub fn run(&mut self, engine: &Engine<'_>) {
        while let Some(task) = engine.queue.next() {
            let visit = matches!(task, Task::Visit { .. });
            if !engine.is_stopping() {
                self.carry_out(engine, task);
            }
            engine.queue.done(visit);
            if engine.queue.is_listed() {
                engine.control.listed();
            }
            engine.commit_if_due();
        }
        engine.control.at(self.number, None);
    }

    fn carry_out(
        &mut self,
        engine: &Engine<'_>,
        task: Task<crate::directory::Dir, Doomed, crate::chunked::Large>,
    ) {
        match task {
            Task::Visit { parent, names, piece } => {
                for name in names.within(&piece) {
                    engine.visit(&parent, &name, self.listing());
                }
            }
            Task::Files(files) => engine.files(self, files),
            Task::Chunk { file, index } => engine.chunk(self, &file, index),
            Task::Doom { parent, names, piece } => {
                for name in names.within(&piece) {
                    engine.doom_directory(&parent, &name, self.listing());
                }
            }
        }
    }
}
