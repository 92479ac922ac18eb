//! Content by which it shows when it was written: every eight bytes hold a version.

use std::fs::File;
use std::os::unix::fs::FileExt;

pub const WORD: usize = 8;

/// So many words of one version.
pub fn uniform(version: u64, words: usize) -> Vec<u8> {
    version.to_le_bytes().repeat(words)
}

pub fn parse(bytes: &[u8]) -> Vec<u64> {
    assert_eq!(bytes.len() % WORD, 0, "a part of a word: {} bytes", bytes.len());
    bytes.chunks_exact(WORD).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Writes a version from the front to the back, in pieces, so that there is a moment between any two.
pub fn rewrite(file: &File, version: u64, words: usize, piece_words: usize) {
    for at in (0..words).step_by(piece_words) {
        let piece = uniform(version, piece_words.min(words - at));
        file.write_all_at(&piece, (at * WORD) as u64).unwrap();
    }
}

/// Whether a file that is rewritten from front to back ever looked like this: one version, or the beginning of one over the
/// rest of the one before.
pub fn is_a_moment_of_rewriting(words: &[u64]) -> bool {
    let Some(first) = words.first() else { return true };
    let new = words.iter().take_while(|word| *word == first).count();
    words[new..].iter().all(|word| word + 1 == *first)
}

/// Whether a file that is cut to nothing and written anew ever looked like this.
pub fn is_uniform(words: &[u64]) -> bool {
    words.iter().all(|word| *word == words[0])
}

/// Whether a file at whose end the next number is written ever looked like this.
pub fn is_counting(words: &[u64]) -> bool {
    words.iter().zip(0..).all(|(word, number)| *word == number)
}
