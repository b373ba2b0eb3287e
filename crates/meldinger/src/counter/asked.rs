//! What somebody asks of the counter, in words of an address: days as dates, codes as text.

use super::CountQuery;
use crate::port::Transport;

/// Days shown when none are asked for.
const DAYS: i64 = 7;

/// A question as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// First day, `yyyy-mm-dd`; without it the last seven days.
    pub from: Option<String>,
    /// Last day, included.
    pub to: Option<String>,
    /// From or to this HER-id.
    pub her_id: Option<u32>,
    /// Message function (8279); empty: uncategorised.
    pub function: Option<String>,
    /// `amqp`, `ebxml`, `rest` or `hub`.
    pub transport: Option<String>,
}

impl Asked {
    /// The question in days since 1970, Norwegian days; `today` is one of them.
    ///
    /// # Errors
    /// What is wrong, in words for the one who asks.
    pub fn question(self, today: i64) -> Result<CountQuery, String> {
        let last = day(self.to.as_deref(), "to")?.unwrap_or(today);
        let first = day(self.from.as_deref(), "from")?.unwrap_or(last - DAYS + 1);
        if first > last {
            return Err("from is after to".to_owned());
        }
        let transport = match self.transport.as_deref() {
            None => None,
            Some(code) => Some(
                Transport::ALL
                    .into_iter()
                    .find(|transport| transport.code() == code)
                    .ok_or("transport is amqp, ebxml, rest or hub")?,
            ),
        };
        Ok(CountQuery {
            first_day: first,
            last_day: last,
            her_id: self.her_id,
            function: self.function,
            transport,
        })
    }
}

fn day(text: Option<&str>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = text else { return Ok(None) };
    let date: jiff::civil::Date = text
        .parse()
        .map_err(|_| format!("{name} is not a date; write yyyy-mm-dd"))?;
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = date.since((jiff::Unit::Day, epoch));
    Ok(Some(span.map_or(0, |span| i64::from(span.get_days()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_or_refused() {
        let ask = |from: &str, to: &str, transport: Option<&str>| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let asked = Asked {
                from: text(from),
                to: text(to),
                transport: transport.map(str::to_owned),
                ..Asked::default()
            };
            asked.question(20_000)
        };
        let days = |query: CountQuery| (query.first_day, query.last_day);
        assert_eq!(ask("", "", None).map(days), Ok((19_994, 20_000)));
        assert_eq!(
            ask("1970-01-02", "1970-01-03", Some("ebxml")).map(days),
            Ok((1, 2))
        );
        for (from, to, transport) in [
            ("1970-01-03", "1970-01-02", None),
            ("x", "", None),
            ("", "2026-13-01", None),
            ("", "", Some("fax")),
        ] {
            assert!(ask(from, to, transport).is_err(), "{from} {to}");
        }
    }
}
