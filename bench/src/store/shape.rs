//! The records that are written: like an Observation in size, number and kind of keys.

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use store::{IndexKey, Op, PersonRef, Privacy, Put, PutId, RepoId};

/// Persons of the made-up country.
const PERSONS: u64 = 100_000;

/// Size of a record.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Index keys.
    pub keys: usize,
    /// Bytes of the body.
    pub body: usize,
}

impl Shape {
    /// The record number `n`; the same every time.
    pub fn put(self, repo: RepoId, n: u64) -> Put {
        let mut random = SmallRng::seed_from_u64(n);
        let mut body = vec![0u8; self.body];
        random.fill_bytes(&mut body);
        let person = random.random_range(0..PERSONS);
        Put {
            repo,
            rtype: "Observation".to_owned(),
            id: PutId::New,
            op: Op::Create,
            body: body.into(),
            keys: self.keys(&mut random, n, person),
            pack: 1,
            persons: vec![PersonRef::id("urn:bench", format!("{person:011}"))],
            privacy: Privacy {
                controller: "PPS".to_owned(),
                class: 3,
                service_day: Some((n / 10_000) as i32),
                author_org: Some(format!("{:09}", random.random_range(0..2_000u32))),
                status: Some("final".to_owned()),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        }
    }

    /// Keys of five kinds in turn: code (few values), date (ascending), reference (many values), unique identifier, word.
    fn keys(self, random: &mut SmallRng, n: u64, person: u64) -> Vec<IndexKey> {
        (0..self.keys)
            .map(|i| {
                let value = match i % 5 {
                    0 => format!("loinc|{:05}", random.random_range(0..3_000u32)).into_bytes(),
                    1 => (1_700_000_000_000 + n * 40).to_be_bytes().to_vec(),
                    2 => (person * 7 + i as u64).to_be_bytes().to_vec(),
                    3 => random.random::<u128>().to_be_bytes().to_vec(),
                    _ => format!("{:06x}navn", random.random_range(0..200_000u32)).into_bytes(),
                };
                IndexKey {
                    param: 100 + i as u32,
                    value,
                }
            })
            .collect()
    }
}
