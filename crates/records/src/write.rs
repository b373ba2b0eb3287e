//! The path by which resources come into the store: checked, indexed, and only then a [`store::Put`].
//!
//! Services call [`prepare`] with bytes; the HTTP side already holds a parsed document and calls [`prepare_doc`]. Keys are
//! made with the pack built into the program; their version stands with the put, so that an index can be rebuilt.

use bytes::Bytes;
use fhir::keys::Options;
use fhir::{Doc, Finding, IssueCode, Limits, Pack};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use store::{BlobHash, IndexKey, Op, PersonRef, Privacy, Put, PutId, RepoId};

/// Fingerprint of what makes keys: the forms, and every search parameter with its expression. Stands in [`Put::pack`];
/// records of another one are indexed anew ([`crate::reindex`]). Never 0.
pub fn pack_version() -> u32 {
    static VERSION: LazyLock<u32> = LazyLock::new(|| {
        let pack = Pack::r4();
        let mut text = format!("{}\n", fhir::keys::encode::VERSION);
        let mut lines = BTreeSet::new();
        for rtype in pack.resource_types() {
            let Some(ty) = pack.type_id(rtype) else {
                continue;
            };
            for param in pack.params(ty) {
                let (id, code, kind) = (param.id, &param.code, param.kind.as_str());
                let mut line = format!("{id} {code} {kind} {}", param.expression);
                for part in &param.parts {
                    line.push_str(&format!(" {} {}", part.kind.as_str(), part.expr.text()));
                }
                lines.insert(line);
            }
        }
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        let hash = store::sha256(text.as_bytes());
        let mut first = [0; 4];
        for (to, from) in first.iter_mut().zip(hash) {
            *to = from;
        }
        u32::from_be_bytes(first).max(1)
    });
    *VERSION
}

/// Parses, checks and indexes one resource.
///
/// `rtype` must be the body's type. `body` is stored as it came. For `Op::Delete` the body is empty and nothing is checked.
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of a put, each given by another party"
)]
pub fn prepare(
    repo: RepoId,
    rtype: &str,
    id: PutId,
    op: Op,
    body: Bytes,
    persons: Vec<PersonRef>,
    privacy: Privacy,
    blobs: Vec<BlobHash>,
) -> Result<Put, Vec<Finding>> {
    if op == Op::Delete {
        return Ok(Put {
            repo,
            rtype: rtype.to_owned(),
            id,
            op,
            body: Bytes::new(),
            keys: Vec::new(),
            pack: pack_version(),
            persons,
            privacy,
            blobs,
        });
    }
    let doc = Doc::parse_json(body, &Limits::default())?;
    let mut put = prepare_doc(repo, rtype, id, op, &doc, None)?;
    put.persons = persons;
    put.privacy = privacy;
    put.blobs = blobs;
    Ok(put)
}

/// The same for a document that is parsed already; persons, privacy columns and blobs are left empty. `options`: how
/// references are read (own base URLs); the default knows none.
pub fn prepare_doc(
    repo: RepoId,
    rtype: &str,
    id: PutId,
    op: Op,
    doc: &Doc,
    options: Option<&Options>,
) -> Result<Put, Vec<Finding>> {
    prepare_checked(repo, rtype, id, op, doc, options).map(|(put, _)| put)
}

/// [`prepare_doc`], and what the check found that does not stop the put.
pub(crate) fn prepare_checked(
    repo: RepoId,
    rtype: &str,
    id: PutId,
    op: Op,
    doc: &Doc,
    options: Option<&Options>,
) -> Result<(Put, Vec<Finding>), Vec<Finding>> {
    if doc.resource_type() != rtype {
        return Err(vec![
            Finding::error(
                IssueCode::Invalid,
                "resource-type",
                format!("resourceType must be {rtype} here"),
            )
            .on("resourceType"),
        ]);
    }
    let (errors, rest): (Vec<Finding>, Vec<Finding>) = check(doc)
        .into_iter()
        .filter(|f| !is_of_the_server(f, rtype))
        .partition(Finding::is_error);
    if !errors.is_empty() {
        return Err(errors);
    }
    let put = Put {
        repo,
        rtype: rtype.to_owned(),
        id,
        op,
        body: doc.bytes().clone(),
        keys: keys_with(doc, options)?,
        pack: pack_version(),
        persons: Vec::new(),
        privacy: Privacy::default(),
        blobs: Vec::new(),
    };
    Ok((put, rest))
}

/// A remark on the form of a value that is the server's own and replaced anyway: what a client sends there is passed over
/// (spec/fhir-server.md §2.3).
fn is_of_the_server(finding: &Finding, rtype: &str) -> bool {
    finding.code == IssueCode::Value
        && finding
            .expression
            .strip_prefix(rtype)
            .is_some_and(|rest| matches!(rest, ".id" | ".meta.versionId" | ".meta.lastUpdated"))
}

/// Findings of the base specification: structure, cardinality, primitive formats, required bindings (spec/fhir-server.md
/// §5; invariants and profiles are `$validate`'s business).
pub fn check(doc: &Doc) -> Vec<Finding> {
    fhir::validate::validate(Pack::r4(), doc)
}

/// Index keys of a document, within the store's limits.
pub fn keys_of(doc: &Doc) -> Result<Vec<IndexKey>, Vec<Finding>> {
    keys_with(doc, None)
}

/// The same with the repository's options.
pub fn keys_for(doc: &Doc, options: &Options) -> Result<Vec<IndexKey>, Vec<Finding>> {
    keys_with(doc, Some(options))
}

fn keys_with(doc: &Doc, options: Option<&Options>) -> Result<Vec<IndexKey>, Vec<Finding>> {
    let too_many = || {
        vec![Finding::error(
            IssueCode::TooCostly,
            "search-values",
            format!(
                "the resource has more than {} search values; split it",
                store::MAX_KEYS
            ),
        )]
    };
    let now_us = edge::clock::real_now_us();
    let keys = match options {
        Some(options) => fhir::keys::extract_with(Pack::r4(), doc, now_us, options),
        None => fhir::keys::extract(Pack::r4(), doc, now_us),
    };
    let keys = keys.map_err(|e| {
        vec![Finding::error(
            IssueCode::TooCostly,
            "search-values",
            e.to_string(),
        )]
    })?;
    if keys.len() > store::MAX_KEYS {
        return Err(too_many());
    }
    Ok(keys
        .into_iter()
        .map(|k| IndexKey {
            param: k.param,
            value: k.value,
        })
        .collect())
}
