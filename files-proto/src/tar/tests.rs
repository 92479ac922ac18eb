//! What is written is read again, in pieces of any length; what lies is refused.

use super::*;

pub(super) fn file(name: &[u8], size: u64) -> Member {
    Member {
        name: name.to_vec(),
        kind: MemberKind::File,
        size,
        mode: 0o640,
        modified: 1_234_567_890_123_456_789,
        sha256: None,
    }
}

pub(super) fn archive(members: &[(Member, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (member, content) in members {
        member.write(&mut bytes);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    }
    bytes.extend_from_slice(&END);
    bytes
}

/// All entries with their contents, fed in pieces of so many bytes.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Member, Vec<u8>)>, BadArchive> {
    let (mut decoder, mut members, mut is_over) =
        (Decoder::default(), Vec::<(Member, Vec<u8>)>::new(), false);
    for mut input in bytes.chunks(piece) {
        loop {
            match decoder.next(&mut input)? {
                Step::More => break,
                Step::End => {
                    is_over = true;
                    break;
                }
                Step::Member(member) => members.push((member, Vec::new())),
                Step::Content(content) => members.last_mut().unwrap().1.extend_from_slice(content),
            }
        }
        assert!(input.is_empty());
    }
    if is_over { Ok(members) } else { Err(BadArchive::Cut) }
}

/// A header as others write it, with its sum.
fn block(name: &[u8], kind: u8, size: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[345..345 + prefix.len()].copy_from_slice(prefix);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn what_is_written_is_read_again_whatever_the_pieces() {
    let long = b"d\xff/".repeat(150);
    let members = [
        (file(b"a", 3), &b"abc"[..]),
        (Member { modified: 7_000_000_000, ..file(b"plain", 0) }, b""),
        (Member { modified: -1, sha256: Some("x".repeat(44)), ..file(&long[..299], 513) }, &[7; 513]),
        (file(&[b'n'; 100], 512), &[8; 512]),
        (file(b"line\nbreak \xff", 1), b"x"),
        (Member { kind: MemberKind::Folder, ..file(b"folder", 0) }, b""),
    ];
    let bytes = archive(&members);
    let expected: Vec<_> =
        members.iter().map(|(member, content)| (member.clone(), content.to_vec())).collect();
    for piece in [1, 7, 511, 512, 513, 4096, bytes.len()] {
        assert_eq!(read(&bytes, piece).unwrap(), expected, "{piece}");
    }
}

#[test]
fn a_size_beyond_octal_digits_is_said_by_a_record() {
    let large = file(b"large", 1 << 40);
    let mut bytes = Vec::new();
    large.write(&mut bytes);
    let mut input = &bytes[..];
    assert_eq!(Decoder::default().next(&mut input), Ok(Step::Member(large)));
}

#[test]
fn what_others_write_is_understood() {
    let mut bytes = block(b"name", b'0', b"00000000003\0", b"above/it");
    bytes.extend_from_slice(b"abc");
    bytes.resize(2 * BLOCK_BYTES, 0);
    // Values for all, and the target of a link: passed over.
    bytes.extend(block(b"", b'g', b"00000000005\0", b""));
    bytes.extend_from_slice(&[b'?'; BLOCK_BYTES]);
    bytes.extend(block(b"././@LongLink", b'K', b"00000000600\0", b""));
    bytes.extend_from_slice(&[b'?'; BLOCK_BYTES]);
    bytes.extend(block(b"././@LongLink", b'L', b"00000000203\0", b""));
    bytes.extend_from_slice(&[[b'l'; 130].as_slice(), &[0; BLOCK_BYTES - 130]].concat());
    bytes.extend(block(b"lll", b'0', b"", b""));
    bytes.extend(block(b"old/", 0, b"", b""));
    bytes.extend(block(b"link", b'2', b"00000000003\0", b""));
    bytes.extend(block(b"fifo", b'6', b"", b""));
    bytes.extend(block(b"hard", b'1', b"", b""));
    bytes.extend_from_slice(&END);
    let members = read(&bytes, 100).unwrap();
    let told: Vec<_> =
        members.iter().map(|(m, content)| (m.name.as_slice(), m.kind, content.as_slice())).collect();
    assert_eq!(
        told,
        [
            (&b"above/it/name"[..], MemberKind::File, &b"abc"[..]),
            (&[b'l'; 130], MemberKind::File, b""),
            (b"old/", MemberKind::Folder, b""),
            (b"link", MemberKind::Other, b""),
            (b"fifo", MemberKind::Other, b""),
            (b"hard", MemberKind::Other, b""),
        ]
    );
}

#[test]
fn a_sparse_file_is_no_file_and_its_map_is_passed_over() {
    let mut first = block(b"sparse", b'S', b"00000001000\0", b"");
    first[482] = 1;
    first[148..156].fill(b' ');
    let sum: u32 = first.iter().map(|byte| u32::from(*byte)).sum();
    first[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut more = [0; BLOCK_BYTES];
    more[504] = 1;
    let bytes =
        [&first[..], &more, &[0; BLOCK_BYTES], &[9; BLOCK_BYTES], &block(b"next", b'0', b"", b""), &END];
    let members = read(&bytes.concat(), 1000).unwrap();
    let told: Vec<_> = members.iter().map(|(m, content)| (m.kind, content.len())).collect();
    assert_eq!(told, [(MemberKind::Other, 512), (MemberKind::File, 0)]);
}

#[test]
fn what_lies_or_ends_early_is_refused() {
    let good = archive(&[(file(b"a", 3), b"abc")]);
    assert_eq!(read(&good[..good.len() - END.len()], 99), Err(BadArchive::Cut));
    assert_eq!(read(&good[..BLOCK_BYTES + 7], 99), Err(BadArchive::Cut));
    assert_eq!(read(b"", 1), Err(BadArchive::Cut));
    assert_eq!(read(&[b'x'; BLOCK_BYTES], 99), Err(BadArchive::Header));
    let described = |kind, size: &[u8], times: usize| {
        let one = [block(b"", kind, size, b""), vec![0; BLOCK_BYTES]].concat();
        [one.repeat(times), END.to_vec()].concat()
    };
    for (bytes, error) in [
        (described(b'x', b"00000200001\0", 1), BadArchive::Description),
        (described(b'L', b"77777777777\0", 1), BadArchive::Description),
        (described(b'L', b"00000000005\0", 2), BadArchive::Twice),
        (described(b'L', b"00000000005\0", 1), BadArchive::Cut),
        (described(b'x', b"00000000005\0", 1), BadArchive::Record),
        (block(b"a", b'0', b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""), BadArchive::Field),
        (block(b"a", b'0', b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""), BadArchive::Field),
        (block(b"a", b'0', b"zzzzzzzzzzz\0", b""), BadArchive::Field),
    ] {
        assert_eq!(read(&bytes, 333), Err(error));
    }
    // As large as can be said: no more is taken for it than there is.
    let mut huge = block(b"a", b'0', b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", b"");
    huge.extend_from_slice(b"x");
    assert_eq!(read(&huge, 333), Err(BadArchive::Cut));
}
