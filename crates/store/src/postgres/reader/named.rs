//! Several records by their names, in one round: who changes a thousand of them looks at each before.

use super::PgReader;
use crate::postgres::check::askable;
use crate::postgres::rows::{RawHead, head_columns};
use crate::{Granted, Op, Reader as _, Record, RepoId, StoreError};

const NAMED: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", v.form, v.content, k.n FROM unnest($1::text[]) WITH ORDINALITY k(id, n)
     JOIN head h ON h.repo = $2 AND h.rtype = $3 AND h.id = k.id
     JOIN version v ON v.rid = h.rid AND v.vno = h.vno"
);
/// Names of one statement.
const PART: usize = 1_000;

impl PgReader {
    pub(super) fn named(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        ids: &[String],
    ) -> Result<Vec<Record>, StoreError> {
        let Some(number) = self.names.number(rtype) else {
            return Ok(Vec::new());
        };
        let ids: Vec<&str> = ids
            .iter()
            .map(String::as_str)
            .filter(|id| askable(id))
            .collect();
        let (mut found, newer) = self.run(async |conn| {
            let (mut found, mut newer) = (Vec::new(), Vec::new());
            for part in ids.chunks(PART) {
                let rows = conn
                    .query(NAMED, &[&part, &(repo.0 as i16), &number])
                    .await?;
                for row in rows {
                    let raw = RawHead::of(&row, 0)?;
                    if raw.op == Op::Purge {
                        continue;
                    }
                    if !self.reached(&raw) {
                        let place = usize::try_from(row.get::<_, i64>(12)).unwrap_or(0);
                        newer.extend(part.get(place.saturating_sub(1)).copied());
                        continue;
                    }
                    let body = RawHead::body(&row, 10)?;
                    let head = self.admitted(grant, raw)?;
                    found.extend(head.map(|head| Record { head, body }));
                }
            }
            Ok((found, newer))
        })?;
        // Newer than the snapshot: the log is asked.
        for id in newer {
            found.extend(self.read(grant, repo, rtype, id)?);
        }
        Ok(found)
    }
}
