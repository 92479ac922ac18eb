//! Takes an archive apart as it comes, in pieces of any length.

use super::header::{Header, goes_on, is_end};
use super::pax::Records;
use super::{BLOCK_BYTES, BadArchive, DESCRIPTION_BYTES_MAX, Member, MemberKind, NS_PER_S, padding};

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step<'a> {
    /// All that there was is taken.
    More,
    /// An entry; its content comes after it.
    Member(Member),
    /// Bytes of its content.
    Content(&'a [u8]),
    /// The archive is closed: what follows means nothing.
    End,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// What came of a block or of a description.
    held: Vec<u8>,
    long_name: Option<Vec<u8>>,
    records: Option<Records>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// A description, with what fills its last block.
    Described {
        kind: u8,
        size: usize,
    },
    /// One more block of a sparse file's map, before its content.
    Sparse {
        member: Member,
    },
    Content {
        left: u64,
        padding: u64,
    },
    Passed {
        left: u64,
    },
    Over,
}

impl Decoder {
    /// Takes from the beginning of `input` as much as makes one step.
    ///
    /// # Errors
    /// [`BadArchive`]; then there is no going on.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, BadArchive> {
        loop {
            match &mut self.state {
                State::Header => {
                    let Some(block) = self.block(input) else { return Ok(Step::More) };
                    if let Some(step) = self.header(&block)? {
                        return Ok(step);
                    }
                }
                State::Described { kind, size } => {
                    let (kind, size) = (*kind, *size);
                    if !self.fill(input, size + padding(size as u64)) {
                        return Ok(Step::More);
                    }
                    let held = std::mem::take(&mut self.held);
                    self.described(kind, &held[..size])?;
                    self.state = State::Header;
                }
                State::Sparse { member } => {
                    let member = member.clone();
                    let Some(block) = self.block(input) else { return Ok(Step::More) };
                    if !goes_on(&block) {
                        return Ok(self.begun(member));
                    }
                }
                State::Content { left: 0, padding } => self.state = State::Passed { left: *padding },
                State::Content { left, .. } => {
                    let content = taken(input, *left);
                    *left -= content.len() as u64;
                    return Ok(if content.is_empty() { Step::More } else { Step::Content(content) });
                }
                State::Passed { left: 0 } => self.state = State::Header,
                State::Passed { left } => {
                    let passed = taken(input, *left).len() as u64;
                    *left -= passed;
                    if passed == 0 {
                        return Ok(Step::More);
                    }
                }
                State::Over => {
                    *input = &[];
                    return Ok(Step::End);
                }
            }
        }
    }

    fn header(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<Option<Step<'static>>, BadArchive> {
        let is_described = self.long_name.is_some() || self.records.is_some();
        if is_end(block) {
            self.state = State::Over;
            return if is_described { Err(BadArchive::Cut) } else { Ok(None) };
        }
        let header = Header::parse(block)?;
        if matches!(header.kind, b'x' | b'L') {
            if header.size > DESCRIPTION_BYTES_MAX {
                return Err(BadArchive::Description);
            }
            // At most as much.
            self.state = State::Described { kind: header.kind, size: header.size as usize };
            return Ok(None);
        }
        if matches!(header.kind, b'g' | b'K') {
            let left = header.size.checked_add(padding(header.size) as u64).ok_or(BadArchive::Field)?;
            self.state = State::Passed { left };
            return Ok(None);
        }
        let sparse_goes_on = header.sparse_goes_on;
        let member = self.member(header);
        if sparse_goes_on {
            self.state = State::Sparse { member };
            return Ok(None);
        }
        Ok(Some(self.begun(member)))
    }

    /// The entry of a header, with what was said of it before.
    fn member(&mut self, header: Header) -> Member {
        let (long_name, records) = (self.long_name.take(), self.records.take().unwrap_or_default());
        let name = records.path.or(long_name).unwrap_or(header.name);
        let kind = match header.kind {
            b'5' => MemberKind::Folder,
            b'0' | b'7' | 0 if records.is_sparse => MemberKind::Other,
            // So programs wrote folders before there was a kind for them.
            b'0' | b'7' | 0 if name.ends_with(b"/") => MemberKind::Folder,
            b'0' | b'7' | 0 => MemberKind::File,
            _ => MemberKind::Other,
        };
        // What has no content has none, whatever a record says.
        let size = if matches!(header.kind, b'2'..=b'6') { 0 } else { records.size.unwrap_or(header.size) };
        let modified = records.modified.unwrap_or(i128::from(header.modified) * NS_PER_S);
        Member { name, kind, size, mode: header.mode, modified, sha256: records.sha256 }
    }

    fn begun(&mut self, member: Member) -> Step<'static> {
        self.state = State::Content { left: member.size, padding: padding(member.size) as u64 };
        Step::Member(member)
    }

    fn described(&mut self, kind: u8, text: &[u8]) -> Result<(), BadArchive> {
        let was_described = if kind == b'x' {
            self.records.replace(Records::parse(text)?).is_some()
        } else {
            let name = text.split(|byte| *byte == 0).next().unwrap_or_default();
            self.long_name.replace(name.to_vec()).is_some()
        };
        if was_described { Err(BadArchive::Twice) } else { Ok(()) }
    }

    /// The next block, once all of it is there.
    fn block(&mut self, input: &mut &[u8]) -> Option<[u8; BLOCK_BYTES]> {
        if !self.fill(input, BLOCK_BYTES) {
            return None;
        }
        let block = self.held.as_slice().try_into().ok();
        self.held.clear();
        block
    }

    /// Whether so many bytes are held now.
    fn fill(&mut self, input: &mut &[u8], wanted: usize) -> bool {
        let missing = wanted - self.held.len();
        self.held.extend_from_slice(taken(input, missing as u64));
        self.held.len() == wanted
    }
}

/// The first bytes of `input`, at most so many, which are taken off it.
fn taken<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at(length);
    *input = rest;
    taken
}
