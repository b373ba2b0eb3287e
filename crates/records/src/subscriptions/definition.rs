//! A Subscription resource as the server understands it; what it does not understand is refused when it is written.

use super::matching::{Criteria, Watch};
use super::topic::Topics;
use super::{Config, target};
use crate::outcome::{Failure, Issue};
use crate::repository::Repository;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use fhir::{Doc, Node};
use url::Url;

/// Base of the guide's extensions.
const GUIDE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
/// Most channel headers, and most filters.
const MAX_HEADERS: usize = 20;
const MAX_FILTERS: usize = 20;
/// Longest heartbeat period, seconds.
const MAX_HEARTBEAT_S: u32 = 86_400;
/// Longest time an endpoint may ask to be given for its answer, seconds.
const MAX_TIMEOUT_S: u32 = 60;
/// Most events of one notification.
const MAX_COUNT: u32 = 100;
/// Begin of the names of queues.
const QUEUE: &str = "urn:helsenav:queue:";

/// Headers that the transport sets itself.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
];

/// `Subscription.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Requested,
    Active,
    Error,
    Off,
}

impl Status {
    pub fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "requested" => Self::Requested,
            "active" => Self::Active,
            "error" => Self::Error,
            "off" => Self::Off,
            _ => return None,
        })
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// How much of a resource goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    IdOnly,
    Full,
}

impl Content {
    pub fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "empty" => Self::Empty,
            "id-only" => Self::IdOnly,
            "full-resource" => Self::Full,
            _ => return None,
        })
    }
}

/// Where notifications go.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    Hook {
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    Socket,
    /// A queue of the hub, by its whole name.
    Queue(String),
}

/// A subscription, read.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub id: String,
    pub status: Status,
    /// Turned off from this instant on, microseconds.
    pub end: Option<i64>,
    pub watch: Watch,
    /// Canonical as the subscriber wrote it; `None` = R4 criteria.
    pub topic: Option<String>,
    pub channel: Channel,
    pub content: Content,
    /// Media type of notifications; `None` = nothing is carried (R4 criteria only).
    pub mime: Option<Mime>,
    pub heartbeat_s: Option<u32>,
    pub timeout_s: Option<u32>,
    pub max_count: u32,
}

/// Form of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mime {
    Json,
    Xml,
}

impl Mime {
    pub fn media(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json",
            Self::Xml => "application/fhir+xml",
        }
    }
}

fn refuse(code: &'static str, at: &str, text: impl Into<String>) -> Failure {
    Failure {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        issues: vec![Issue::error(code, text).on(format!("Subscription.{at}"))],
        headers: Vec::new(),
    }
}

/// The guide's extension of this name on an element.
fn extension<'d>(node: Node<'d>, name: &str) -> Option<Node<'d>> {
    node.all("extension").find(|e| {
        e.str_at("url")
            .and_then(|url| url.strip_prefix(GUIDE))
            .is_some_and(|rest| rest == name)
    })
}

fn number(node: Node<'_>, name: &str, largest: u32) -> Result<Option<u32>, Failure> {
    let Some(extension) = extension(node, name) else {
        return Ok(None);
    };
    let value = extension
        .fields()
        .find(|f| f.name().starts_with("value"))
        .and_then(|f| f.as_i64())
        .and_then(|n| u32::try_from(n).ok());
    match value {
        Some(n) if (1..=largest).contains(&n) => Ok(Some(n)),
        _ => Err(refuse(
            "value",
            "channel.extension",
            format!("{name} must be a whole number from 1 to {largest}"),
        )),
    }
}

