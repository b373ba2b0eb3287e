//! The SOAP service `IServiceBusManagerV2` at `/v2/servicebusmanager`.

use super::held::{Source, Subscription};
use super::{SubscribeError, Subscriptions};
use crate::ar::NowFn;
use crate::flr;
use edge::soap::contract::ContractError;
use edge::soap::{
    Call, Contract, Fault, Mount, Object, Ports, Reply, RequestLimits, Service, Value,
};
use registers::kernel::period::Moment;
use std::sync::Arc;

/// Facts of the description.
pub const CONTRACT: &str = "\
service ServiceBusManagerServiceV2 IServiceBusManagerV2
namespace bus http://schemas.nhn.no/reg/serviceBusManagerV2
namespace common http://register.nhn.no/Common
operation Subscribe !common:GenericFault
  eventSource SubscriptionEventSource
  eventName string?
  userSystemIdent string?
  -> EventSubscription?
operation Unsubscribe !common:GenericFault
  queueName string?
operation GetSubscriptions !common:GenericFault
  -> ArrayOfEventSubscription?
in bus
enum SubscriptionEventSource AddressRegister Resh Hpr Lsr Cppa Flr
type EventSubscription
  EventName string?
  EventSource SubscriptionEventSource
  QueueName string?
  UserSystemIdent string?
list ArrayOfEventSubscription EventSubscription EventSubscription?
in common
type GenericFault
  ErrorCode string?
  Message string?
";

/// Roles that may follow the GP lists (spec/grunndata.md §5.2).
const READERS: [&str; 4] = [
    flr::READ,
    flr::EXTENDED,
    flr::ALL_PATIENTS,
    flr::ADMINISTRATOR,
];

struct Manager {
    subscriptions: Arc<Subscriptions>,
    now: NowFn,
}

impl Service for Manager {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            let work = move || self.answer(&call);
            match edge::blocking(work).await {
                Ok(answer) => answer,
                Err(_) => Err(Fault::internal()),
            }
        })
    }
}

fn refused(error: &SubscribeError) -> Fault {
    match error {
        SubscribeError::Ident => Fault::generic(
            "InvalidUserSystemIdent",
            "userSystemIdent kan bare inneholde bokstaver, tall og understrek, og må ha 1 til 64 tegn.",
        ),
        SubscribeError::EventName => Fault::generic(
            "InvalidEventName",
            "Kilden har ingen hendelse med dette navnet.",
        ),
        SubscribeError::TooMany => Fault::generic(
            "TooManySubscriptions",
            "Brukeren har for mange abonnementer.",
        ),
        SubscribeError::Unknown => {
            Fault::generic("SubscriptionNotFound", "Abonnementet finnes ikke.")
        }
        other => {
            tracing::error!(error = %other, "subscriptions could not be written");
            Fault::internal()
        }
    }
}

fn object(of: &Subscription) -> Object {
    Object::new()
        .with("EventName", of.event.clone().unwrap_or_default())
        .with("EventSource", of.source.name())
        .with("QueueName", of.queue.clone())
        .with("UserSystemIdent", of.ident.clone())
}

impl Manager {
    fn answer(&self, call: &Call) -> Result<Value, Fault> {
        let (request, user) = (&call.request, &call.user);
        let at = Moment((self.now)().div_euclid(1_000));
        if user.orgnr().is_none() {
            return Err(Fault::denied());
        }
        match call.operation.as_str() {
            "Subscribe" => {
                let source = request.text("eventSource").unwrap_or("AddressRegister");
                let source = Source::named(source).ok_or_else(Fault::internal)?;
                if source == Source::Flr && !user.has_any(&READERS) {
                    return Err(Fault::denied());
                }
                let event = request.text("eventName").unwrap_or_default();
                let ident = request.text("userSystemIdent").unwrap_or_default();
                let made = self
                    .subscriptions
                    .subscribe(&user.name, source, event, ident, at)
                    .map_err(|e| refused(&e))?;
                Ok(object(&made).into())
            }
            "Unsubscribe" => {
                let queue = request.text("queueName").unwrap_or_default();
                self.subscriptions
                    .unsubscribe(&user.name, queue, at)
                    .map_err(|e| refused(&e))?;
                Ok(Value::Nil)
            }
            "GetSubscriptions" => {
                let all = self.subscriptions.of(&user.name);
                let rows: Vec<Object> = all.iter().map(object).collect();
                Ok(rows.into())
            }
            _ => Err(Fault::internal()),
        }
    }
}

/// The service at its paths.
///
/// # Errors
/// Never, as long as the contract of this crate can be read.
pub fn mount(subscriptions: &Arc<Subscriptions>, now: &NowFn) -> Result<Mount, ContractError> {
    Ok(Mount {
        contract: Arc::new(Contract::parse(CONTRACT)?),
        ports: Ports {
            v12: Some("/v2/servicebusmanager".to_owned()),
            v11: Some("/v2/servicebusmanager/Basic".to_owned()),
            mtom: false,
        },
        limits: RequestLimits::default(),
        service: Arc::new(Manager {
            subscriptions: subscriptions.clone(),
            now: now.clone(),
        }),
    })
}
