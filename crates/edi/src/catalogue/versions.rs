//! How a version stands: current, older but still in the reference list, left behind, or not yet in use.
//!
//! Source: the sector's list of messages with namespace and version (`MeldingsVersjoner`, messaging.md §3). The newest
//! version in the list is current; what is older and not in the list has been left; what is newer and not in the list is
//! still to come.

use serde::Serialize;

/// How a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The newest in the list.
    Current,
    /// In the list, but there is a newer one.
    Older,
    /// The sector has left it.
    TooOld,
    /// Published, not taken into use.
    Coming,
    /// No list says.
    NotListed,
}

use Standing::{Coming, Current, Older, TooOld};

/// Namespaces below `http://www.kith.no/xmlstds/`.
const KITH: &[(&str, Standing)] = &[
    ("apprec/2012-02-15", Current),
    ("apprec/2004-11-21", Older),
    ("epikrise/2012-02-15", Current),
    ("epikrise/2006-09-23", Older),
    ("epikrise", TooOld),
    ("henvisning/2012-02-15", Older),
    ("henvisning/2005-07-08", Older),
    ("henvisning/2003-10-13", TooOld),
    ("rekvisisjon/2012-02-15", Current),
    ("rekvisisjon/2008-12-01", Older),
    ("rekvisisjon/2005-05-20", TooOld),
    ("labsvar/2012-02-15", Current),
    ("labsvar/2008-12-01", Older),
    ("labsvar/2005-03-14", TooOld),
    // Side by side: requests, answers and notes in 1.0, dialogue between personnel in 1.1.
    ("dialog/2013-01-23", Current),
    ("dialog/2006-10-11", Current),
    ("bkm/2006-12-20", Current),
    ("lom/2003-12-01", TooOld),
    ("helseopplysningerNAV/2013-10-01", Current),
    ("sykmelding/2011-03-04", Older),
    ("nav/innrapporteringtrekk/2010-02-04", Current),
    ("legeerklaring/2008-06-06", Current),
    ("epj/EPJEkstrakt/2008-02-20", Current),
    ("nav/egenandel/2016-06-10", Current),
    ("nav/egenandel/2010-02-01", Older),
    ("nav/egenandelmengde/2016-06-10", Current),
    ("nav/egenandelmengde/2010-10-06", Older),
    ("nav/fastlege/2010-02-01", Current),
    ("nav/pasientliste/2010-02-01", Current),
    ("FraPasient/2006-10-31", Current),
    ("FraPasient/2005-07-11", TooOld),
    ("TilPasient/2006-10-31", Current),
    ("TilPasient/2005-07-11", TooOld),
    // Its successor is below ehelse.no.
    ("reservasjon/2016-12", Older),
];

/// e-prescription: message and the dates in the list, oldest first.
const ERESEPT: &[(&str, &[&str])] = &[
    ("m1", &["2010-05-01", "2013-10-08"]),
    ("m10", &["2010-06-07", "2013-10-08"]),
    ("m12", &["2010-07-01", "2014-12-01", "2017-12-01"]),
    ("m14", &["2008-12-12"]),
    ("m15", &["2006-10-06"]),
    ("m18", &["2010-05-01", "2010-10-01", "2013-04-16"]),
    (
        "m2",
        &["2010-07-01", "2010-10-01", "2014-12-01", "2017-12-01"],
    ),
    ("m20", &["2010-05-01", "2013-10-08"]),
    ("m21", &["2010-05-01", "2013-10-08"]),
    ("m22", &["2006-10-06"]),
    ("m23", &["2006-10-06"]),
    ("m241", &["2009-02-20"]),
    ("m242", &["2008-10-03"]),
    ("m251", &["2013-10-08"]),
    ("m252", &["2013-10-08"]),
    ("m253", &["2013-10-08"]),
    ("m271", &["2013-04-16"]),
    ("m272", &["2013-04-16"]),
    ("m28", &["2012-06-11"]),
    ("m3", &["2010-05-01"]),
    ("m30", &["2010-09-01", "2014-12-01"]),
    ("m41", &["2006-10-06"]),
    ("m42", &["2006-10-06"]),
    ("m5", &["2009-02-20", "2013-04-16"]),
    ("m52", &["2013-12-01"]),
    ("m6", &["2010-05-01", "2013-10-08"]),
    ("m7", &["2008-05-01"]),
    ("m8", &["2010-06-07", "2013-10-08"]),
    ("m91", &["2010-06-04", "2013-10-08"]),
    ("m911", &["2014-01-21", "2018-07-01"]),
    ("m912", &["2014-01-21", "2018-07-01"]),
    ("m92", &["2010-05-01", "2013-10-08"]),
    ("m93", &["2010-06-04"]),
    ("m94", &["2010-07-01"]),
    ("m95", &["2008-10-03", "2015-05-01", "2018-07-01"]),
    ("m96", &["2009-03-18", "2015-05-01", "2018-07-01"]),
    ("m97", &["2015-05-01", "2018-07-01"]),
    ("m98", &["2015-05-01", "2018-07-01"]),
    ("mv", &["2013-08-16", "2017-01-01"]),
];

