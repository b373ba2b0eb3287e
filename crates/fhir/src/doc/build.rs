//! JSON events → arena.

use super::{NO, Odd, Oddity, Raw, flag};
use crate::finding::{IssueCode, safe_name};
use crate::json::{Fault, Limits, Lit, Sink, parse, unescape};
use crate::pack::{ElemId, NameId, Pack, TypeId};

pub(super) struct Built {
    pub nodes: Vec<Raw>,
    pub side: String,
    pub odd: Vec<Odd>,
}

pub(super) fn build(src: &[u8], limits: &Limits, pack: &Pack) -> Result<Built, Fault> {
    let mut b = Builder {
        src,
        limits,
        nodes: Vec::with_capacity(src.len() / 40 + 8),
        side: String::new(),
        odd: Vec::new(),
        frames: Vec::with_capacity(16),
        keys: Vec::with_capacity(64),
        pending: Pending::default(),
    };
    parse(src, limits, &mut b)?;
    if b.nodes.is_empty() {
        return Err(not_an_object(0));
    }
    annotate(&mut b, pack)?;
    Ok(Built {
        nodes: b.nodes,
        side: b.side,
        odd: b.odd,
    })
}

/// A value alone is no resource.
fn not_an_object(at: usize) -> Fault {
    Fault::new(
        at,
        IssueCode::Structure,
        "json-root",
        "a FHIR resource is a JSON object",
    )
}

/// A member name read but not yet given its value.
#[derive(Clone, Copy, Default)]
struct Pending {
    name: u32,
    name_len: u16,
    side: bool,
    under: bool,
    /// First node that the companion member (`x` for `_x` and the reverse) has made, or NO.
    companion: u32,
    key: usize,
}

struct Key {
    hash: u32,
    name: u32,
    name_len: u16,
    side: bool,
    under: bool,
    array: bool,
    first: u32,
}

enum Frame {
    Object {
        node: u32,
        last: u32,
        keys: usize,
    },
    Array {
        pending: Pending,
        cursor: u32,
        at: usize,
        count: u32,
    },
}

struct Builder<'s> {
    src: &'s [u8],
    limits: &'s Limits,
    nodes: Vec<Raw>,
    side: String,
    odd: Vec<Odd>,
    frames: Vec<Frame>,
    keys: Vec<Key>,
    pending: Pending,
}

fn shape(at: usize, text: &str) -> Fault {
    Fault::new(at, IssueCode::Structure, "json-shape", text)
}

#[inline]
fn key_hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811C_9DC5u32, |h, b| {
        (h ^ u32::from(*b)).wrapping_mul(0x0100_0193)
    })
}

#[inline]
fn off(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NO - 1)
}

