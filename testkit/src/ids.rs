//! Volume ids as attackers write them, by a generator that is quick and always the same, and a judge of what an id means,
//! written without a look at the one that it judges.

/// What breaks parsers of paths, of ids and of C.
const POISON: [&str; 24] = [
    "..",
    "/",
    "\\",
    "\0",
    ".",
    "../",
    "..\\",
    "%2f",
    "%2e%2e",
    "%00",
    "\n",
    " ",
    "\u{202e}",
    "ä",
    "\u{ff0f}",
    "～",
    "*",
    "$(x)",
    ",addr=6.6.6.6",
    "//",
    "/./",
    "...",
    "-",
    "_",
];

/// An endless supply of ids, near enough to good ones to be dangerous. Two generators give the same ids.
pub struct HostileIds {
    uids: Vec<String>,
    state: u64,
    text: String,
}

impl HostileIds {
    /// Names that the ids give to folders.
    pub const NAMES: &'static [&'static str] =
        &["pvc-1", "pvc-0f8fad5b-d9cb-469f-a165-70867728950e", "a", "hash-a", "A_b.c", "x..y"];

    /// Ids that speak of these FileSystems.
    pub fn new(uids: &[&str]) -> Self {
        Self {
            uids: uids.iter().map(|uid| (*uid).to_owned()).collect(),
            state: 0x9e37_79b9_7f4a_7c15,
            text: String::new(),
        }
    }

    /// The next one.
    pub fn next_id(&mut self) -> &str {
        self.text.clear();
        match self.below(8) {
            0 => {
                const STARTS: [&str; 8] =
                    ["v1.fs.", "v1.vol.", "v2.vol.", "V1.VOL.", "v1.vol", "v1..", "", "vol."];
                let start = self.below(STARTS.len());
                self.text.push_str(STARTS[start]);
            }
            1 | 2 => self.text.push_str("v1.fs."),
            _ => self.text.push_str("v1.vol."),
        }
        let uid = self.below(self.uids.len());
        self.text.push_str(&self.uids[uid]);
        if self.below(4) != 0 {
            self.text.push('.');
            let name = self.below(Self::NAMES.len());
            self.text.push_str(Self::NAMES[name]);
        }
        // One of eight stays as it is: to forget what is valid would be a fault, too.
        for _ in 0..self.below(8).min(3) {
            self.spoil();
        }
        &self.text
    }

    fn spoil(&mut self) {
        let at = self.place();
        match self.below(6) {
            0 | 1 => {
                let poison = self.below(POISON.len());
                self.text.insert_str(at, POISON[poison]);
            }
            2 => self.text.truncate(at),
            3 => {
                let poison = self.below(POISON.len());
                self.text.truncate(at);
                self.text.push_str(POISON[poison]);
            }
            4 => {
                let byte = char::from(u8::try_from(self.below(128)).unwrap_or(b'a'));
                self.text.insert(at, byte);
            }
            _ => {
                // Rarely very long: up to ten kilobytes.
                let (times, poison) = (self.below(200), self.below(POISON.len()));
                let times = if self.below(50) == 0 { times * 10 } else { times / 10 };
                for _ in 0..times {
                    self.text.push_str(POISON[poison]);
                }
            }
        }
    }

    /// A place between two characters.
    fn place(&mut self) -> usize {
        let mut at = self.below(self.text.len() + 1);
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// xorshift64*: nothing secret depends on it.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap_or(0) % bound.max(1)
    }
}

/// The FileSystem's uid and the folder's name that an id names, if it names any.
pub fn means_folder(id: &str) -> Option<(&str, &str)> {
    let bytes = id.as_bytes();
    // v1.vol. + 36 + . + a name; no longer than CSI allows.
    if bytes.len() < 45 || bytes.len() > 128 || &bytes[..7] != b"v1.vol." || bytes[43] != b'.' {
        return None;
    }
    for (at, byte) in bytes[7..43].iter().enumerate() {
        let is_dash = at == 8 || at == 13 || at == 18 || at == 23;
        if is_dash != (*byte == b'-') || !(is_dash || b"0123456789abcdef".contains(byte)) {
            return None;
        }
    }
    let name = &bytes[44..];
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if name[0] == b'.' || !name.iter().all(allowed) {
        return None;
    }
    Some((&id[7..43], &id[44..]))
}
