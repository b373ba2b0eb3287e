//! Namespaces and fixed words of ebMS 2.0 and of the national profile.

/// SOAP 1.1.
pub const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// ebMS 2.0.
pub const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
/// XLink.
pub const XLINK: &str = "http://www.w3.org/1999/xlink";
/// Service of signals.
pub const SIGNAL_SERVICE: &str = "urn:oasis:names:tc:ebxml-msg:service";
/// Actor of acknowledgments and of what asks for them.
pub const TO_PARTY_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH";
/// Action of an acknowledgment.
pub const ACKNOWLEDGMENT: &str = "Acknowledgment";
/// Action of an error list.
pub const MESSAGE_ERROR: &str = "MessageError";
/// Actions of the services of a message handler.
pub const PING: &str = "Ping";
/// Answer to [`PING`].
pub const PONG: &str = "Pong";
/// Asks about a message.
pub const STATUS_REQUEST: &str = "StatusRequest";
/// Answer to [`STATUS_REQUEST`].
pub const STATUS_RESPONSE: &str = "StatusResponse";
/// Media type of an encrypted payload.
pub const ENCRYPTED: &str = "application/pkcs7-mime; smime-type=enveloped-data";