impl Builder<'_> {
    fn raw_mut(&mut self, index: u32) -> Option<&mut Raw> {
        self.nodes.get_mut(index as usize)
    }

    fn bytes_of(&self, name: u32, len: u16, side: bool) -> &[u8] {
        let (s, e) = (name as usize, name as usize + usize::from(len));
        if side {
            self.side.as_bytes().get(s..e).unwrap_or_default()
        } else {
            self.src.get(s..e).unwrap_or_default()
        }
    }

    fn push(&mut self, at: usize, p: Pending, flags: u16) -> Result<u32, Fault> {
        if self.nodes.len() >= self.limits.max_nodes {
            return Err(Fault::new(
                at,
                IssueCode::TooCostly,
                "limit-nodes",
                format!("more than {} elements", self.limits.max_nodes),
            ));
        }
        let index = off(self.nodes.len());
        let mut parent = NO;
        for f in self.frames.iter_mut().rev() {
            if let Frame::Object { node, last, .. } = f {
                parent = *node;
                let before = std::mem::replace(last, index);
                let link = if before == NO {
                    self.nodes.get_mut(*node as usize).map(|r| &mut r.child)
                } else {
                    self.nodes.get_mut(before as usize).map(|r| &mut r.next)
                };
                if let Some(l) = link {
                    *l = index;
                }
                break;
            }
        }
        self.nodes.push(Raw {
            name: p.name,
            name_len: p.name_len,
            flags: flags | if p.side { flag::NAME_SIDE } else { 0 },
            val: off(at),
            val_len: 0,
            parent,
            child: NO,
            next: NO,
            place: 0,
            elem: ElemId::NONE,
            base_name: NameId::NONE,
            ty: TypeId::NONE,
        });
        Ok(index)
    }

    /// The node that the next value belongs to: the companion's when there is one, else a new one.
    fn slot(&mut self, at: usize, complex: bool) -> Result<u32, Fault> {
        if let Some(Frame::Array {
            pending,
            cursor,
            count,
            ..
        }) = self.frames.last_mut()
        {
            *count += 1;
            let p = *pending;
            let cur = *cursor;
            let place = *count - 1;
            if cur != NO {
                let next = self.next_same(cur);
                if let Some(Frame::Array { cursor, .. }) = self.frames.last_mut() {
                    *cursor = next;
                }
                return self.join(at, cur, p.under, complex);
            }
            let index = self.push(
                at,
                p,
                flag::IN_ARRAY | if p.under { flag::UNDER } else { 0 },
            )?;
            if let Some(r) = self.raw_mut(index) {
                r.place = place;
            }
            self.note_first(p.key, index);
            return Ok(index);
        }
        let p = self.pending;
        if p.companion != NO {
            if self
                .nodes
                .get(p.companion as usize)
                .is_some_and(|r| r.flags & flag::IN_ARRAY != 0)
            {
                return Err(shape(
                    at,
                    "a primitive and its '_' sibling must both be arrays or neither",
                ));
            }
            return self.join(at, p.companion, p.under, complex);
        }
        let index = self.push(at, p, if p.under { flag::UNDER } else { 0 })?;
        self.note_first(p.key, index);
        Ok(index)
    }

    fn note_first(&mut self, key: usize, index: u32) {
        if let Some(k) = self.keys.get_mut(key).filter(|k| k.first == NO) {
            k.first = index;
        }
    }

    fn join(&mut self, at: usize, index: u32, under: bool, complex: bool) -> Result<u32, Fault> {
        let raw = self
            .raw_mut(index)
            .ok_or_else(|| shape(at, "unexpected structure"))?;
        if (complex && !under) || (under && raw.flags & flag::OBJECT != 0) {
            return Err(shape(
                at,
                "a member that begins with '_' goes with a primitive value only",
            ));
        }
        if under {
            raw.flags |= flag::UNDER;
        }
        Ok(index)
    }

    fn next_same(&self, index: u32) -> u32 {
        let Some(this) = self.nodes.get(index as usize) else {
            return NO;
        };
        let name = self.bytes_of(this.name, this.name_len, this.flags & flag::NAME_SIDE != 0);
        let mut next = this.next;
        while let Some(n) = self.nodes.get(next as usize) {
            if self.bytes_of(n.name, n.name_len, n.flags & flag::NAME_SIDE != 0) == name {
                return next;
            }
            next = n.next;
        }
        NO
    }

    fn scalar(&mut self, at: usize, kind: u16, val: (u32, u32)) -> Result<(), Fault> {
        if self.frames.is_empty() {
            return Err(not_an_object(at));
        }
        let under = match self.frames.last() {
            Some(Frame::Array { pending, .. }) => pending.under,
            _ => self.pending.under,
        };
        if under {
            return Err(shape(
                at,
                "a member that begins with '_' must hold an object (or null inside an array)",
            ));
        }
        let index = self.slot(at, false)?;
        if let Some(r) = self.raw_mut(index) {
            r.flags |= kind;
            (r.val, r.val_len) = val;
        }
        Ok(())
    }

    /// Notes an element, or with a member's name a member of the innermost element.
    fn odd(&mut self, at: usize, what: Oddity, node: Option<u32>, member: Pending) {
        if self.odd.len() < self.limits.max_findings {
            let inner = self.frames.iter().rev().find_map(|f| match f {
                Frame::Object { node, .. } => Some(*node),
                Frame::Array { .. } => None,
            });
            self.odd.push(Odd {
                node: node.or(inner).unwrap_or(0),
                name: member.name,
                name_len: if node.is_some() { 0 } else { member.name_len },
                name_side: member.side,
                offset: off(at),
                what,
            });
        }
    }
}

