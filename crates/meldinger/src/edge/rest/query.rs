//! The query of `GET /Messages`: names whatever their case, because clients differ (spec/messaging.md §6.1).

use super::fault::Fault;

/// Most HER-ids of one question.
const MAX_HER_IDS: usize = 1_500;
/// Most messages of one answer, and how many without a word.
const MAX_MESSAGES: usize = 100;
const MESSAGES: usize = 10;
/// Longest id of a business document.
const MAX_DOCUMENT_ID: usize = 100;

/// Name and value pairs of a query, decoded.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

/// HER-ids under a name, which may be repeated or hold several between commas.
pub(crate) fn her_ids(
    pairs: &[(String, String)],
    name: &str,
    shown: &str,
    faults: &mut Vec<String>,
) -> Vec<u32> {
    let mut out = Vec::new();
    for (_, value) in pairs.iter().filter(|(n, _)| n == name) {
        for piece in value.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match piece.parse::<u32>() {
                Ok(id) if i32::try_from(id).is_ok() => {
                    if !out.contains(&id) {
                        out.push(id);
                    }
                }
                _ => {
                    faults.push(format!("{shown}: every value must be a HER-id (a number)."));
                    return Vec::new();
                }
            }
        }
        if out.len() > MAX_HER_IDS {
            faults.push(format!("{shown}: at most {MAX_HER_IDS} HER-ids."));
            return Vec::new();
        }
    }
    if out.is_empty() {
        faults.push(format!("The {shown} field is required."));
    }
    out
}

/// One value, which must be a number in a range.
pub(crate) fn number(
    pairs: &[(String, String)],
    name: &str,
    shown: &str,
    range: std::ops::RangeInclusive<usize>,
    default: usize,
    faults: &mut Vec<String>,
) -> usize {
    let Some((_, value)) = pairs.iter().find(|(n, v)| n == name && !v.is_empty()) else {
        return default;
    };
    match value.parse() {
        Ok(number) if range.contains(&number) => number,
        _ => {
            faults.push(format!(
                "The field {shown} must be between {} and {}.",
                range.start(),
                range.end()
            ));
            default
        }
    }
}

/// What is asked of the list of unread messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub receivers: Vec<u32>,
    pub sender: Option<u32>,
    pub document_id: Option<String>,
    pub with_metadata: bool,
    pub limit: usize,
    pub is_descending: bool,
}

impl ListQuery {
    pub fn parse(query: Option<&str>) -> Result<Self, Fault> {
        let pairs = pairs(query);
        let mut faults = Vec::new();
        let one = |name: &str| {
            pairs
                .iter()
                .find(|(n, v)| n == name && !v.is_empty())
                .map(|(_, v)| v.as_str())
        };
        let receivers = her_ids(&pairs, "receiverherids", "ReceiverHerIds", &mut faults);
        let sender = one("senderherid").and_then(|v| {
            let id = v.parse().ok();
            if id.is_none() {
                faults.push("The field SenderHerId must be a HER-id (a number).".to_owned());
            }
            id
        });
        let document_id = one("businessdocumentid").map(str::to_owned);
        if document_id
            .as_ref()
            .is_some_and(|d| d.chars().count() > MAX_DOCUMENT_ID)
        {
            faults.push(format!(
                "The field BusinessDocumentId must be a string with a maximum length of {MAX_DOCUMENT_ID}."
            ));
        }
        let with_metadata = match one("includemetadata") {
            None => false,
            Some(v) if v.eq_ignore_ascii_case("true") => true,
            Some(v) if v.eq_ignore_ascii_case("false") => false,
            Some(_) => {
                faults.push("The field IncludeMetadata must be true or false.".to_owned());
                false
            }
        };
        let limit = number(
            &pairs,
            "messagestofetch",
            "MessagesToFetch",
            1..=MAX_MESSAGES,
            MESSAGES,
            &mut faults,
        );
        let is_descending = match one("orderby") {
            None => false,
            Some(v) if v == "1" || v.eq_ignore_ascii_case("ascending") => false,
            Some(v) if v == "2" || v.eq_ignore_ascii_case("descending") => true,
            Some(_) => {
                faults
                    .push("The field OrderBy must be Ascending (1) or Descending (2).".to_owned());
                false
            }
        };
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        Ok(Self {
            receivers,
            sender,
            document_id,
            with_metadata,
            limit,
            is_descending,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_whatever_their_case() {
        let q = ListQuery::parse(Some(
            "receiverHerIds=42&ReceiverHerIds=1337,42&includeMetadata=true&OrderBy=2&messagesToFetch=100",
        ))
        .unwrap();
        assert_eq!(q.receivers, [42, 1337]);
        assert!(q.with_metadata && q.is_descending);
        assert_eq!(q.limit, 100);
        let q = ListQuery::parse(Some("ReceiverHerIds=1")).unwrap();
        assert_eq!(
            (q.limit, q.is_descending, q.with_metadata),
            (10, false, false)
        );
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = |query| ListQuery::parse(query).unwrap_err().validation.len();
        assert_eq!(faults(None), 1);
        assert_eq!(faults(Some("ReceiverHerIds=x")), 1);
        assert_eq!(
            faults(Some(
                "ReceiverHerIds=1&MessagesToFetch=101&OrderBy=3&IncludeMetadata=maybe&SenderHerId=x"
            )),
            4
        );
        let long = format!("ReceiverHerIds=1&BusinessDocumentId={}", "a".repeat(101));
        assert_eq!(faults(Some(&long)), 1);
    }

    proptest! {
        #[test]
        fn any_query_is_read(query in "\\PC{0,120}") {
            let _ = ListQuery::parse(Some(&query));
        }
    }
}
