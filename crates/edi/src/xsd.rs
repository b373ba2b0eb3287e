//! Validation against official XML schemas that an operator has at hand.
//!
//! National schema archives cannot be used as they lie: `schemaLocation` assumes an XML catalogue, points to build
//! paths or to the web, and one namespace may come in several files. [`SchemaSet::load`] therefore reads a whole
//! folder tree and resolves imports **by target namespace**. For each combination of namespaces that a document uses
//! it compiles one validator (once, then cached) from rewritten copies in a temporary folder, under a wrapper schema
//! that imports every namespace explicitly, leaves first: the schema library does not see types of namespaces
//! that are imported only indirectly (dependencies.md §5.1.1).
//!
//! Gaps of the schema library that are closed here: it ignores `xs:union` (rewritten to patterns, so that `kith:TS` is
//! checked), does not see attribute groups of another namespace (their attributes are not judged), and is stricter
//! than libxml2, and so than the sector, on spaces in `xs:anyURI` and on characters outside `xs:base64Binary`.
//!
//! The schema library is used behind this module only. Its texts may quote values of the document; here they never leave.

mod archive;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use thiserror::Error;
use uppsala::xsd::XsdValidator;
use xmlsec::xml::escaped;

use crate::xml::{At, Elem, XmlDoc, decode};

pub use archive::{Archive, MAX_ARCHIVE_BYTES};

/// Most files read from a schema folder.
const MAX_FILES: usize = 5_000;
/// Largest schema file in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Deepest folder.
const MAX_FOLDER_DEPTH: usize = 12;
/// Most compiled combinations kept.
const MAX_COMPILED: usize = 64;
/// Most breaks reported for one document.
const MAX_FAULTS: usize = 100;

const XSD_NS: &str = "http://www.w3.org/2001/XMLSchema";
/// Says which file counts where several have the same namespace.
const CHOICE: &str = "namespaces.json";

/// Files of one origin: what could be read of them, and their choice.
struct Source {
    files: Vec<(PathBuf, Result<Vec<u8>, String>)>,
    choice: Option<Vec<u8>>,
}

/// A set of official schemas.
#[derive(Debug)]
pub struct SchemaSet {
    files: Vec<SchemaFile>,
    by_namespace: BTreeMap<String, usize>,
    folder: tempfile::TempDir,
    compiled: Mutex<HashMap<Vec<usize>, Arc<Compiled>>>,
    skipped: Vec<String>,
    /// Attributes declared in attribute groups, which the schema library does not see across namespaces.
    group_attributes: BTreeSet<String>,
}

struct SchemaFile {
    path: PathBuf,
    namespace: String,
    text: String,
    imports: Vec<String>,
    /// Included files, by index.
    includes: Vec<usize>,
}

impl std::fmt::Debug for SchemaFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.namespace)
    }
}

enum Compiled {
    Ready(Box<XsdValidator>),
    Broken(String),
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "ready",
            Self::Broken(_) => "broken",
        })
    }
}

/// Why a folder of schemas could not be used.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// A folder or file could not be read, or the temporary folder not be made.
    #[error("cannot read schemas at {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There was no usable schema file.
    #[error("no XML schema (.xsd with a target namespace) below {0}")]
    Empty(PathBuf),
}

/// One break of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// Line in the document.
    pub line: u32,
    /// Column in the document, in characters.
    pub column: u32,
    /// The schema library's words (English), without values of the document.
    pub text: String,
}

/// What the schemas say about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaOutcome {
    /// The schemas were applied.
    Checked {
        /// Breaks, at most 100.
        faults: Vec<SchemaFault>,
        /// Namespaces of the document without a schema; what they cover was not checked.
        unknown: Vec<String>,
    },
    /// There is no schema for the root element's namespace.
    NoSchema {
        /// That namespace.
        namespace: String,
    },
    /// The schemas themselves could not be compiled.
    Unusable {
        /// Why.
        reason: String,
    },
}

impl SchemaSet {
    /// Reads every `.xsd` below a folder.
    ///
    /// When several files have the same target namespace, `namespaces.json` at the top of the folder (namespace →
    /// relative path) decides; else the shortest path. Files that are no schemas are skipped and named in
    /// [`SchemaSet::skipped`].
    ///
    /// # Errors
    /// [`SchemaError`] when the folder cannot be read or holds no schema.
    pub fn load(dir: &Path) -> Result<Self, SchemaError> {
        Self::load_all(&[dir])
    }