impl Sink for Builder<'_> {
    fn begin_object(&mut self, at: usize) -> Result<(), Fault> {
        let node = if self.frames.is_empty() {
            self.push(
                at,
                Pending {
                    companion: NO,
                    ..Pending::default()
                },
                0,
            )?
        } else {
            self.slot(at, true)?
        };
        let under = match self.frames.last() {
            Some(Frame::Array { pending, .. }) => pending.under,
            Some(Frame::Object { .. }) => self.pending.under,
            None => false,
        };
        if !under && let Some(r) = self.raw_mut(node) {
            r.flags |= flag::OBJECT;
            r.val = off(at);
        }
        self.frames.push(Frame::Object {
            node,
            last: NO,
            keys: self.keys.len(),
        });
        Ok(())
    }

    fn key(&mut self, key: Lit) -> Result<(), Fault> {
        let Some(Frame::Object { keys, .. }) = self.frames.last() else {
            return Ok(());
        };
        let base = *keys;
        let (mut start, mut len, mut side) = (off(key.start), key.end - key.start, false);
        if key.escaped {
            start = off(self.side.len());
            unescape(self.src, key, &mut self.side);
            len = self.side.len() - start as usize;
            side = true;
        }
        let mut name_len = u16::try_from(len)
            .ok()
            .filter(|n| *n <= 256)
            .ok_or_else(|| {
                Fault::new(
                    key.start,
                    IssueCode::TooLong,
                    "limit-name",
                    "a member name is longer than 256 bytes",
                )
            })?;
        let under = name_len > 1 && self.bytes_of(start, 1, side) == b"_";
        if under {
            start += 1;
            name_len -= 1;
        }
        let name = self.bytes_of(start, name_len, side);
        let hash = key_hash(name);
        let mut companion = NO;
        if self.keys.len() - base >= self.limits.max_fields {
            return Err(Fault::new(
                key.start,
                IssueCode::TooCostly,
                "limit-fields",
                format!("an object has more than {} members", self.limits.max_fields),
            ));
        }
        for k in self.keys.get(base..).unwrap_or_default() {
            if k.hash == hash && self.bytes_of(k.name, k.name_len, k.side) == name {
                if k.under == under {
                    let shown = safe_name(&String::from_utf8_lossy(name));
                    return Err(Fault::new(
                        key.start.saturating_sub(1),
                        IssueCode::Structure,
                        "json-duplicate",
                        format!("member \"{shown}\" occurs twice in one object"),
                    ));
                }
                companion = k.first;
            }
        }
        self.keys.push(Key {
            hash,
            name: start,
            name_len,
            side,
            under,
            array: false,
            first: NO,
        });
        self.pending = Pending {
            name: start,
            name_len,
            side,
            under,
            companion,
            key: self.keys.len() - 1,
        };
        Ok(())
    }

    fn end_object(&mut self, end: usize) -> Result<(), Fault> {
        if let Some(Frame::Object { node, last, keys }) = self.frames.pop() {
            self.keys.truncate(keys);
            if last == NO {
                self.odd(end, Oddity::EmptyObject, Some(node), Pending::default());
            }
            if let Some(r) = self.raw_mut(node).filter(|r| r.flags & flag::OBJECT != 0) {
                r.val_len = off(end).saturating_sub(r.val);
            }
        }
        Ok(())
    }

    fn begin_array(&mut self, at: usize) -> Result<(), Fault> {
        match self.frames.last() {
            Some(Frame::Object { .. }) => {}
            Some(Frame::Array { .. }) => return Err(shape(at, "FHIR has no arrays inside arrays")),
            None => {
                return Err(not_an_object(at));
            }
        }
        let p = self.pending;
        if p.companion != NO
            && self
                .nodes
                .get(p.companion as usize)
                .is_some_and(|r| r.flags & flag::IN_ARRAY == 0)
        {
            return Err(shape(
                at,
                "a primitive and its '_' sibling must both be arrays or neither",
            ));
        }
        if let Some(k) = self.keys.get_mut(p.key) {
            k.array = true;
        }
        self.frames.push(Frame::Array {
            pending: p,
            cursor: p.companion,
            at,
            count: 0,
        });
        Ok(())
    }

    fn end_array(&mut self, _at: usize) -> Result<(), Fault> {
        if let Some(Frame::Array {
            at,
            count: 0,
            pending,
            ..
        }) = self.frames.pop()
        {
            self.odd(at, Oddity::EmptyArray, None, pending);
        }
        Ok(())
    }

    fn string(&mut self, v: Lit) -> Result<(), Fault> {
        if v.escaped {
            let start = self.side.len();
            unescape(self.src, v, &mut self.side);
            let span = (off(start), off(self.side.len() - start));
            self.scalar(
                v.start.saturating_sub(1),
                flag::STRING | flag::VALUE_SIDE,
                span,
            )
        } else {
            self.scalar(
                v.start.saturating_sub(1),
                flag::STRING,
                (off(v.start), off(v.end - v.start)),
            )
        }
    }

    fn number(&mut self, start: usize, end: usize) -> Result<(), Fault> {
        self.scalar(start, flag::NUMBER, (off(start), off(end - start)))
    }

    fn bool(&mut self, at: usize, v: bool) -> Result<(), Fault> {
        self.scalar(
            at,
            if v { flag::TRUE } else { flag::FALSE },
            (off(at), if v { 4 } else { 5 }),
        )
    }

    fn null(&mut self, at: usize) -> Result<(), Fault> {
        if self.frames.is_empty() {
            return Err(not_an_object(at));
        }
        if matches!(self.frames.last(), Some(Frame::Array { .. })) {
            self.slot(at, false)?;
        } else {
            self.odd(at, Oddity::Null, None, self.pending);
        }
        Ok(())
    }
}

