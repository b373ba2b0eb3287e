//! Proof of one entry (spec/privacy.md §9.3): made here, checked offline by anybody with [`verify`].

use super::chain::{self, b64, from_b64, member_hash};
use super::head::{self, Head, TYP};
use super::seal::DayTree;
use super::{Hash, Member, SealedRow, Tables, merkle};
use crate::StoreError;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Members that are never shown: they hold internal numbers.
const NEVER_SHOWN: [&str; 1] = ["persons"];
/// Most later heads in one proof; the rest is published.
const MAX_NEXT_HEADS: usize = 400;
/// Longest proof that is read, members (a proof holds one entry).
const MAX_PROOF_MEMBERS: usize = 1_000;
/// Longest path that is read: a tree of 2^64 leaves.
const MAX_PATH: usize = 64;

/// Makes the proof of a sealed entry under the newest head that covers it; members named in `masked`, and erased ones,
/// are shown as hash only. `None` when no entry of this id is sealed; `Unavailable` when no head covers it yet.
pub fn build(
    tables: &mut dyn Tables,
    id: Uuid,
    masked: &[&str],
) -> Result<Option<Value>, StoreError> {
    let Some(row) = tables.row_by_id(id)? else {
        return Ok(None);
    };
    let Some((n, jws, head)) = covering(tables, &row)? else {
        return Err(StoreError::Unavailable(
            "no signed head covers this entry yet; one is made every ten minutes".to_owned(),
        ));
    };
    let place = head.streams.iter().position(|s| s.id == row.stream);
    let Some((place, stream)) = place.and_then(|i| Some((i, head.streams.get(i)?))) else {
        return Err(StoreError::Corrupt(format!(
            "head of {} lacks a stream",
            row.day
        )));
    };
    let mut tree = DayTree {
        tables,
        stream: &row.stream,
        day: &row.day,
    };
    let path = merkle::path(&mut tree, row.index, stream.size)?;
    let leaves: Vec<Hash> = head.streams.iter().map(|s| s.leaf()).collect();
    let Ok(day_path) = merkle::path(&mut leaves.as_slice(), place as u64, leaves.len() as u64);
    let next = tables.closed_heads_after(n, MAX_NEXT_HEADS)?;
    let (shown, hidden) = show(&row.members, masked);
    let pprev = row.members.get("pprev").and_then(Member::value).cloned();
    Ok(Some(json!({
        "v": 1, "shown": shown, "masked": hidden,
        "seq": row.seq, "time_us": row.recorded_at, "pn": row.pn, "pprev": pprev.unwrap_or_default(),
        "leaf": b64(&row.leaf), "stream": row.stream, "index": row.index, "size": stream.size,
        "path": path.iter().map(|h| b64(h)).collect::<Vec<_>>(),
        "day_path": day_path.iter().map(|h| b64(h)).collect::<Vec<_>>(),
        "head": jws,
        "next_heads": next.into_iter().map(|h| h.jws).collect::<Vec<_>>(),
    })))
}

/// The newest head of the row's day that covers it.
fn covering(
    tables: &mut dyn Tables,
    row: &SealedRow,
) -> Result<Option<(u64, String, Head)>, StoreError> {
    for stored in tables.heads(Some(&row.day), 2)? {
        let head = head::read(&stored)?;
        if head
            .streams
            .iter()
            .any(|s| s.id == row.stream && s.size > row.index)
        {
            return Ok(Some((stored.n, stored.jws, head)));
        }
    }
    Ok(None)
}

fn show(
    members: &BTreeMap<String, Member>,
    masked: &[&str],
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut shown, mut hidden) = (Map::new(), Map::new());
    for (name, member) in members {
        let hide = masked.contains(&name.as_str()) || NEVER_SHOWN.contains(&name.as_str());
        match member {
            Member::Open { salt, value } if !hide => {
                shown.insert(name.clone(), json!([b64(salt), value]));
            }
            _ => {
                hidden.insert(name.clone(), Value::String(b64(&member.hash())));
            }
        }
    }
    (shown, hidden)
}