impl Definition {
    /// Reads a Subscription; 422 with the element when it cannot be carried out.
    pub fn read(
        repository: &Repository,
        config: &Config,
        topics: &Topics,
        doc: &Doc,
        id: &str,
    ) -> Result<Self, Failure> {
        let root = doc.root();
        let status = root
            .str_at("status")
            .and_then(Status::parse)
            .ok_or_else(|| refuse("required", "status", "a status is needed"))?;
        let end = match root.str_at("end") {
            None => None,
            Some(text) => Some(
                text.parse::<jiff::Timestamp>()
                    .map_err(|_| refuse("value", "end", "end must be an instant"))?
                    .as_microsecond(),
            ),
        };
        let criteria = root
            .str_at("criteria")
            .ok_or_else(|| refuse("required", "criteria", "criteria are needed"))?;
        let channel_node = root
            .get("channel")
            .ok_or_else(|| refuse("required", "channel", "a channel is needed"))?;
        let (watch, topic) = watch(repository, topics, root, criteria)?;
        let channel = channel(repository, config, channel_node)?;
        let (content, mime) = payload(channel_node, topic.is_some())?;
        if content == Content::Full && topic.is_some() && mime.is_none() {
            return Err(refuse(
                "required",
                "channel.payload",
                "a media type is needed",
            ));
        }
        Ok(Self {
            id: id.to_owned(),
            status,
            end,
            watch,
            channel,
            content,
            mime: mime.or(topic.is_some().then_some(Mime::Json)),
            topic,
            heartbeat_s: number(channel_node, "backport-heartbeat-period", MAX_HEARTBEAT_S)?,
            timeout_s: number(channel_node, "backport-timeout", u32::MAX)?
                .map(|s| s.min(MAX_TIMEOUT_S)),
            max_count: number(channel_node, "backport-max-count", u32::MAX)?
                .map_or(1, |n| n.min(MAX_COUNT)),
        })
    }

    pub fn is_topic(&self) -> bool {
        self.topic.is_some()
    }
}

fn watch(
    repository: &Repository,
    topics: &Topics,
    root: Node<'_>,
    criteria: &str,
) -> Result<(Watch, Option<String>), Failure> {
    let (name, query) = criteria.split_once('?').unwrap_or((criteria, ""));
    if repository.has_type(name) {
        let criteria = Criteria::compile(repository, name, query).map_err(at_criteria)?;
        return Ok((Watch::Criteria(criteria), None));
    }
    if !criteria.contains(':') {
        return Err(refuse(
            "value",
            "criteria",
            "criteria must be the canonical of a topic, or [type]?[search]",
        ));
    }
    let topic = topics.find(repository, criteria).ok_or_else(|| {
        refuse(
            "not-found",
            "criteria",
            "no such topic here; the CapabilityStatement names the topics, and urn:helsenav:topic:[type] is one of each type",
        )
    })?;
    let mut filters = Vec::new();
    let element = root.get("criteria");
    // Extensions of a primitive stand on its node.
    let given: Vec<Node<'_>> = element
        .into_iter()
        .flat_map(|node| node.all("extension"))
        .filter(|e| {
            e.str_at("url").and_then(|u| u.strip_prefix(GUIDE)) == Some("backport-filter-criteria")
        })
        .collect();
    if given.len() > MAX_FILTERS {
        return Err(refuse(
            "too-costly",
            "criteria",
            format!("more than {MAX_FILTERS} filters"),
        ));
    }
    for node in given {
        let text = node.str_at("valueString").ok_or_else(|| {
            refuse(
                "value",
                "criteria.extension",
                "a filter must be a string: [type]?[search]",
            )
        })?;
        let (rtypes, query) = match text.split_once('?') {
            Some((rtype, query)) => (vec![rtype.to_owned()], query),
            None => {
                let mut all: Vec<String> = topic.triggers.iter().map(|t| t.rtype.clone()).collect();
                all.dedup();
                (all, text)
            }
        };
        for rtype in rtypes {
            if !topic.triggers.iter().any(|t| t.rtype == rtype) {
                return Err(refuse(
                    "value",
                    "criteria.extension",
                    "a filter is for a type that the topic does not have",
                ));
            }
            let filter = Criteria::compile(repository, &rtype, query).map_err(at_criteria)?;
            if let Some(name) = filter.names.iter().find(|n| !topic.allows(&rtype, n)) {
                return Err(refuse(
                    "not-supported",
                    "criteria.extension",
                    format!(
                        "the topic does not allow to filter by {}",
                        super::shown(name)
                    ),
                ));
            }
            filters.push(filter);
        }
    }
    Ok((Watch::Topic { topic, filters }, Some(criteria.to_owned())))
}