/// Gives every node its element definition and type, parents first (a parent's index is below its children's).
fn annotate(b: &mut Builder<'_>, pack: &Pack) -> Result<(), Fault> {
    let resource = pack.known.resource;
    for i in 0..b.nodes.len() {
        let Some(raw) = b.nodes.get(i) else { break };
        let (elem, declared, base_name) = match b.nodes.get(raw.parent as usize) {
            None => (ElemId::NONE, resource, NameId::NONE),
            Some(_) if raw.flags & flag::HIDDEN != 0 => continue,
            Some(p) if p.ty == TypeId::NONE => (ElemId::NONE, TypeId::NONE, NameId::NONE),
            Some(p) => pack
                .child(
                    p.ty,
                    b.bytes_of(raw.name, raw.name_len, raw.flags & flag::NAME_SIDE != 0),
                )
                .unwrap_or((ElemId::NONE, TypeId::NONE, NameId::NONE)),
        };
        let mut ty = declared;
        if declared == resource {
            ty = TypeId::NONE;
            let mut child = raw.child;
            while let Some(c) = b.nodes.get(child as usize) {
                let next = c.next;
                if b.bytes_of(c.name, c.name_len, c.flags & flag::NAME_SIDE != 0) == b"resourceType"
                {
                    if c.flags & flag::KIND != flag::STRING || c.flags & flag::IN_ARRAY != 0 {
                        return Err(Fault::new(
                            c.val as usize,
                            IssueCode::Structure,
                            "resource-type",
                            "resourceType must be a string",
                        ));
                    }
                    let side = c.flags & flag::VALUE_SIDE != 0;
                    let (at, len) = (c.val as usize, c.val_len as usize);
                    let text = if side {
                        b.side.get(at..at + len)
                    } else {
                        b.src
                            .get(at..at + len)
                            .and_then(|t| std::str::from_utf8(t).ok())
                    };
                    ty = text
                        .and_then(|t| pack.resource_type(t))
                        .unwrap_or(TypeId::NONE);
                    if let Some(c) = b.nodes.get_mut(child as usize) {
                        c.flags |= flag::HIDDEN;
                    }
                    break;
                }
                child = next;
            }
            if i == 0 && child == NO {
                return Err(Fault::new(
                    0,
                    IssueCode::Structure,
                    "resource-type",
                    "the resource has no resourceType",
                ));
            }
        }
        if let Some(raw) = b.nodes.get_mut(i) {
            raw.elem = elem;
            raw.base_name = base_name;
            raw.ty = ty;
        }
    }
    Ok(())
}