    /// Reads several folders; earlier ones win where namespaces meet.
    ///
    /// # Errors
    /// As [`SchemaSet::load`].
    pub fn load_all(dirs: &[&Path]) -> Result<Self, SchemaError> {
        let mut sources = Vec::new();
        for dir in dirs {
            let mut paths = Vec::new();
            find(dir, 0, &mut paths).map_err(io(dir))?;
            sources.push(Source {
                files: paths
                    .into_iter()
                    .map(|path| {
                        let bytes = read_file(&path);
                        (path, bytes)
                    })
                    .collect(),
                choice: std::fs::read(dir.join(CHOICE)).ok(),
            });
        }
        Self::assemble(sources, dirs.first().copied().unwrap_or(Path::new("")))
    }

    /// The schemas of an archive.
    ///
    /// # Errors
    /// [`SchemaError`] when it holds none, or the temporary folder cannot be made.
    pub fn from_archive(archive: &Archive) -> Result<Self, SchemaError> {
        let schemas = archive.files().filter(|(name, _)| *name != CHOICE);
        let source = Source {
            files: schemas
                .map(|(name, bytes)| (PathBuf::from(name), Ok(bytes.to_vec())))
                .collect(),
            choice: archive.file(CHOICE).map(<[u8]>::to_vec),
        };
        Self::assemble(vec![source], Path::new("the archive"))
    }

    fn assemble(sources: Vec<Source>, named: &Path) -> Result<Self, SchemaError> {
        let folder = tempfile::Builder::new()
            .prefix("schemas-")
            .tempdir()
            .map_err(io(&std::env::temp_dir()))?;
        let mut out = Self {
            files: Vec::new(),
            by_namespace: BTreeMap::new(),
            folder,
            compiled: Mutex::new(HashMap::new()),
            skipped: Vec::new(),
            group_attributes: BTreeSet::new(),
        };
        for mut source in sources {
            let order = |path: &PathBuf| (path.components().count(), path.clone());
            source.files.sort_by_key(|(path, _)| order(path));
            let start = out.files.len();
            for (path, bytes) in source.files {
                match bytes.and_then(|bytes| read_schema(&path, &bytes)) {
                    Ok(file) => out.files.push(file),
                    Err(reason) => out.skipped.push(format!("{}: {reason}", path.display())),
                }
            }
            out.choose(source.choice.as_deref(), start);
        }
        if out.by_namespace.is_empty() {
            return Err(SchemaError::Empty(named.to_path_buf()));
        }
        out.link_includes();
        out.group_attributes = out
            .files
            .iter()
            .flat_map(|f| group_attributes(&f.text))
            .collect();
        out.write_copies().map_err(io(out.folder.path()))?;
        Ok(out)
    }

