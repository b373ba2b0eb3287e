//! Hops by canonical URL: `Questionnaire` and other definitions are referred to by their `url`, with or without version
//! (R4 references §canonical). A reference without a version means every version that is here.

use super::Evaluator;
use crate::outcome::Failure;
use crate::planner::DOCUMENT_ROWS;
use fhir::keys::encode::{self, sub};
use fhir::pack::{ParamInfo, ParamKind};
use fhir::refs::Target;
use fhir::{Doc, Limits, Pack};
use store::{IndexKey, KeyRange, Rid};

/// The parameter `url` of a type that a parameter may refer to by it.
fn url_of(param: &ParamInfo, rtype: &str) -> Option<&'static ParamInfo> {
    let pack = Pack::r4();
    if !param.yields(pack.known.canonical) && !param.yields(pack.known.uri) {
        return None;
    }
    pack.param(rtype, "url")
        .filter(|p| p.kind == ParamKind::Uri)
}

impl Evaluator<'_> {
    fn document(&self, rtype: &str, id: &str) -> Result<Option<Doc>, Failure> {
        self.spend(DOCUMENT_ROWS)?;
        let found = self.snapshot.read(self.granted, self.repo, rtype, id)?;
        Ok(found
            .filter(|r| !crate::read::is_deleted(r))
            .and_then(|r| Doc::parse_json(r.body, &Limits::default()).ok()))
    }

    /// Records of a type with a canonical URL, and with the version if one is named.
    pub(crate) fn of_url(
        &self,
        param: &ParamInfo,
        rtype: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Vec<(Rid, String)>, Failure> {
        let Some(by_url) = url_of(param, rtype) else {
            return Ok(Vec::new());
        };
        let rids = self.rows_of(&KeyRange::exact(&IndexKey {
            param: by_url.id | sub::MAIN,
            value: encode::uri(url, None),
        }))?;
        self.spend(rids.len())?;
        let mut out = Vec::new();
        for head in self.snapshot.heads(self.granted, &rids)? {
            let fits = match version {
                None => true,
                Some(version) => self
                    .document(rtype, &head.id)?
                    .is_some_and(|doc| doc.root().str_at("version") == Some(version)),
            };
            if fits {
                out.push((head.rid, head.id));
            }
        }
        Ok(out)
    }

    /// Ids of type `rtype` that a record's `param` names by their canonical URL.
    pub(super) fn referred_by_url(
        &self,
        rid: Rid,
        param: &ParamInfo,
        rtype: &str,
    ) -> Result<Vec<String>, Failure> {
        if url_of(param, rtype).is_none() {
            return Ok(Vec::new());
        }
        self.spend(DOCUMENT_ROWS)?;
        let mut ids = Vec::new();
        for record in self.snapshot.fetch(self.granted, &[rid])? {
            let Ok(doc) = Doc::parse_json(record.body, &Limits::default()) else {
                continue;
            };
            for target in fhir::refs::param_targets(param, &doc, &self.options.own_bases) {
                if let Target::Absolute { url, version } = target {
                    let found = self.of_url(param, rtype, &url, version.as_deref())?;
                    ids.extend(found.into_iter().map(|(_, id)| id));
                }
            }
        }
        Ok(ids)
    }

    /// Visible live records whose `param` names this record by its canonical URL.
    pub(super) fn referring_by_url(
        &self,
        param: &ParamInfo,
        rtype: &str,
        id: &str,
    ) -> Result<Vec<Rid>, Failure> {
        if url_of(param, rtype).is_none() {
            return Ok(Vec::new());
        }
        let Some(doc) = self.document(rtype, id)? else {
            return Ok(Vec::new());
        };
        let Some(url) = doc.root().str_at("url") else {
            return Ok(Vec::new());
        };
        let named = doc.root().str_at("version").map(Some);
        let mut rids = Vec::new();
        for version in [None].into_iter().chain(named) {
            rids.extend(self.rows_of(&KeyRange::exact(&IndexKey {
                param: param.id | sub::MAIN,
                value: encode::reference_url(url, version),
            }))?);
        }
        Ok(rids)
    }
}