/// How the version of a namespace stands.
pub fn standing(ns: &str) -> Standing {
    if let Some((_, rest)) = ns.split_once("/xmlstds/eresept/") {
        return eresept(rest);
    }
    if let Some(rest) = ns.strip_prefix(super::K) {
        let rest = rest.trim_end_matches('/');
        if let Some(of) = rest.strip_prefix("po/") {
            return plo(of);
        }
        if rest.starts_with("sysvak/") && rest.ends_with("/2008-01-01") {
            return Current;
        }
        return KITH
            .iter()
            .find(|row| row.0 == rest)
            .map_or(Standing::NotListed, |row| row.1);
    }
    let Some(rest) = ns.strip_prefix(super::E) else {
        return Standing::NotListed;
    };
    match rest {
        "henvisning/2017-11-30" => Current,
        "MeldingInnbygger/2018-09-25"
        | "Videreformidling/2018-09-25"
        | "leveringsrapport/2018-08-14"
        | "reservasjon/v2.0"
        | "samtykke/v1.0"
        | "tilgangsbegrensning/v1.0" => Current,
        _ if rest.starts_with("po/") => Coming,
        _ => Standing::NotListed,
    }
}

fn eresept(rest: &str) -> Standing {
    let Some((name, date)) = rest.split_once('/') else {
        return Standing::NotListed;
    };
    let row = ERESEPT.iter().find(|row| row.0.eq_ignore_ascii_case(name));
    let Some(newest) = row.and_then(|row| row.1.last()) else {
        return Standing::NotListed;
    };
    if date == *newest {
        Current
    } else if row.is_some_and(|row| row.1.contains(&date)) {
        Older
    } else if date > *newest {
        Coming
    } else {
        TooOld
    }
}

/// Municipal care: 1.6 is current; what has no 1.6 is current in 1.5.
fn plo(of: &str) -> Standing {
    match of.rsplit_once('/') {
        Some(("MeldingFravar", "2009-06-30")) => Current,
        Some((_, "2012-04-01")) => Current,
        Some((_, "2009-06-30")) => Older,
        Some((_, date)) if date > "2012-04-01" => Coming,
        Some((_, date)) if date < "2009-06-30" => TooOld,
        _ => Standing::NotListed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_as_the_list_says() {
        for (ns, want) in [
            ("http://www.kith.no/xmlstds/labsvar/2012-02-15", Current),
            ("http://www.kith.no/xmlstds/labsvar/2008-12-01", Older),
            ("http://www.kith.no/xmlstds/labsvar/2005-03-14", TooOld),
            (
                "http://www.kith.no/xmlstds/po/Innleggelsesrapport/2012-04-01",
                Current,
            ),
            (
                "http://www.kith.no/xmlstds/po/Innleggelsesrapport/2009-06-30",
                Older,
            ),
            (
                "http://ehelse.no/xmlstds/po/Pasientlogistikk/2016-05-30",
                Coming,
            ),
            ("http://ehelse.no/xmlstds/henvisning/2017-11-30", Current),
            ("http://www.kith.no/xmlstds/henvisning/2012-02-15", Older),
            ("http://www.kith.no/xmlstds/eresept/m1/2013-10-08", Current),
            ("http://www.kith.no/xmlstds/eresept/m1/2010-05-01", Older),
            ("http://www.kith.no/xmlstds/eresept/m1/2006-10-06", TooOld),
            ("http://www.ehelse.no/xmlstds/eresept/m1/2022-01-01", Coming),
            ("http://ehelse.no/xmlstds/eresept/mv/2017-01-01", Current),
            ("urn:example", Standing::NotListed),
        ] {
            assert_eq!(standing(ns), want, "{ns}");
        }
    }
}
