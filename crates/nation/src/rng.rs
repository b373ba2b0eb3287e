//! Counter-based random streams: one independent stream per (seed, kind, index), so that any part of the nation can be made
//! without making what comes before it. SplitMix64 (public domain algorithm by Sebastiano Vigna); all arithmetic is on
//! integers or exactly rounded floats, so that every machine draws the same nation.

/// What a stream is for. The numbers are part of the nation's definition: changing one changes every nation.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Kind {
    Births = 1,
    Cell = 2,
    Names = 3,
    Addresses = 4,
    Lists = 5,
    Offices = 6,
    Organisations = 7,
    Personnel = 8,
    History = 9,
    Attributes = 10,
    Chart = 11,
    Feed = 12,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64, kind: Kind, index: u64) -> Self {
        let a = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
        let b = mix(a ^ (kind as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
        Self(mix(b ^ index.wrapping_mul(0xff51_afd7_ed55_8ccd)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 for `n` = 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    pub(crate) fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap_or(0)
    }

    /// True in `per_10_000` of 10 000 cases.
    pub(crate) fn chance(&mut self, per_10_000: u64) -> bool {
        self.below(10_000) < per_10_000
    }

    /// Roughly normal (sum of twelve uniform draws), as an integer in units of a hundredth.
    pub(crate) fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        let sum: u64 = (0..12).map(|_| self.below(1_000_000)).sum();
        mean + sd * (sum as f64 / 1_000_000.0 - 6.0)
    }

    /// An element of a list.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.index(list.len()))
    }

    /// Index drawn with these weights.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut left = self.below(total);
        for (at, weight) in weights.iter().enumerate() {
            let weight = u64::from(*weight);
            if left < weight {
                return at;
            }
            left -= weight;
        }
        0
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.index(at + 1));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A keyed permutation of `0..n` (four Feistel rounds, cycle walking): a shuffle that needs no table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    key: u64,
    n: u64,
    half_bits: u32,
}

impl Permutation {
    pub(crate) fn new(key: u64, n: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        Self {
            key,
            n,
            half_bits: bits.div_ceil(2).max(1),
        }
    }

    pub(crate) fn at(&self, index: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let mut value = index;
        loop {
            let (mut left, mut right) = (value >> self.half_bits, value & mask);
            for round in 0..4_u64 {
                let f = mix(right ^ self.key ^ (round << 56)) & mask;
                (left, right) = (right, left ^ f);
            }
            value = (left << self.half_bits) | right;
            if value < self.n || self.n == 0 {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_independent() {
        let a: Vec<u64> = (0..4)
            .map(|i| Stream::new(1, Kind::Cell, i).next())
            .collect();
        let b: Vec<u64> = (0..4)
            .map(|i| Stream::new(1, Kind::Cell, i).next())
            .collect();
        assert_eq!(a, b);
        assert_ne!(
            Stream::new(1, Kind::Cell, 0).next(),
            Stream::new(1, Kind::Names, 0).next()
        );
        assert_ne!(
            Stream::new(1, Kind::Cell, 0).next(),
            Stream::new(2, Kind::Cell, 0).next()
        );
    }

    #[test]
    fn draws_stay_in_range() {
        let mut s = Stream::new(7, Kind::Cell, 0);
        let mut counts = [0_u32; 3];
        for _ in 0..3_000 {
            assert!(s.below(10) < 10);
            counts[s.weighted(&[1, 0, 2])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((850..1150).contains(&counts[0]), "{counts:?}");
        let mean = (0..2_000).map(|_| s.normal(30.5, 5.0)).sum::<f64>() / 2_000.0;
        assert!((30.0..31.0).contains(&mean), "{mean}");
        assert_eq!(s.below(0), 0);
    }

    #[test]
    fn permutations_hit_everything_once() {
        for n in [0, 1, 2, 3, 7, 100, 1025] {
            let p = Permutation::new(42, n);
            let mut seen: Vec<u64> = (0..n).map(|i| p.at(i)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..n).collect::<Vec<_>>(), "{n}");
        }
    }
}
