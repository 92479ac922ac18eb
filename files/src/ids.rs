//! Names of uploads and of what lies in the trash: the time first, so that they sort by age, then what nobody guesses.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::facts;

const NS_PER_MS: i128 = 1_000_000;
const RANDOM_BYTES: usize = 12;
const LENGTH: usize = 12 + 1 + 2 * RANDOM_BYTES;

/// A new one: letters, digits and one `-`.
pub fn new() -> String {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut random).expect("the kernel gives random bytes since it started");
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:012x}-{hex}", facts::now() / NS_PER_MS)
}

/// Whether it is one: what else is asked for is not looked up.
pub fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == LENGTH
        && text.bytes().enumerate().all(|(at, byte)| if at == 12 { byte == b'-' } else { is_digit(byte) })
}

/// When it was made, nanoseconds since 1970.
pub fn time(id: &str) -> Option<i128> {
    let time = i128::from_str_radix(id.get(..12)?, 16).ok()?;
    Some(time * NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths_and_know_their_time() {
        let id = new();
        assert!(is_id(&id), "{id}");
        assert!((facts::now() - time(&id).unwrap()).abs() < 60_000 * NS_PER_MS);
        for other in ["", "..", "../../etc/passwd", &id[1..], &format!("{id}0"), &id.replace('-', "/")] {
            assert!(!is_id(other), "{other}");
        }
        assert_ne!(new(), new());
    }
}
