//! Names of the attributes, new and old (spec documents §6.2).

/// An attribute's names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Written always.
    pub new: &'static str,
    /// Written beside the new one in hybrid assertions.
    pub old: Option<&'static str>,
    /// Read too.
    pub also: &'static [&'static str],
}

const fn both(new: &'static str, old: &'static str) -> Names {
    Names {
        new,
        old: Some(old),
        also: &[],
    }
}

const fn one(new: &'static str) -> Names {
    Names {
        new,
        old: None,
        also: &[],
    }
}

const fn with_bare(new: &'static str, also: &'static [&'static str]) -> Names {
    Names {
        new,
        old: None,
        also,
    }
}

pub(super) const SUBJECT_ID: Names = both(
    "urn:oasis:names:tc:xacml:1.0:subject:subject-id",
    "urn:oasis:names:tc:xspa:1.0:subject:subject-id",
);
pub(super) const ROLE: Names = both(
    "urn:oasis:names:tc:xacml:2.0:subject:role",
    "urn:oasis:names:tc:xspa:1.0:subject:role",
);
pub(super) const NPI: Names = both(
    "urn:oasis:names:tc:xspa:1.0:subject:npi",
    "urn:oasis:names:tc:xspa:2.0:subject:npi",
);
pub(super) const PROVIDER: Names = one("urn:ihe:iti:xua:2017:subject:provider-identifier");
pub(super) const ORGANIZATION: Names = one("urn:oasis:names:tc:xspa:1.0:subject:organization");
pub(super) const ORGANIZATION_ID: Names =
    one("urn:oasis:names:tc:xspa:1.0:subject:organization-id");
pub(super) const CHILD: Names = one("urn:oasis:names:tc:xspa:1.0:subject:child-organization");
pub(super) const CHILD_NAME: Names =
    one("urn:nhn:trust-framework:1.0:ext:subject:child-organization-name");
pub(super) const FACILITY: Names = one("urn:oasis:names:tc:xspa:1.0:subject:facility");
pub(super) const FACILITY_NAME: Names =
    one("urn:nhn:trust-framework:1.0:ext:subject:facility-name");
pub(super) const SERVICE: Names = both(
    "urn:nhn:trust-framework:1.0:ext:care-relationship:healthcare-service",
    "urn:no:ehelse:saml:1.1:subject:healthcareservice",
);
pub(super) const PURPOSE: Names = Names {
    new: "urn:oasis:names:tc:xacml:2.0:action:purpose",
    old: Some("urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse"),
    also: &["urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"],
};
pub(super) const DETAILS: Names =
    one("urn:nhn:trust-framework:1.0:ext:care-relationship:purpose-of-use-details");
pub(super) const DECISION: Names =
    one("urn:nhn:trust-framework:1.0:ext:care-relationship:decision-ref");
pub(super) const RESOURCE_ID: Names = both(
    "urn:oasis:names:tc:xacml:1.0:resource:resource-id",
    "urn:oasis:names:tc:xacml:2.0:resource:resource-id",
);
/// Sources disagree which of these holds the number and which the name: read by content.
pub(super) const RESOURCE_CHILD: Names = with_bare(
    "urn:nhn:trust-framework:1.0:ext:resource:child-organization",
    &[
        "urn:nhn:trust-framework:1.0:ext:resource:child-organization-id",
        "urn:nhn:trust-framework:1.0:ext:resource:child-organization-name",
    ],
);
pub(super) const RESOURCE_CHILD_ID: Names =
    one("urn:nhn:trust-framework:1.0:ext:resource:child-organization-id");
pub(super) const RESOURCE_FACILITY: Names = with_bare(
    "urn:nhn:trust-framework:1.0:ext:resource:facility",
    &["urn:nhn:trust-framework:1.0:ext:resource:facility-id"],
);
pub(super) const RESOURCE_FACILITY_ID: Names =
    one("urn:nhn:trust-framework:1.0:ext:resource:facility-id");
pub(super) const HOME_COMMUNITY: Names = both(
    "urn:ihe:iti:xca:2010:homeCommunityId",
    "urn:no:ehelse:saml:1.0:subject:homeCommunityId",
);
pub(super) const SECURITY_LEVEL: Names = with_bare(
    "urn:no:ehelse:saml:1.0:subject:SecurityLevel",
    &["SecurityLevel"],
);
pub(super) const SCOPE: Names = with_bare("urn:no:ehelse:saml:1.0:subject:Scope", &["Scope"]);
pub(super) const CLIENT_ID: Names =
    with_bare("urn:no:ehelse:saml:1.0:subject:client_id", &["client_id"]);
pub(super) const AUTHENTICATION_METHOD: Names = with_bare(
    "urn:no:ehelse:saml:1.0:subject:Authentication_method",
    &["Authentication_method"],
);
pub(super) const ACP: Names = one("urn:ihe:iti:xua:2012:acp");
pub(super) const BPPC: Names = one("urn:ihe:iti:bppc:2007:docid");
