//! Rules of single business documents that no schema can say.
//!
//! Sources: HIS 80415 (AppRec), nilar.md §2 (svarrapport), the standards of epikrise 1.2 and dialogmelding 1.1.

use std::collections::BTreeSet;

use codes::ident::MsgId;

use super::{Context, Rule};
use crate::apprec::ErrorCode;
use crate::message::MessageKind;
use crate::xml::Elem;

pub(super) fn check(c: &mut Context<'_>) {
    match c.identified.kind {
        MessageKind::AppRec => receipt(c),
        MessageKind::Svarrapport => answer_report(c),
        MessageKind::Epikrise => discharge_letter(c),
        _ => {}
    }
}

fn receipt(c: &mut Context<'_>) {
    let root = c.root;
    let errors: Vec<&Elem> = root.all("Error").collect();
    let status = root.child("Status");
    let at = status.map_or(root.at, |s| s.at);
    match status.and_then(|s| s.attr("V")).unwrap_or_default() {
        "1" if !errors.is_empty() => c.warn(
            Rule::Receipt,
            "HIS 80415: Error",
            at,
            "Kvitteringen er positiv, men har feilkoder",
            "The receipt is positive but carries error codes",
        ),
        "1" => {}
        "2" | "3" if errors.is_empty() => c.error(
            Rule::Receipt,
            ErrorCode::T02,
            "HIS 80415: Error",
            at,
            "En avvisning skal ha minst én feilkode (8221) som sier hvorfor",
            "A rejection must have at least one error code (8221) that says why",
        ),
        "3" if !answers_a_claim(root) => c.warn(
            Rule::Receipt,
            "HIS 80415: Status",
            at,
            "Status 3 (OK, feil i delmelding) er bare for oppgjørskrav; bruk 1 eller 2",
            "Status 3 (OK, error in part) is for settlement claims only; use 1 or 2",
        ),
        "2" | "3" => {}
        _ => c.error(
            Rule::Receipt,
            ErrorCode::T02,
            "8258",
            at,
            "Status skal være 1 (OK), 2 (avvist) eller 3 (OK, feil i delmelding)",
            "Status must be 1 (OK), 2 (rejected) or 3 (OK, error in part)",
        ),
    }
    let original = root.descend(&["OriginalMsgId", "Id"]);
    if let Some(id) = original.filter(|id| MsgId::parse(id.text().trim()).is_err()) {
        c.warn(
            Rule::Receipt,
            "HIS 80415: OriginalMsgId",
            id.at,
            "OriginalMsgId er ikke en UUID: avsenderen finner ikke meldingen kvitteringen gjelder",
            "OriginalMsgId is not a UUID: the sender does not find the message that is answered",
        );
    }
    for e in errors {
        if ErrorCode::parse(e.attr("V").unwrap_or_default()).is_none() {
            c.warn(
                Rule::Receipt,
                "8221",
                e.at,
                "Feilkoden finnes ikke i kodeliste 8221",
                "The error code is not in code list 8221",
            );
        }
    }
}

/// Whether the receipt is for a settlement claim (codes of settlement messages end in `OM`; `BKM`, `APOK`, `FBV`).
fn answers_a_claim(root: &Elem) -> bool {
    let code = root
        .descend(&["OriginalMsgId", "MsgType"])
        .and_then(|t| t.attr("V"))
        .unwrap_or_default();
    code.ends_with("OM") || matches!(code, "BKM" | "APOK" | "FBV" | "ERM18")
}

fn answer_report(c: &mut Context<'_>) {
    let Some(report) = c.root.child("ServReport") else {
        let at = c.root.at;
        c.warn(
            Rule::Business,
            "svarrapport 1.4",
            at,
            "Meldingen har ingen rapport",
            "The message has no report",
        );
        return;
    };
    if c.identified.version.as_deref() == Some("1.4") && report.child_text("ServProvId").is_none() {
        let at = report.child("ServProvId").map_or(report.at, |e| e.at);
        c.warn(
            Rule::Business,
            "svarrapport 1.4: ServProvId",
            at,
            "ServProvId er tom: uten den kan ikke en rettelse eller kansellering finne denne rapporten",
            "ServProvId is empty: without it no correction or cancellation can find this report",
        );
    }
    let mut subjects = BTreeSet::new();
    let mut items: Vec<&Elem> = Vec::new();
    let mut ids = BTreeSet::new();
    report.walk(&mut |e| match &*e.name {
        "AnalysedSubject" => subjects.extend(e.child_text("IdByServProvider")),
        "ResultItem" => {
            ids.extend(e.child_text("IdResultItem"));
            items.push(e);
        }
        _ => {}
    });
    let cancelled = report.child("ServType").and_then(|e| e.attr("V")) == Some("C");
    if items.is_empty() && !cancelled {
        let at = report.at;
        c.warn(
            Rule::Business,
            "svarrapport 1.4",
            at,
            "Rapporten har ingen resultater",
            "The report has no results",
        );
    }
    for item in items {
        for r in item.all("RefAnalysedSubject") {
            if !subjects.contains(r.text().trim()) {
                c.warn(
                    Rule::Business,
                    "svarrapport 1.4: RefAnalysedSubject",
                    r.at,
                    "Resultatet viser til en prøve som ikke er i meldingen",
                    "The result refers to a sample that is not in the message",
                );
            }
        }
        if let Some(r) = item
            .child("RefIdResultItem")
            .filter(|r| !ids.contains(r.text().trim()))
        {
            c.warn(
                Rule::Business,
                "svarrapport 1.4: RefIdResultItem",
                r.at,
                "Resultatet viser til et annet resultat som ikke er i meldingen",
                "The result refers to another result that is not in the message",
            );
        }
        let coded = item.all("Investigation").any(|i| {
            i.all("Id").any(|id| {
                ["V", "DN", "OT"]
                    .iter()
                    .any(|a| id.attr(a).is_some_and(|v| !v.trim().is_empty()))
            })
        });
        if !coded {
            c.warn(
                Rule::Business,
                "svarrapport 1.4: Investigation",
                item.at,
                "Resultatet sier ikke hva som er undersøkt (Investigation/Id)",
                "The result does not say what was examined (Investigation/Id)",
            );
        }
    }
}

fn discharge_letter(c: &mut Context<'_>) {
    let cancelled = c
        .root
        .descend(&["ServRprt", "ServType"])
        .and_then(|e| e.attr("V"))
        == Some("C");
    let main = c.root.find(&|e: &Elem| {
        &*e.name == "InfItem" && e.child("Type").and_then(|t| t.attr("V")) == Some("H")
    });
    if !cancelled && main.is_none() {
        let at = c.root.child("ServRprt").map_or(c.root.at, |r| r.at);
        c.info(
            Rule::Business,
            "epikrise 1.2: InfItem",
            at,
            "Epikrisen har ingen hoveddiagnose (InfItem med Type H)",
            "The letter has no main diagnosis (InfItem with Type H)",
        );
    }
}
