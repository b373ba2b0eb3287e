//! Codes against their lists (B23). An unknown code is never a reason to reject (messaging.md §2 rule 2).

use std::collections::BTreeMap;

use super::{CodeState, Context, New, Rule, Severity};
use crate::message::MessageKind;
use crate::value::LIST_OID;
use crate::xml::{At, Elem};

macro_rules! lists {
    ($($parent:literal / $name:literal => $list:literal),* $(,)?) => {
        &[$(($parent, $name, concat!("2.16.578.1.12.4.1.1.", $list))),*]
    };
}

/// Code list of coded values without code system (`CS`), by parent and element.
const LISTS: &[(&str, &str, &str)] = lists![
    "MsgInfo" / "ProcessingStatus" => "8213",
    "MsgInfo" / "RequestedPriority" => "8115",
    "MsgInfo" / "Ack" => "7304",
    "OtherReceiver" / "RoleReceiver" => "8112",
    "Document" / "DocumentConnection" => "4702",
    "RefDoc" / "MsgType" => "8114",
    "RefDoc" / "Compression" => "1204",
    "Patient" / "Sex" => "3101",
    "Patient" / "TypeOffId" => "8116",
    "ServReport" / "ServType" => "7309",
    "ServReport" / "Status" => "7306",
    "ServReport" / "MsgDescr" => "8202",
    "ServReport" / "Ack" => "7304",
    "ServRprt" / "ServType" => "7309",
    "ServRprt" / "Status" => "7306",
    "ServRprt" / "Ack" => "7304",
    "ResultItem" / "ServType" => "8270",
    "ResultItem" / "DevResultInd" => "8244",
    "ResultItem" / "StatusInvestigation" => "8245",
    "NumResult" / "ArithmeticComp" => "8239",
    "Service" / "AdmCat" => "8240",
    "Henvisning" / "ServType" => "7309",
    "ReqServ" / "Priority" => "8304",
    "AppRec" / "Status" => "8258",
    "Inst" / "TypeId" => "9051",
    "Dept" / "TypeId" => "9051",
    "HCPerson" / "TypeId" => "8116",
    "HCProf" / "TypeId" => "8116",
];

/// The national laboratory code list: its extract counts as the list, so that unknown codes are seen (story.md B23).
const NLK: &str = "2.16.578.1.12.4.1.1.7280";

pub(super) fn built_in(system: &str, code: &str, day: Option<jiff::civil::Date>) -> CodeState {
    let Some(list) = codes::lists::list(system) else {
        return CodeState::NoList;
    };
    match list.get(code) {
        Some(e) if day.is_none_or(|d| e.valid_on(d)) && (day.is_some() || e.valid_to.is_none()) => {
            CodeState::Known
        }
        Some(e) => CodeState::Retired {
            successor: e.successor.map(str::to_owned),
        },
        None if list.complete => CodeState::Unknown,
        None => CodeState::NotListed,
    }
}

/// What is to be said about one code, gathered over the document.
#[derive(Default)]
struct Seen {
    at: Option<At>,
    count: usize,
}

pub(super) fn check(c: &mut Context<'_>) {
    let mut unknown: BTreeMap<(String, String), Seen> = BTreeMap::new();
    let mut local: Seen = Seen::default();
    let root = c.root;
    let day = today(c);
    let mut known = 0_usize;
    visit(root, None, &mut |parent, e| {
        let Some(code) = e.attr("V").map(str::trim).filter(|v| !v.is_empty()) else {
            return;
        };
        let above = parent.map_or("", |p| &*p.name);
        let investigation = above == "Investigation" && &*e.name == "Id";
        let listed = || {
            LISTS
                .iter()
                .find(|(p, n, _)| *p == above && *n == &*e.name)
                .map(|(_, _, list)| *list)
        };
        let Some(system) = e.attr("S").map(str::trim).or_else(listed) else {
            return;
        };
        if investigation && !system.starts_with(LIST_OID) {
            local.count += 1;
            local.at.get_or_insert(e.at);
            return;
        }
        if matches!(c.options.lookups.code(system, code, day), CodeState::Known) {
            known += 1;
            return;
        }
        let seen = unknown
            .entry((system.to_owned(), code.to_owned()))
            .or_default();
        seen.count += 1;
        seen.at.get_or_insert(e.at);
    });
    for ((system, code), seen) in unknown.into_iter().take(100) {
        report(c, &system, &code, &seen, day);
    }
    if local.count > 0 {
        let at = local.at.unwrap_or_default();
        c.warn(
            Rule::Codes,
            "7280",
            at,
            format!(
                "{} analyse(r) har lokal kode, ikke NLK; de lagres som de er",
                local.count
            ),
            format!(
                "{} analysis code(s) are local, not NLK; they are kept as they are",
                local.count
            ),
        );
    }
    if known > 0 {
        c.pass(
            format!("{known} koder finnes i sine kodelister"),
            format!("{known} codes are in their code lists"),
        );
    }
}

fn today(c: &Context<'_>) -> Option<jiff::civil::Date> {
    c.options
        .now
        .map(|t| t.to_zoned(crate::value::norway()).date())
}

fn visit<'e>(e: &'e Elem, parent: Option<&'e Elem>, f: &mut impl FnMut(Option<&Elem>, &'e Elem)) {
    f(parent, e);
    for child in e.elems() {
        visit(child, Some(e), f);
    }
}

fn report(
    c: &mut Context<'_>,
    system: &str,
    code: &str,
    seen: &Seen,
    day: Option<jiff::civil::Date>,
) {
    let at = seen.at.unwrap_or_default();
    let list = system.strip_prefix(LIST_OID).unwrap_or(system);
    let rule: String = list.chars().take(40).collect();
    let shown: String = code.chars().take(20).collect();
    let times = if seen.count > 1 {
        format!(" ({} ×)", seen.count)
    } else {
        String::new()
    };
    let quiet = c.identified.kind == MessageKind::Unknown;
    let (severity, nb, en) = match c.options.lookups.code(system, code, day) {
        CodeState::Known | CodeState::NoList => return,
        CodeState::Retired { successor } => {
            let (nb, en) = match successor {
                Some(s) => (format!("; erstattet av {s}"), format!("; replaced by {s}")),
                None => Default::default(),
            };
            (
                Severity::Warning,
                format!("Koden {shown} i liste {rule} er utgått{nb}{times}"),
                format!("Code {shown} of list {rule} is retired{en}{times}"),
            )
        }
        CodeState::Unknown => (
            Severity::Warning,
            format!("Koden {shown} finnes ikke i liste {rule}{times}"),
            format!("Code {shown} is not in list {rule}{times}"),
        ),
        CodeState::NotListed if system == NLK => (
            Severity::Warning,
            format!("NLK-koden {shown} er ukjent her; den lagres som den er{times}"),
            format!("NLK code {shown} is unknown here; it is kept as it is{times}"),
        ),
        CodeState::NotListed => return,
    };
    if !quiet {
        c.find(
            New {
                severity,
                code: None,
                rule_id: Rule::Codes,
                rule: &rule,
            },
            at,
            nb,
            en,
        );
    }
}
