//! What narrative may hold (R4 narrative: a passive subset of XHTML).

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

const TAGS: [&str; 49] = [
    "a",
    "abbr",
    "acronym",
    "b",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
];

const ATTRIBUTES: [&str; 31] = [
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellhalign",
    "cellpadding",
    "cellspacing",
    "cellvalign",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "colspan",
    "compact",
    "coords",
    "dir",
    "frame",
    "headers",
    "height",
    "href",
    "id",
    "lang",
    "name",
    "rowspan",
    "src",
    "style",
    "title",
];

const MORE: [&str; 12] = [
    "rel", "rev", "rules", "scope", "shape", "span", "start", "summary", "tabindex", "type",
    "valign", "width",
];

/// Whether a narrative says something: text other than blanks, or an image (rule txt-2).
pub fn narrative_has_content(text: &str) -> bool {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event() {
            Err(_) | Ok(Event::Eof) => return false,
            Ok(Event::Start(e) | Event::Empty(e)) => {
                let name = e.name();
                let name: &str = name.as_ref();
                if name == "img" {
                    return true;
                }
            }
            Ok(Event::Text(t)) => {
                if !t.chars().all(char::is_whitespace) {
                    return true;
                }
            }
            Ok(Event::GeneralRef(_) | Event::CData(_)) => return true,
            Ok(_) => {}
        }
    }
}

/// Whether a narrative `div` is well formed and passive: known elements and attributes, no scripts, no event handlers,
/// images only as data or relative references, links without script schemes.
pub fn narrative_ok(text: &str) -> bool {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let (mut depth, mut roots) = (0usize, 0usize);
    loop {
        match reader.read_event() {
            Err(_) => return false,
            Ok(Event::Eof) => return depth == 0 && roots == 1,
            Ok(Event::DocType(_) | Event::PI(_) | Event::Decl(_)) => return false,
            Ok(Event::Start(e)) => {
                if !tag_ok(&e, depth) || depth > 100 {
                    return false;
                }
                roots += usize::from(depth == 0);
                depth += 1;
            }
            Ok(Event::Empty(e)) => {
                if !tag_ok(&e, depth) {
                    return false;
                }
                roots += usize::from(depth == 0);
            }
            Ok(Event::End(_)) => {
                let Some(d) = depth.checked_sub(1) else {
                    return false;
                };
                depth = d;
            }
            Ok(Event::Text(t)) => {
                if depth == 0 && !t.bytes().all(|b| b.is_ascii_whitespace()) {
                    return false;
                }
            }
            Ok(_) => {}
        }
    }
}

fn tag_ok(e: &BytesStart<'_>, depth: usize) -> bool {
    let name = e.name();
    let tag: &str = name.as_ref();
    if !TAGS.contains(&tag) || (depth == 0 && tag != "div") {
        return false;
    }
    e.attributes().all(|a| {
        let Ok(a) = a else { return false };
        let key: &str = a.key.as_ref();
        let value = a.value.trim().to_ascii_lowercase();
        if key == "xmlns" || key.starts_with("xmlns:") || key == "xml:lang" || key == "xml:space" {
            return true;
        }
        if !ATTRIBUTES.contains(&key)
            && !MORE.contains(&key)
            && key != "nowrap"
            && key != "hspace"
            && key != "vspace"
            && key != "usemap"
            && key != "longdesc"
        {
            return false;
        }
        match key {
            "src" => value.starts_with("data:image/") || !value.contains(':'),
            "href" => {
                !value.starts_with("javascript:")
                    && !value.starts_with("data:")
                    && !value.starts_with("vbscript:")
            }
            _ => true,
        }
    })
}
