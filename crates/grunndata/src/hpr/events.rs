//! Events of the personnel register for subscribers (source `Hpr`): the name, and the HPR number or the number of the
//! institution they are about.

use crate::subscriptions::feed::{EventSource, Happened};
use crate::subscriptions::held::Source;
use amqp::port::Simple;
use registers::personnel::{PersonnelRegister, Record};
use store::StoreError;

impl EventSource for PersonnelRegister {
    fn consumer(&self) -> &'static str {
        "subscriptions/personnel"
    }

    fn source(&self) -> Source {
        Source::Hpr
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = PersonnelRegister::events(self, from, limit)?;
        let happened = events.into_iter().map(|event| {
            let entry = self.register().get(event.entry);
            let number = |number: u32| Simple::Signed(number.into(), 32);
            let properties = match entry.as_deref().map(|e| (&e.content, e.no)) {
                Some((Record::Person(p), _)) => vec![("hprNumber", number(p.hpr))],
                Some((Record::Institution(_), no)) => vec![("institutionId", number(no.0))],
                _ => Vec::new(),
            };
            Happened {
                number: event.number,
                name: event.kind.name(),
                properties,
                ..Happened::default()
            }
        });
        Ok(happened.collect())
    }
}
