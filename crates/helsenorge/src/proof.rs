//! "Kontroller selv": the citizen's lines with the proof that they stand in the sealed log (spec/privacy.md §9.3).

use crate::{Citizen, Helsenorge};
use edge::Problem;
use serde_json::{Value, json};
use store::StoreError;
use trust::log::citizen_lines;
use trust::{Action, Class};

/// Most lines of one extract.
pub const MAX_LINES: usize = 5_000;
/// Members of a line that name the person behind it.
const NAMING_MEMBERS: [&str; 3] = ["actor.name", "actor.hpr", "actor.person"];

impl Helsenorge {
    /// A file that `helsenav log verify` checks offline. `jwks`: public keys of the log heads. Names that are not shown
    /// yet are masked, which leaves the proof whole. Lines that no signed head covers yet are counted, not included.
    pub fn log_extract(&self, citizen: &Citizen, jwks: Value) -> Result<Value, Problem> {
        let snapshot = self.store().snapshot()?;
        let decided = self.decide(
            &snapshot,
            citizen,
            Action::Export,
            Class::UsageLog,
            "innsyn",
        )?;
        let entries = self.store().journal_of(citizen.key, None, MAX_LINES)?;
        let blocks = self.trust.setting_rows(&snapshot, citizen.key)?;
        let lines = citizen_lines(
            &entries,
            &blocks,
            self.trust.now(),
            self.trust.config().log_name_delay_days,
        );
        let mut proofs = Vec::new();
        let mut unsealed = 0usize;
        for line in &lines {
            let masked: &[&str] = if line.name.is_some() || line.actor_kind != "personnel" {
                &[]
            } else {
                &NAMING_MEMBERS
            };
            match self.store().proof(line.id, masked) {
                Ok(Some(proof)) => proofs.push(proof),
                // Lines are sealed within seconds, heads are signed every ten minutes: what no head covers yet must not
                // keep the older lines from her.
                Ok(None) | Err(StoreError::Unavailable(_)) => unsealed += 1,
                Err(error) => return Err(error.into()),
            }
        }
        self.trust.record(&decided, &[])?;
        Ok(json!({ "v": 1, "jwks": jwks, "not_sealed_yet": unsealed, "proofs": proofs }))
    }
}
