//! Merkle trees as RFC 6962 §2.1 has them, over leaf hashes, with few stored nodes.
//!
//! A tree of n leaves is cut at the largest power of two below n, so every left part is a complete, aligned subtree.
//! Only complete nodes on every fourth level are stored; everything else comes from at most fifteen hashes a step.

use super::Hash;
use super::chain::sha256_of;

/// Inner nodes are stored on levels that are multiples of this.
pub const STORED_STEP: u32 = 4;
/// Children of a stored node on the stored level below.
const FAN: u64 = 1 << STORED_STEP;

/// Where complete nodes come from: leaves (level 0) and stored levels.
pub trait Nodes {
    /// How reading fails.
    type Error;
    /// Hashes with `from <= index < to` on a stored level, all of them complete.
    fn nodes(&mut self, level: u32, from: u64, to: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// Leaves in memory.
impl Nodes for &[Hash] {
    type Error = std::convert::Infallible;

    fn nodes(&mut self, level: u32, from: u64, to: u64) -> Result<Vec<Hash>, Self::Error> {
        let width = 1u64.checked_shl(level).unwrap_or(u64::MAX);
        Ok((from..to)
            .map(|i| {
                let range = usize::try_from(i * width).unwrap_or(usize::MAX)
                    ..usize::try_from((i + 1) * width).unwrap_or(usize::MAX);
                fold(self.get(range).unwrap_or_default())
            })
            .collect())
    }
}

/// Root of a tree of nothing: SHA-256 of the empty string.
pub fn empty_root() -> Hash {
    sha256_of(&[])
}

/// Hash of an inner node.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    sha256_of(&[&[0x01], left, right])
}

/// Root over leaf hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    fold(leaves)
}

fn fold(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let cut = split(many.len() as u64);
            let (left, right) = many
                .split_at_checked(usize::try_from(cut).unwrap_or(usize::MAX))
                .unwrap_or((many, &[]));
            node(&fold(left), &fold(right))
        }
    }
}

/// Largest power of two below `n`; `n >= 2`.
fn split(n: u64) -> u64 {
    1 << (63 - (n.max(2) - 1).leading_zeros())
}

/// Root of the first `size` leaves.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    subtree(nodes, 0, size)
}

/// Audit path of leaf `index` in the tree of the first `size` leaves, leaf side first (RFC 6962 §2.1.1).
/// Empty when the index is not in the tree.
pub fn path<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    let (mut start, mut n) = (0, size);
    if index >= size {
        return Ok(path);
    }
    while n > 1 {
        let cut = split(n);
        if index - start < cut {
            path.push(subtree(nodes, start + cut, n - cut)?);
            n = cut;
        } else {
            path.push(subtree(nodes, start, cut)?);
            start += cut;
            n -= cut;
        }
    }
    path.reverse();
    Ok(path)
}