fn at_criteria(mut failure: Failure) -> Failure {
    failure.status = StatusCode::UNPROCESSABLE_ENTITY;
    for issue in &mut failure.issues {
        issue.expression = Some("Subscription.criteria".to_owned());
    }
    failure
}

fn payload(channel: Node<'_>, is_topic: bool) -> Result<(Content, Option<Mime>), Failure> {
    let node = channel.get("payload");
    let mime = match node.and_then(|n| n.as_str()) {
        None => None,
        Some(text) => {
            let media = text.split(';').next().unwrap_or_default().trim();
            Some(match media {
                "application/fhir+json" | "application/json" => Mime::Json,
                "application/fhir+xml" | "application/xml" => Mime::Xml,
                // A websocket of R4 is told of changes by a word; what it may carry does not matter there.
                _ => {
                    return Err(refuse(
                        "not-supported",
                        "channel.payload",
                        "payloads are application/fhir+json or application/fhir+xml",
                    ));
                }
            })
        }
    };
    let asked = node.and_then(|n| extension(n, "backport-payload-content"));
    let content = match asked {
        Some(extension) => extension
            .str_at("valueCode")
            .and_then(Content::parse)
            .ok_or_else(|| {
                refuse(
                    "value",
                    "channel.payload",
                    "payload content must be empty, id-only or full-resource",
                )
            })?,
        None if is_topic => Content::Empty,
        None if mime.is_some() => Content::Full,
        None => Content::Empty,
    };
    Ok((content, mime))
}

fn channel(repository: &Repository, config: &Config, node: Node<'_>) -> Result<Channel, Failure> {
    let endpoint = node.str_at("endpoint");
    match node.str_at("type").unwrap_or_default() {
        "rest-hook" => {
            let text = endpoint.ok_or_else(|| {
                refuse(
                    "required",
                    "channel.endpoint",
                    "a rest-hook needs an endpoint",
                )
            })?;
            let url = target::read(text, config.allow_private_targets)
                .map_err(|why| refuse("value", "channel.endpoint", why))?;
            Ok(Channel::Hook {
                url,
                headers: headers(node)?,
            })
        }
        "websocket" => Ok(Channel::Socket),
        "message" => {
            let name = endpoint.and_then(|e| e.strip_prefix(QUEUE)).filter(|n| {
                (1..=64).contains(&n.len())
                    && n.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            });
            match name {
                Some(name) => Ok(Channel::Queue(queue_name(&repository.config.name, name))),
                None => Err(refuse(
                    "not-supported",
                    "channel.endpoint",
                    "messages go to queues of this hub only: endpoint urn:helsenav:queue:[a-z, 0-9, -]",
                )),
            }
        }
        _ => Err(refuse(
            "not-supported",
            "channel.type",
            "channels are rest-hook, websocket and message; email and sms are not sent from here",
        )),
    }
}

/// Whole name of a queue that subscriptions of a repository may fill: never one of another service.
pub(crate) fn queue_name(repository: &str, name: &str) -> String {
    format!("subscription/{repository}/{name}")
}

fn headers(node: Node<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let mut out = Vec::new();
    for item in node.all("header") {
        let wrong = |why: &str| refuse("value", "channel.header", why);
        let (name, value) = item
            .as_str()
            .and_then(|t| t.split_once(':'))
            .ok_or_else(|| wrong("a header is written Name: value"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| wrong("a header's name cannot be one"))?;
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| wrong("a header's value cannot be one"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(wrong("this header is set by the server itself"));
        }
        value.set_sensitive(true);
        out.push((name, value));
    }
    if out.len() > MAX_HEADERS {
        return Err(refuse(
            "too-costly",
            "channel.header",
            format!("more than {MAX_HEADERS} headers"),
        ));
    }
    Ok(out)
}
