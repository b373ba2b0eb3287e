//! The store as a stream of items ([`crate::backup`]): `source` gives them, `sink` takes them.

mod sink;
mod source;

use super::Inner;
use crate::backup::{LostSettings, Restored};
use crate::{Seq, StoreError};
use std::sync::Arc;

impl Inner {
    pub(super) fn backup(&self, out: &mut dyn std::io::Write) -> Result<Seq, StoreError> {
        self.running()?;
        let source = source::Stand::take(self)?;
        crate::backup::write(&source, out).map(|summary| summary.seq)
    }

    pub(super) fn restore(
        self: &Arc<Self>,
        input: &mut dyn std::io::Read,
        lost: LostSettings,
    ) -> Result<Restored, StoreError> {
        self.running()?;
        let mut sink = sink::Filling::new(Arc::clone(self));
        let mirror = self.mirror_folder.as_deref();
        let (_, settings) = crate::backup::restore(input, &mut sink, mirror, lost)?;
        Ok(Restored {
            seq: Seq(self.published.get().seq),
            settings,
        })
    }
}