/// The root that a path leads to, if the path has the form a tree of `size` leaves demands.
pub fn root_from_path(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    // RFC 9162 §2.1.3.2, which spells out the check for RFC 6962 trees.
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = node(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Hash of the `n` leaves from `start` on; `start` is a multiple of the power of two at or above `n`.
fn subtree<N: Nodes>(nodes: &mut N, start: u64, n: u64) -> Result<Hash, N::Error> {
    if n == 0 {
        return Ok(empty_root());
    }
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        let stored = level - level % STORED_STEP;
        let from = start >> stored;
        let count = 1 << (level - stored);
        return Ok(fold(&nodes.nodes(stored, from, from + count)?));
    }
    let cut = split(n);
    let left = subtree(nodes, start, cut)?;
    let right = subtree(nodes, start + cut, n - cut)?;
    Ok(node(&left, &right))
}

/// Grows a tree leaf by leaf and tells which nodes to store.
#[derive(Debug, Default)]
pub struct Builder {
    size: u64,
    /// Per stored level (0, 4, 8, …) the complete nodes that have no stored parent yet; fewer than sixteen each.
    open: Vec<Vec<Hash>>,
}

impl Builder {
    /// Goes on with a stored tree of `size` leaves.
    pub fn resume<N: Nodes>(nodes: &mut N, size: u64) -> Result<Self, N::Error> {
        let mut open = Vec::new();
        let (mut level, mut count) = (0, size);
        while count > 0 {
            let parents = count / FAN;
            open.push(nodes.nodes(level, parents * FAN, count)?);
            count = parents;
            level += STORED_STEP;
        }
        Ok(Self { size, open })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `store(level, index, hash)` is called for every inner node to keep.
    pub fn push(&mut self, leaf: Hash, store: &mut dyn FnMut(u32, u64, Hash)) {
        self.size += 1;
        let (mut hash, mut step, mut count) = (leaf, 0usize, self.size);
        loop {
            if self.open.len() <= step {
                self.open.push(Vec::new());
            }
            let Some(row) = self.open.get_mut(step) else {
                return;
            };
            row.push(hash);
            if (row.len() as u64) < FAN {
                return;
            }
            hash = fold(row);
            row.clear();
            step += 1;
            count /= FAN;
            let level = STORED_STEP * u32::try_from(step).unwrap_or(u32::MAX);
            store(level, count - 1, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn leaf(data: &[u8]) -> Hash {
        sha256_of(&[&[0x00], data])
    }

    fn hex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// The inputs and roots that Certificate Transparency implementations check themselves against.
    #[test]
    fn known_roots() {
        let leaves: Vec<Hash> = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .iter()
        .map(|h| leaf(&hex(h)))
        .collect();
        for (n, root) in [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                2,
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            ),
            (
                3,
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                5,
                "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ] {
            assert_eq!(root_of(&leaves[..n]).to_vec(), hex(root), "size {n}");
        }
    }

    struct Kept(BTreeMap<(u32, u64), Hash>);
    impl Nodes for Kept {
        type Error = (u32, u64);
        fn nodes(&mut self, level: u32, from: u64, to: u64) -> Result<Vec<Hash>, Self::Error> {
            (from..to)
                .map(|i| self.0.get(&(level, i)).copied().ok_or((level, i)))
                .collect()
        }
    }

    #[test]
    fn stored_nodes_give_the_same_roots_and_paths_as_the_leaves() {
        let leaves: Vec<Hash> = (0u32..700).map(|i| leaf(&i.to_be_bytes())).collect();
        let mut kept = Kept(BTreeMap::new());
        let mut builder = Builder::default();
        for (i, l) in leaves.iter().enumerate() {
            if i % 97 == 0 {
                builder = Builder::resume(&mut kept, i as u64).unwrap();
            }
            kept.0.insert((0, i as u64), *l);
            builder.push(*l, &mut |level, index, hash| {
                assert!(kept.0.insert((level, index), hash).is_none());
            });
        }
        for size in (1u64..=700).step_by(13).chain([256, 257, 512, 700]) {
            let expected = root_of(&leaves[..size as usize]);
            assert_eq!(root(&mut kept, size).unwrap(), expected, "size {size}");
            for index in [0, size / 3, size / 2, size - 1] {
                let path = path(&mut kept, index, size).unwrap();
                assert_eq!(
                    root_from_path(&leaves[index as usize], index, size, &path),
                    Some(expected)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn only_the_right_leaf_at_the_right_place_fits(size in 1u64..300, at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf(&i.to_be_bytes())).collect();
            let index = at.index(size as usize) as u64;
            let mut source: &[Hash] = &leaves;
            let Ok(path) = path(&mut source, index, size);
            let root = root_of(&leaves);
            prop_assert_eq!(root_from_path(&leaves[index as usize], index, size, &path), Some(root));
            let wrong = other.index(size as usize) as u64;
            if wrong != index {
                prop_assert_ne!(root_from_path(&leaves[wrong as usize], index, size, &path), Some(root));
                prop_assert_ne!(root_from_path(&leaves[index as usize], wrong, size, &path), Some(root));
            }
            let mut longer = path.clone();
            longer.push(root);
            prop_assert_ne!(root_from_path(&leaves[index as usize], index, size, &longer), Some(root));
        }
    }
}