    /// The namespaces covered.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.by_namespace.keys().map(String::as_str)
    }

    /// Files that could not be used, with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Holds a document against the schemas of the namespaces it uses.
    pub fn check(&self, doc: &XmlDoc) -> SchemaOutcome {
        let mut used = BTreeSet::new();
        doc.root.walk(&mut |e| {
            if !used.contains(&*e.ns) {
                used.insert(e.ns.to_string());
            }
        });
        if !self.by_namespace.contains_key(&*doc.root.ns) {
            return SchemaOutcome::NoSchema {
                namespace: doc.root.ns.to_string(),
            };
        }
        let unknown: Vec<String> = used
            .iter()
            .filter(|ns| !self.by_namespace.contains_key(*ns))
            .take(20)
            .cloned()
            .collect();
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for ns in used.iter().filter(|ns| self.by_namespace.contains_key(*ns)) {
            self.leaves_first(ns, &mut seen, &mut order);
        }
        match &*self.validator(order) {
            Compiled::Broken(reason) => SchemaOutcome::Unusable {
                reason: reason.clone(),
            },
            Compiled::Ready(validator) => {
                let parsed = match uppsala::parser::Parser::new()
                    .with_forbid_dtd(true)
                    .parse(doc.source())
                {
                    Ok(parsed) => parsed,
                    Err(e) => {
                        return SchemaOutcome::Unusable {
                            reason: without_values(&e.to_string()),
                        };
                    }
                };
                let faults = validator
                    .validate(&parsed)
                    .into_iter()
                    .filter(|e| {
                        !self.concerns_unknown(&e.message, doc, &unknown)
                            && !self.is_false_alarm(&e.message)
                    })
                    .take(MAX_FAULTS)
                    .map(|e| SchemaFault {
                        line: e.line.and_then(|l| u32::try_from(l).ok()).unwrap_or(1),
                        column: e.column.and_then(|c| u32::try_from(c).ok()).unwrap_or(1),
                        text: without_values(&e.message),
                    })
                    .collect();
                SchemaOutcome::Checked { faults, unknown }
            }
        }
    }

    /// "No declaration" for an element whose namespace has no schema here is no fault of the document.
    fn concerns_unknown(&self, message: &str, doc: &XmlDoc, unknown: &[String]) -> bool {
        if unknown.is_empty() || !message.contains("(strict wildcard)") {
            return false;
        }
        let name = message.split('\'').nth(1).unwrap_or_default();
        let name = name.rsplit(['}', ':']).next().unwrap_or(name);
        doc.root
            .find(&|e: &Elem| &*e.name == name && unknown.iter().any(|u| **u == *e.ns))
            .is_some()
    }

    fn is_false_alarm(&self, message: &str) -> bool {
        if message.ends_with("is not valid base64Binary") {
            return true;
        }
        message.starts_with("Attribute '")
            && message.contains("is not allowed")
            && message
                .split('\'')
                .nth(1)
                .is_some_and(|name| self.group_attributes.contains(name))
    }

    fn leaves_first(&self, ns: &str, seen: &mut BTreeSet<String>, order: &mut Vec<usize>) {
        let Some(&index) = self.by_namespace.get(ns) else {
            return;
        };
        if !seen.insert(ns.to_owned()) {
            return;
        }
        let mut imports = Vec::new();
        self.all_imports(index, &mut BTreeSet::new(), &mut imports);
        for import in imports {
            self.leaves_first(&import, seen, order);
        }
        order.push(index);
    }

    fn all_imports(&self, index: usize, seen: &mut BTreeSet<usize>, out: &mut Vec<String>) {
        if !seen.insert(index) {
            return;
        }
        if let Some(file) = self.files.get(index) {
            out.extend(file.imports.iter().cloned());
            for include in &file.includes {
                self.all_imports(*include, seen, out);
            }
        }
    }

    fn validator(&self, order: Vec<usize>) -> Arc<Compiled> {
        let mut cache = self
            .compiled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ready) = cache.get(&order) {
            return ready.clone();
        }
        let compiled = Arc::new(match self.compile(&order) {
            Ok(v) => Compiled::Ready(Box::new(v)),
            Err(reason) => Compiled::Broken(reason),
        });
        if cache.len() >= MAX_COMPILED {
            cache.clear();
        }
        cache.insert(order, compiled.clone());
        compiled
    }

    fn compile(&self, order: &[usize]) -> Result<XsdValidator, String> {
        let mut wrapper = format!(
            "<xs:schema xmlns:xs=\"{XSD_NS}\" targetNamespace=\"urn:helsenav:all\" version=\"1\">\n"
        );
        for index in order {
            if let Some(file) = self.files.get(*index) {
                let _ = writeln!(
                    wrapper,
                    "<xs:import namespace=\"{}\" schemaLocation=\"{}\"/>",
                    escaped(&file.namespace),
                    copy_name(*index)
                );
            }
        }
        wrapper.push_str("</xs:schema>");
        let doc = uppsala::parse(&wrapper).map_err(|e| e.to_string())?;
        let mut validator =
            XsdValidator::from_schema_with_base_path(&doc, Some(self.folder.path()))
                .map_err(|e| self.with_paths(&e.to_string()))?;
        // Spaces in anyURI (telephone numbers) are accepted by libxml2 and so by the sector.
        validator.set_lenient(true);
        Ok(validator)
    }

    /// Names of the copies mean nothing to a reader: back to the operator's own paths.
    fn with_paths(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (i, f) in self.files.iter().enumerate() {
            out = out.replace(&copy_name(i), &f.path.display().to_string());
        }
        out
    }

    fn choose(&mut self, choice: Option<&[u8]>, start: usize) {
        let listed: BTreeMap<String, String> = choice
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .unwrap_or_default();
        for (index, file) in self.files.iter().enumerate().skip(start) {
            let preferred = listed
                .get(&file.namespace)
                .is_some_and(|p| file.path.ends_with(p));
            let ours = self
                .by_namespace
                .get(&file.namespace)
                .is_some_and(|i| *i >= start);
            if !self.by_namespace.contains_key(&file.namespace) || (preferred && ours) {
                self.by_namespace.insert(file.namespace.clone(), index);
            }
        }
    }

    /// `xs:include` stays inside one namespace, so it is resolved by path, and only to files that were read.
    fn link_includes(&mut self) {
        let by_path: HashMap<PathBuf, usize> = self
            .files
            .iter()
            .enumerate()
            .map(|(i, f)| (f.path.clone(), i))
            .collect();
        let links: Vec<Vec<usize>> = self
            .files
            .iter()
            .map(|f| {
                locations(&f.text, &["include", "redefine"])
                    .into_iter()
                    .filter_map(|l| by_path.get(&resolve(&f.path, &l.value)).copied())
                    .collect()
            })
            .collect();
        for (file, includes) in self.files.iter_mut().zip(links) {
            file.includes = includes;
        }
    }

    fn write_copies(&self) -> std::io::Result<()> {
        let by_path: HashMap<&Path, usize> = self
            .files
            .iter()
            .enumerate()
            .map(|(i, f)| (f.path.as_path(), i))
            .collect();
        for (index, file) in self.files.iter().enumerate() {
            let mut text = file.text.clone();
            let mut edits: Vec<(std::ops::Range<usize>, String)> = unions(&file.text);
            for edit in locations(&file.text, &["import", "include", "redefine"]) {
                let target = if edit.is_import {
                    self.by_namespace.get(&edit.namespace).copied()
                } else {
                    by_path
                        .get(resolve(&file.path, &edit.value).as_path())
                        .copied()
                };
                let attribute = target
                    .map(|t| format!(" schemaLocation=\"{}\"", copy_name(t)))
                    .unwrap_or_default();
                edits.push((edit.at, attribute));
            }
            edits.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
            for (at, new) in edits {
                text.replace_range(at, &new);
            }
            std::fs::write(self.folder.path().join(copy_name(index)), text)?;
        }
        Ok(())
    }
}

