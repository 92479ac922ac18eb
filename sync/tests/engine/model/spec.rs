//! What the random trees are made of. Everything is small but hostile: names of any bytes, sizes around the edges, modes that
//! forbid, times from before the epoch.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A tree, what lies in the destination before, and what is asked for.
#[derive(Clone, Debug)]
pub struct Spec {
    pub root: Meta,
    pub nodes: Vec<Node>,
    pub extras: Vec<Extra>,
    pub wish: Wish,
}

#[derive(Clone, Debug)]
pub struct Node {
    /// Which of the directories so far, modulo their count.
    pub parent: usize,
    pub name: Vec<u8>,
    pub what: What,
    pub meta: Meta,
    pub before: Before,
}

#[derive(Clone, Debug)]
pub enum What {
    Directory,
    File(Content),
    Link(Vec<u8>),
    /// To which of the files so far, modulo their count.
    HardLink(usize),
}

#[derive(Clone, Debug)]
pub struct Content {
    pub seed: u64,
    pub size: u64,
    /// Where there is data; everywhere if none is said.
    pub extents: Option<Vec<(u64, u64)>>,
}

#[derive(Clone, Debug)]
pub struct Meta {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub xattrs: Vec<(&'static str, Vec<u8>)>,
    /// For a named user and the mask; of directories also what is handed down.
    pub acl: Option<(u16, u16)>,
}

/// What the destination has under a node's name.
#[derive(Clone, Debug)]
pub enum Before {
    Missing,
    Same,
    Older,
    OtherAttributes(Meta),
    File,
    Link,
    Directory(usize),
}

/// What only the destination has.
#[derive(Clone, Debug)]
pub struct Extra {
    pub parent: usize,
    pub name: Vec<u8>,
    pub what: What,
    pub meta: Meta,
}

#[derive(Clone, Debug)]
pub struct Wish {
    pub delete: Option<u64>,
    pub filter: bool,
    pub chosen: Vec<usize>,
    pub owner: bool,
    pub xattrs: bool,
    pub acls: bool,
    pub checksum: bool,
    pub workers: usize,
}

/// So that names meet, and some match the filter (`*.skip`, `!keep.skip`).
const NAMES: [&str; 14] =
    ["a", "b", "c", "d", "e", "f", "x.skip", "y.skip", "keep.skip", "-rf", " ", "\n", "*", "...."];

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = (1u8..=255).prop_map(|byte| if byte == b'/' { b'\\' } else { byte });
    prop_oneof![
        6 => select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        3 => vec(byte.clone(), 1..12),
        1 => vec(byte, 255),
    ]
    .prop_filter("a name", |name| name != b"." && name != b"..")
}

fn meta() -> impl Strategy<Value = Meta> {
    const MODES: [u32; 10] = [0o644, 0o755, 0o600, 0o400, 0o444, 0, 0o777, 0o4755, 0o2750, 0o1777];
    let mode = prop_oneof![3 => select(&MODES[..]), 1 => 0u32..=0o7777];
    let owner = prop_oneof![3 => Just((0, 0)), 1 => Just((1000, 1000)), 1 => Just((65534, 7))];
    let seconds = prop_oneof![Just(0), Just(1), Just(-1), Just(-100_000_000), 0i64..2_000_000_000];
    let nanoseconds = prop_oneof![Just(0), Just(1), Just(999_999_999), 0i64..1_000_000_000];
    let xattr = (select(&["user.a", "user.b.c", "trusted.d"][..]), vec(any::<u8>(), 0..40));
    let acl = prop_oneof![4 => Just(None), 1 => (0u16..8, 0u16..8).prop_map(Some)];
    (mode, owner, (seconds, nanoseconds), vec(xattr, 0..3), acl)
        .prop_map(|(mode, owner, mtime, xattrs, acl)| Meta { mode, owner, mtime, xattrs, acl })
}

fn content() -> impl Strategy<Value = Content> {
    const EDGES: [u64; 8] = [0, 1, 511, 4095, 4096, 4097, 65_536, 131_073];
    const LARGE: [u64; 3] = [(1 << 20) - 1, 1 << 20, (1 << 20) + 1];
    let size = prop_oneof![6 => 0u64..300, 4 => select(&EDGES[..]), 1 => select(&LARGE[..])];
    let whole = (any::<u64>(), size).prop_map(|(seed, size)| Content { seed, size, extents: None });
    let extents = vec((0u64..3_000_000, 1u64..9_000), 0..4).prop_map(Some);
    let sparse = (any::<u64>(), 1u64..3_000_000, extents).prop_map(|(seed, size, extents)| Content {
        seed,
        size,
        extents,
    });
    prop_oneof![6 => whole, 1 => sparse]
}

fn what() -> impl Strategy<Value = What> {
    let target = prop_oneof![
        Just(b"a".to_vec()),
        Just(b"../b".to_vec()),
        Just(b"nowhere/at/all".to_vec()),
        Just(b"/etc/passwd".to_vec()),
        vec(1u8..=255, 1..60),
    ];
    prop_oneof![
        4 => Just(What::Directory),
        7 => content().prop_map(What::File),
        2 => target.prop_map(What::Link),
        2 => any::<usize>().prop_map(What::HardLink),
    ]
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        4 => Just(Before::Missing),
        4 => Just(Before::Same),
        3 => Just(Before::Older),
        2 => meta().prop_map(Before::OtherAttributes),
        1 => Just(Before::File),
        1 => Just(Before::Link),
        1 => (0usize..3).prop_map(Before::Directory),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let delete = prop_oneof![3 => Just(None), 5 => Just(Some(u64::MAX)), 2 => (0u64..6).prop_map(Some)];
    let chosen = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<usize>(), 1..4)];
    let bools =
        (prop::bool::weighted(0.25), prop::bool::weighted(0.85), any::<bool>(), any::<bool>(), any::<bool>());
    (delete, chosen, bools, 1usize..6).prop_map(
        |(delete, chosen, (filter, owner, xattrs, acls, checksum), workers)| Wish {
            delete,
            filter,
            chosen,
            owner,
            xattrs,
            acls,
            checksum,
            workers,
        },
    )
}

pub fn spec() -> impl Strategy<Value = Spec> {
    let node = (any::<usize>(), name(), what(), meta(), before())
        .prop_map(|(parent, name, what, meta, before)| Node { parent, name, what, meta, before });
    let extra = (any::<usize>(), name(), what(), meta()).prop_map(|(parent, name, what, meta)| Extra {
        parent,
        name,
        what,
        meta,
    });
    (meta(), vec(node, 0..24), vec(extra, 0..8), wish()).prop_map(|(root, nodes, extras, wish)| Spec {
        root,
        nodes,
        extras,
        wish,
    })
}
