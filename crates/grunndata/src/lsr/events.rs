//! Events of the register of positions for subscribers: the name, and the number of what it is about. Fetch the rest.

use crate::subscriptions::feed::{EventSource, Happened};
use crate::subscriptions::held::Source;
use amqp::port::Simple;

use registers::positions::{PositionEvent, Positions};
use store::StoreError;

fn property(event: PositionEvent) -> &'static str {
    match event {
        PositionEvent::PositionCreated | PositionEvent::PositionUpdated => "positionId",
        PositionEvent::EmploymentCreated | PositionEvent::EmploymentUpdated => "employmentId",
        PositionEvent::ApprovalCreated | PositionEvent::ApprovalUpdated => "approvalId",
        PositionEvent::DistributionCreated
        | PositionEvent::DistributionUpdated
        | PositionEvent::DistributionDeleted => "distributionId",
    }
}

impl EventSource for Positions {
    fn consumer(&self) -> &'static str {
        "subscriptions/positions"
    }

    fn source(&self) -> Source {
        Source::Lsr
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = Positions::events(self, from, limit)?;
        let happened = events.into_iter().map(|event| {
            let entry = self.register().get(event.entry);
            let signed = |number: u32| Simple::Signed(number.into(), 32);
            let mut properties = Vec::new();
            if let Some(entry) = &entry {
                properties.push((property(event.kind), signed(entry.content.number())));
            }
            if let Some(registers::positions::Record::Employment(employment)) =
                entry.as_deref().map(|entry| &entry.content)
            {
                properties.push(("hprNumber", signed(employment.hpr)));
            }
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