/// A `schemaLocation`, or the place where one belongs.
struct Location {
    is_import: bool,
    namespace: String,
    value: String,
    at: std::ops::Range<usize>,
}

fn options<'a>() -> roxmltree::ParsingOptions<'a> {
    // Schemas come from the operator, and W3C's own carry a DOCTYPE.
    roxmltree::ParsingOptions {
        allow_dtd: true,
        nodes_limit: 500_000,
        ..roxmltree::ParsingOptions::default()
    }
}

fn locations(text: &str, names: &[&str]) -> Vec<Location> {
    let Ok(doc) = roxmltree::Document::parse_with_options(text, options()) else {
        return Vec::new();
    };
    doc.root_element()
        .children()
        .filter(|c| {
            c.tag_name().namespace() == Some(XSD_NS) && names.contains(&c.tag_name().name())
        })
        .map(|c| {
            let attribute = c.attribute_node("schemaLocation");
            let at = match &attribute {
                // With the space before it, so that an edit may also remove it.
                Some(a) => a.range().start.saturating_sub(1)..a.range().end,
                None => {
                    let tag = text.get(c.range()).unwrap_or_default();
                    let end = tag
                        .find(|ch: char| ch.is_whitespace() || ch == '/' || ch == '>')
                        .unwrap_or(0);
                    c.range().start + end..c.range().start + end
                }
            };
            Location {
                is_import: c.tag_name().name() == "import",
                namespace: c.attribute("namespace").unwrap_or_default().to_owned(),
                value: attribute.map(|a| a.value().to_owned()).unwrap_or_default(),
                at,
            }
        })
        .collect()
}

/// Lexical patterns of the types that the national schemas unite.
fn pattern(builtin: &str) -> Option<String> {
    const ZONE: &str = r"(Z|[+\-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))?";
    const YEAR: &str = "-?([1-9][0-9]{3,}|0[0-9]{3})";
    const DAY: &str = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))";
    const TIME: &str = r"(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?|24:00:00(\.0+)?)";
    Some(match builtin {
        "dateTime" => format!("{YEAR}-{DAY}T{TIME}{ZONE}"),
        "date" => format!("{YEAR}-{DAY}{ZONE}"),
        "time" => format!("{TIME}{ZONE}"),
        "gYear" => format!("{YEAR}{ZONE}"),
        "gYearMonth" => format!("{YEAR}-(0[1-9]|1[0-2]){ZONE}"),
        _ => return None,
    })
}

