//! Blobs by content hash.

use super::Make;
use super::kit::*;
use crate::{BlobPut, Commit, sha256};
use bytes::Bytes;

pub(super) fn life(make: Make<'_>) {
    let b = Bench::fresh(make);
    let small = BlobPut::of(Bytes::from_static(b"a small one"));
    assert_eq!(b.store.blob(&small.hash).unwrap(), None);
    let mut put = create(b.open, "Binary", "{}").id("x");
    put.blobs = vec![small.hash];
    let commit = Commit {
        blob: vec![small.clone()],
        ..puts([put])
    };
    b.commit(commit.clone());
    assert_eq!(
        b.store.blob(&small.hash).unwrap(),
        Some(small.bytes.clone())
    );
    let mut again = create(b.open, "Binary", "{}").id("y");
    again.blobs = vec![small.hash];
    b.put(again);
    let mut same_batch = create(b.open, "Binary", "{}").id("z");
    let other = BlobPut::of(Bytes::from_static(b"another"));
    same_batch.blobs = vec![other.hash, small.hash];
    let first = b.store.submit(Commit {
        blob: vec![other.clone(), other.clone()],
        ..Commit::default()
    });
    let second = b.store.submit(puts([same_batch]));
    first.wait().unwrap();
    second.wait().expect("a blob of the same batch counts");

    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let hash = b.store.stage_blob(&bytes).unwrap();
    assert_eq!(hash, sha256(&bytes));
    assert_eq!(b.store.stage_blob(&bytes).unwrap(), hash, "twice is once");
    let mut big = create(b.open, "Binary", "{}").id("big");
    big.blobs = vec![hash];
    b.put(big);
    let b = b.reopen();
    b.store.maintain().unwrap();
    assert_eq!(b.store.blob(&hash).unwrap().unwrap(), bytes);
    assert_eq!(b.store.blob(&small.hash).unwrap(), Some(small.bytes));
    assert_eq!(b.store.blob(&other.hash).unwrap(), Some(other.bytes));
}
