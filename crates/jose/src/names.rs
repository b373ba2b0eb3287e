//! Claim names as HelseID spells them (spec helseid §9). Vocabulary only: which of them a token carries is the
//! issuer's business, which of them an API demands is the API's.

/// National identity number of the user: a string of 11 digits.
pub const PID: &str = "helseid://claims/identity/pid";
/// Pseudonym of the user; equal to `sub`.
pub const PID_PSEUDONYM: &str = "helseid://claims/identity/pid_pseudonym";
/// Security level of the login: the string `"2"`, `"3"` or `"4"`.
pub const SECURITY_LEVEL: &str = "helseid://claims/identity/security_level";
/// `low`, `substantial` or `high`; deprecated, still checked by SFM.
pub const ASSURANCE_LEVEL: &str = "helseid://claims/identity/assurance_level";
/// `internett` or `helsenett`.
pub const NETWORK: &str = "helseid://claims/identity/network";
/// Number in the register of health personnel.
pub const HPR_NUMBER: &str = "helseid://claims/hpr/hpr_number";
/// Details of the approvals, in UserInfo only.
pub const HPR_DETAILS: &str = "helseid://claims/hpr/hpr_details";
/// Name of the client, for logs.
pub const CLIENT_NAME: &str = "helseid://claims/client/client_name";
/// `single-tenant`, `multi-tenant` or `none`.
pub const CLIENT_TENANCY: &str = "helseid://claims/client/client_tenancy";
/// Legal entity on whose behalf the client acts.
pub const ORGNR_PARENT: &str = "helseid://claims/client/claims/orgnr_parent";
/// Sub-unit on whose behalf the client acts.
pub const ORGNR_CHILD: &str = "helseid://claims/client/claims/orgnr_child";
/// Supplier of a multi-tenant client.
pub const ORGNR_SUPPLIER: &str = "helseid://claims/client/claims/orgnr_supplier";
/// Legal entity, as kjernejournal's tokens named it once; only for APIs that ask for it.
pub const KJ_ORGNR: &str = "helseid://claims/client/kj/orgnr";
/// Kind of the client's key, `rsa_private_key`; only for APIs that ask for it. Today's name is `client_amr`.
pub const CLIENT_AMR_LEGACY: &str = "helseid://claims/client/amr";
/// Client of the first token in a chain of exchanged ones.
pub const ORIGINAL_CLIENT_ID: &str = "helseid://claims/client/original_client_id";
/// SFM instance of a multi-tenant prescribing client.
pub const SFM_JOURNAL_ID: &str = "nhn:sfm:journal-id";
/// The attest of the trust framework.
pub const ATTEST: &str = "nhn:tillitsrammeverk:parameters";
