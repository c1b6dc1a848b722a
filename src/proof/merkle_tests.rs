//! Against the published vectors of Certificate Transparency, and against the recursive definition of the RFC.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The eight leaves that implementations of Certificate Transparency are tested with, and the roots of the trees of the first of
/// them (`google/certificate-transparency`, `merkle_tree_test.cc`).
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
        .collect()
}

fn leaf(data: &[u8]) -> Hash {
    sha256(&[&[0], data].concat())
}

/// `MTH` as the RFC writes it.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            parent(&defined_root(&leaves[..k]), &defined_root(&leaves[k..]))
        }
    }
}

fn numbered(size: u64) -> Vec<Hash> {
    (0..size).map(|n| leaf(&n.to_be_bytes())).collect()
}

fn grown(leaves: &[Hash]) -> (Frontier, HashMap<Node, Hash>) {
    let mut frontier = Frontier::default();
    let mut nodes = HashMap::new();
    for (index, leaf) in (0..).zip(leaves) {
        nodes.insert(Node { level: 0, index }, *leaf);
        frontier.push(*leaf, |node, hash| {
            nodes.insert(node, *hash);
        });
    }
    (frontier, nodes)
}

fn proof(ranges: &[Range<u64>], nodes: &HashMap<Node, Hash>) -> Vec<Hash> {
    let root = |range| range_root(range, |node| nodes.get(&node).copied());
    ranges.iter().map(|range| root(range).unwrap()).collect()
}

#[test]
fn the_published_trees_have_the_published_roots() {
    let mut frontier = Frontier::default();
    assert_eq!(
        frontier.root().as_slice(),
        bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    for (data, root) in LEAVES.into_iter().zip(ROOTS) {
        frontier.push(leaf(&bytes(data)), |_, _| {});
        assert_eq!(frontier.root().as_slice(), bytes(root));
    }
}

#[test]
fn the_published_proofs_come_out_and_verify() {
    let leaves: Vec<Hash> = LEAVES.iter().map(|data| leaf(&bytes(data))).collect();
    let (frontier, nodes) = grown(&leaves);
    // The published paths, one of each kind.
    let path = proof(&inclusion_ranges(5, 8), &nodes);
    let published = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert!(path.iter().zip(published).all(|(a, b)| a[..] == bytes(b)));
    assert!(verify_inclusion(5, 8, &leaves[5], &path, &frontier.root()));
    let path = proof(&consistency_ranges(6, 8), &nodes);
    let published = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert!(path.iter().zip(published).all(|(a, b)| a[..] == bytes(b)));
    let six = defined_root(&leaves[..6]);
    assert!(verify_consistency((6, &six), (8, &frontier.root()), &path));
}

#[test]
fn every_proof_of_every_small_tree_verifies_and_no_other_does() {
    let leaves = numbered(70);
    let (_, nodes) = grown(&leaves);
    for size in 1..=70_u64 {
        let root = defined_root(&leaves[..usize::try_from(size).unwrap()]);
        for index in 0..size {
            let path = proof(&inclusion_ranges(index, size), &nodes);
            let leaf = &leaves[usize::try_from(index).unwrap()];
            assert!(verify_inclusion(index, size, leaf, &path, &root));
            for other in 0..size {
                let proved = verify_inclusion(other, size, leaf, &path, &root);
                assert_eq!(proved, other == index);
            }
        }
        for from in 0..=size {
            let old = defined_root(&leaves[..usize::try_from(from).unwrap()]);
            let path = proof(&consistency_ranges(from, size), &nodes);
            assert!(verify_consistency((from, &old), (size, &root), &path));
            if from > 0 {
                assert!(!verify_consistency((from, &[7; 32]), (size, &root), &path));
                assert!(!verify_consistency((from, &old), (size, &[7; 32]), &path));
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_as_a_proof_is_refused_without_a_panic(
        index: u64, size: u64, other: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..80)
    ) {
        prop_assert!(!verify_inclusion(index, size, &[1; 32], &path, &[2; 32]));
        prop_assert!(!verify_consistency((size, &[1; 32]), (other, &[2; 32]), &path));
        let _ = (inclusion_ranges(index, size), consistency_ranges(size, other));
    }

    #[test]
    fn a_frontier_that_is_read_back_grows_like_the_tree(size in 0_u64..200) {
        let (frontier, nodes) = grown(&numbered(size));
        let peaks = whole_nodes(&(0..size)).iter().map(|node| nodes[node]).collect();
        prop_assert_eq!(Frontier::new(size, peaks), frontier);
    }
}