/// `xs:union` of built-in time types → a pattern, since the library takes any text for a union.
fn unions(text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let Ok(doc) = roxmltree::Document::parse_with_options(text, options()) else {
        return Vec::new();
    };
    doc.descendants()
        .filter(|n| n.tag_name().namespace() == Some(XSD_NS) && n.tag_name().name() == "union")
        .filter_map(|n| {
            let members = n.attribute("memberTypes")?.split_whitespace();
            let local = members.map(|m| m.rsplit(':').next().unwrap_or(m));
            let patterns: Vec<String> = local.map(pattern).collect::<Option<_>>()?;
            let prefix = n.lookup_prefix(XSD_NS).map(|p| format!("{p}:")).unwrap_or_default();
            let all = patterns.join("|");
            let new = format!(
                "<{prefix}restriction base=\"{prefix}token\"><{prefix}pattern value=\"{all}\"/></{prefix}restriction>"
            );
            Some((n.range(), new))
        })
        .collect()
}

fn group_attributes(text: &str) -> Vec<String> {
    let Ok(doc) = roxmltree::Document::parse_with_options(text, options()) else {
        return Vec::new();
    };
    doc.root_element()
        .children()
        .filter(|c| c.tag_name().name() == "attributeGroup")
        .flat_map(|g| g.children())
        .filter_map(|a| a.attribute("name").map(str::to_owned))
        .collect()
}

fn find(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if depth > MAX_FOLDER_DEPTH {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            find(&path, depth + 1, out)?;
        } else if kind.is_file()
            && path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("xsd"))
            && out.len() < MAX_FILES
        {
            out.push(path);
        }
    }
    Ok(())
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SchemaError + use<> {
    let path = path.to_path_buf();
    move |source| SchemaError::Io { path, source }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if meta.len() > MAX_FILE_BYTES {
        return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}

fn read_schema(path: &Path, bytes: &[u8]) -> Result<SchemaFile, String> {
    let (text, _) = decode(bytes).map_err(|e| e.to_string())?;
    // The copies are UTF-8, so a declaration that says otherwise must go.
    let text = match text.trim_start().strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, t)| t),
        None => &text,
    }
    .trim_start()
    .to_owned();
    let namespace = target_namespace(&text)?;
    let imports = locations(&text, &["import"])
        .into_iter()
        .map(|l| l.namespace)
        .collect();
    Ok(SchemaFile {
        path: path.to_path_buf(),
        namespace,
        imports,
        includes: Vec::new(),
        text,
    })
}

fn target_namespace(text: &str) -> Result<String, String> {
    let doc =
        roxmltree::Document::parse_with_options(text, options()).map_err(|e| e.to_string())?;
    let root = doc.root_element();
    if root.tag_name().namespace() != Some(XSD_NS) || root.tag_name().name() != "schema" {
        return Err("not an XML schema".to_owned());
    }
    match root.attribute("targetNamespace") {
        Some(XSD_NS) => Err("the schema of schemas".to_owned()),
        Some(namespace) => Ok(namespace.to_owned()),
        None => Err("no target namespace".to_owned()),
    }
}

/// A location relative to a file, without touching the disk.
fn resolve(file: &Path, location: &str) -> PathBuf {
    let mut out = file.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in location.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            _ => out.push(part),
        }
    }
    out
}

fn copy_name(index: usize) -> String {
    format!("schema-{index}.xsd")
}

/// Keeps quoted names of elements, attributes and types; removes every other quoted text, which may be a value.
fn without_values(message: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut keep = false;
    for part in message.split('\'') {
        if quoted {
            if keep && part.len() <= 120 {
                let _ = write!(out, "'{part}'");
            } else {
                out.push_str("'…'");
            }
        } else {
            let word = part
                .trim_end()
                .rsplit(' ')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            keep = matches!(
                word.as_str(),
                "element" | "attribute" | "reference" | "type" | "for" | "xsi:type" | "namespace"
            );
            out.push_str(part);
        }
        quoted = !quoted;
    }
    out.chars().take(300).collect()
}

/// The place of a fault as the tree knows it.
pub fn place(doc: &XmlDoc, fault: &SchemaFault) -> (String, At) {
    doc.locate(fault.line, fault.column)
}

#[cfg(test)]
mod tests;
