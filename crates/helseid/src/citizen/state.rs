//! This issuer's part of the state: every key has a name of its own, so that no code, session or mark of the other issuer
//! is ever found here.

use std::sync::Arc;

use jose::state::{State, StateFuture};

/// A state whose keys begin differently.
pub(super) struct Apart(pub(super) Arc<dyn State>);

fn apart(key: &str) -> String {
    format!("citizen-{key}")
}

impl State for Apart {
    fn get<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.0.get(&apart(key)).await })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, expires_s: i64) -> StateFuture<'a, ()> {
        Box::pin(async move { self.0.put(&apart(key), value, expires_s).await })
    }

    fn put_new<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        Box::pin(async move { self.0.put_new(&apart(key), value, expires_s).await })
    }

    fn replace<'a>(
        &'a self,
        key: &'a str,
        expected: &'a [u8],
        value: Vec<u8>,
        expires_s: i64,
    ) -> StateFuture<'a, bool> {
        Box::pin(async move {
            self.0
                .replace(&apart(key), expected, value, expires_s)
                .await
        })
    }

    fn take<'a>(&'a self, key: &'a str) -> StateFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.0.take(&apart(key)).await })
    }

    fn mark_all<'a>(&'a self, marks: &'a [(String, i64)]) -> StateFuture<'a, Option<usize>> {
        Box::pin(async move {
            let marks: Vec<(String, i64)> = marks
                .iter()
                .map(|(key, expires_s)| (apart(key), *expires_s))
                .collect();
            self.0.mark_all(&marks).await
        })
    }

    fn note<'a>(&'a self, key: &'a str, expires_s: i64) -> StateFuture<'a, ()> {
        Box::pin(async move { self.0.note(&apart(key), expires_s).await })
    }

    fn is_noted<'a>(&'a self, key: &'a str) -> StateFuture<'a, bool> {
        Box::pin(async move { self.0.is_noted(&apart(key)).await })
    }
}
