//! Identity providers. This issuer has no login of its own (spec §1 rule 5); today the test provider is the one it has.

/// Ids under which the test provider is known.
pub const TEST_IDS: [&str; 2] = ["testidp-oidc", "testidpnew-oidc"];
/// The id that stands in tokens of test logins.
pub const TEST_ID: &str = "testidp-oidc";

/// Whether an id means the test provider.
#[must_use]
pub fn is_test(id: &str) -> bool {
    TEST_IDS.contains(&id)
}