/// What a valid proof shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Log.
    pub log: String,
    /// Day on which the entry was sealed.
    pub day: String,
    /// Number in the stream.
    pub seq: u64,
    /// Real time at the append, microseconds since 1970.
    pub time_us: i64,
    /// Number in the person's line of this controller.
    pub pn: Option<u64>,
    /// Shown members.
    pub shown: BTreeMap<String, Value>,
    /// Names of masked members.
    pub masked: Vec<String>,
    /// Key that signed the head.
    pub kid: String,
    /// When the head was made.
    pub head_created: String,
    /// Closed heads after it that were checked too.
    pub later_heads: usize,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not a proof of this form.
    #[error("not a journal proof: {0} is missing or malformed")]
    Form(&'static str),
    /// What is shown does not give the leaf.
    #[error("the shown content does not belong to this entry: {0}")]
    Content(&'static str),
    /// The leaf is not in the signed tree.
    #[error("the entry is not in the signed log: {0}")]
    Tree(&'static str),
    /// A head is not signed by a key of the log.
    #[error("a head is not signed by this log: {0}")]
    Signature(&'static str),
    /// Later heads do not continue this one.
    #[error("head {0} of next_heads does not continue the one before")]
    Continuation(usize),
}

/// Checks a proof against the log's public keys (a JWK set), with nothing else.
pub fn verify(proof: &Value, jwks: &Value) -> Result<Verified, ProofError> {
    use ProofError::{Content, Form, Tree};
    let field = |name: &'static str| proof.get(name).ok_or(Form(name));
    let number = |name: &'static str| field(name)?.as_u64().ok_or(Form(name));
    let hashes = |name: &'static str| -> Result<Vec<Hash>, ProofError> {
        let list = field(name)?
            .as_array()
            .filter(|l| l.len() <= MAX_PATH)
            .ok_or(Form(name))?;
        list.iter()
            .map(|h| h.as_str().and_then(from_b64).ok_or(Form(name)))
            .collect()
    };
    if number("v")? != 1 {
        return Err(Form("v"));
    }
    let seq = number("seq")?;
    let time_us = field("time_us")?.as_i64().ok_or(Form("time_us"))?;
    let (shown, masked, commit) = content(proof)?;
    let leaf = chain::leaf(seq, time_us, &commit);
    if field("leaf")?.as_str().and_then(from_b64) != Some(leaf) {
        return Err(Content("leaf"));
    }
    for name in ["pn", "pprev"] {
        let claimed = proof.get(name).filter(|v| !v.is_null());
        let member = shown.get(name).filter(|v| !v.is_null());
        if claimed != member && !masked.iter().any(|m| m == name) {
            return Err(Content(name));
        }
    }
    let jws = field("head")?.as_str().ok_or(Form("head"))?;
    let (kid, head) = signed_head(jws, jwks)?;
    let id = field("stream")?.as_str().ok_or(Form("stream"))?;
    let place = head
        .streams
        .iter()
        .position(|s| s.id == id)
        .ok_or(Tree("stream"))?;
    let stream = head.streams.get(place).ok_or(Tree("stream"))?;
    let (index, size) = (number("index")?, number("size")?);
    if size != stream.size || stream.first.checked_add(index) != Some(seq) {
        return Err(Tree("index"));
    }
    if merkle::root_from_path(&leaf, index, size, &hashes("path")?) != Some(stream.root) {
        return Err(Tree("path"));
    }
    let (at, of) = (place as u64, head.streams.len() as u64);
    let day_path = hashes("day_path")?;
    if merkle::root_from_path(&stream.leaf(), at, of, &day_path) != Some(head.day_root) {
        return Err(Tree("day_path"));
    }
    let later_heads = continuation(proof, jws, &head, jwks)?;
    Ok(Verified {
        log: head.log,
        day: head.day,
        seq,
        time_us,
        pn: shown.get("pn").and_then(Value::as_u64),
        shown,
        masked,
        kid,
        head_created: head.created,
        later_heads,
    })
}

type Content = (BTreeMap<String, Value>, Vec<String>, Hash);

/// The members and the commit that they give.
fn content(proof: &Value) -> Result<Content, ProofError> {
    use ProofError::Form;
    let object = |name: &'static str| {
        let map = proof.get(name).and_then(Value::as_object);
        map.filter(|m| m.len() <= MAX_PROOF_MEMBERS)
            .ok_or(Form(name))
    };
    let (mut shown, mut masked, mut hashes) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for (name, pair) in object("shown")? {
        let (salt, value) = match pair.as_array().map(Vec::as_slice) {
            Some([salt, value]) => (salt.as_str().and_then(from_b64), value),
            _ => return Err(Form("shown")),
        };
        hashes.insert(
            name.as_str(),
            member_hash(&salt.ok_or(Form("shown"))?, value),
        );
        shown.insert(name.clone(), value.clone());
    }
    for (name, hash) in object("masked")? {
        let hash = hash.as_str().and_then(from_b64).ok_or(Form("masked"))?;
        if hashes.insert(name.as_str(), hash).is_some() {
            return Err(Form("masked"));
        }
        masked.push(name.clone());
    }
    let commit = chain::commit(hashes);
    Ok((shown, masked, commit))
}

fn continuation(proof: &Value, jws: &str, head: &Head, jwks: &Value) -> Result<usize, ProofError> {
    let Some(next) = proof.get("next_heads").filter(|v| !v.is_null()) else {
        return Ok(0);
    };
    let next = next.as_array().ok_or(ProofError::Form("next_heads"))?;
    let (mut day, mut log_hash) = (head.day.clone(), head::hash_of(jws));
    for (i, later) in next.iter().enumerate() {
        let later = later.as_str().ok_or(ProofError::Form("next_heads"))?;
        let (_, payload) = signed_head(later, jwks)?;
        // An interim head is followed by the closing head of its own day, which continues the same closed head.
        let closes = i == 0 && payload.day == day && payload.prev_head == head.prev_head;
        let follows = payload.day > day && payload.prev_head == Some(log_hash);
        if payload.log != head.log || !(closes || follows) {
            return Err(ProofError::Continuation(i));
        }
        day = payload.day;
        log_hash = head::hash_of(later);
    }
    Ok(next.len())
}

/// Checks the signature of a head (ES256, `typ`, a key of the set) and reads it.
pub fn signed_head(jws: &str, jwks: &Value) -> Result<(String, Head), ProofError> {
    use ProofError::Signature;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let mut parts = jws.split('.');
    let (Some(header64), Some(payload64), Some(signature64), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Signature("not a compact JWS"));
    };
    let json = |part: &str| decode(part).and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    let header = json(header64).ok_or(Signature("header"))?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    if text("alg") != Some("ES256") || text("typ") != Some(TYP) || header.get("crit").is_some() {
        return Err(Signature("alg or typ"));
    }
    let kid = text("kid").ok_or(Signature("kid"))?;
    let point = public_point(jwks, kid).ok_or(Signature("no such key in the key set"))?;
    let signature = decode(signature64).ok_or(Signature("signature"))?;
    let signed = jws.rsplit_once('.').map_or("", |(signed, _)| signed);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| Signature("signature"))?;
    let payload = json(payload64).ok_or(Signature("payload"))?;
    let head = Head::of_json(&payload).ok_or(Signature("payload"))?;
    Ok((kid.to_owned(), head))
}

/// The uncompressed point of an EC P-256 key.
fn public_point(jwks: &Value, kid: &str) -> Option<Vec<u8>> {
    let key = jwks.get("keys")?.as_array()?.iter().find(|k| {
        let is = |name: &str, value: &str| k.get(name).and_then(Value::as_str) == Some(value);
        is("kid", kid) && is("kty", "EC") && is("crv", "P-256")
    })?;
    let coordinate = |name: &str| from_b64::<32>(key.get(name)?.as_str()?);
    let mut point = vec![4];
    point.extend(coordinate("x")?);
    point.extend(coordinate("y")?);
    Some(point)
}
