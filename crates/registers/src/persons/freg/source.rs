//! Items of a file: one document on each line, as JSON or XML, or one XML file with all of them inside.

use super::birth::{self, BirthNotice};
use super::event::{self, Event};
use super::tree::{MAX_DOCUMENT_BYTES, Tree};
use super::{Wrong, date, nin, person};
use crate::kernel::identifiers::Packed;
use crate::persons::PersonDocument;
use jiff::civil::Date;
use std::io::{self, BufRead, Read};

/// An XML file that is not one document on each line is read as a whole, up to this size.
pub const MAX_WHOLE_BYTES: u64 = 64 << 20;

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A whole person.
    Person(Box<PersonDocument>),
    /// An event with its number in the feed.
    Event(u64, Box<Event>),
    /// A notice of birth.
    Birth(Box<BirthNotice>),
    /// A notice of death.
    Death(Packed, Date),
}

/// Why an item could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// One item.
    #[error("item {place}: {wrong}")]
    Item {
        /// Which, from 1: the line, or the place within the file.
        place: u64,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// Items of an input, in order.
pub struct Items<R> {
    input: Input<R>,
    place: u64,
}

enum Input<R> {
    Lines(R),
    Whole(std::vec::IntoIter<(String, Tree)>),
    Broken,
}

impl<R: BufRead> Items<R> {
    /// Looks at the beginning to know the form.
    ///
    /// # Errors
    /// When it cannot be read, or is an XML file that is not well-formed.
    pub fn open(mut input: R) -> Result<Self, SourceError> {
        let first = loop {
            let buffer = input.fill_buf()?;
            match buffer.first() {
                Some(b) if b.is_ascii_whitespace() => input.consume(1),
                other => break other.copied(),
            }
        };
        let is_whole = first == Some(b'<') && !has_whole_first_line(input.fill_buf()?);
        let input = if is_whole {
            let mut text = String::new();
            let read = input.take(MAX_WHOLE_BYTES + 1).read_to_string(&mut text)?;
            let wrong = |wrong| SourceError::Item { place: 1, wrong };
            if u64::try_from(read).unwrap_or(u64::MAX) > MAX_WHOLE_BYTES {
                return Err(wrong(Wrong::TooMuch(
                    "64 MiB in one XML document; write one document on each line",
                )));
            }
            let all = Tree::within_xml(&text, is_known).map_err(wrong)?;
            Input::Whole(all.into_iter())
        } else {
            Input::Lines(input)
        };
        Ok(Self { input, place: 0 })
    }
}

/// Whether the first line is a document of its own: the file has one on each line then.
fn has_whole_first_line(buffer: &[u8]) -> bool {
    let line = match buffer.iter().position(|b| *b == b'\n') {
        Some(end) => buffer.get(..end).unwrap_or_default(),
        None => return false,
    };
    let text = std::str::from_utf8(line).unwrap_or_default();
    Tree::of_xml(text).is_ok_and(|(name, _)| is_known(&name))
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "folkeregisterperson"
            | "dokumentForHendelse"
            | "meldingOmDoedsfall"
            | "foedselsmelding"
            | "feedhendelse"
    )
}

impl<R: BufRead> Iterator for Items<R> {
    type Item = Result<(u64, Item), SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.input {
            Input::Broken => return None,
            Input::Whole(all) => {
                let (name, tree) = all.next()?;
                self.place += 1;
                of_tree(&name, &tree)
            }
            Input::Lines(input) => loop {
                let mut line = String::new();
                let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX) + 1;
                let read = match input.by_ref().take(most).read_line(&mut line) {
                    Ok(read) => read,
                    Err(error) => {
                        self.input = Input::Broken;
                        return Some(Err(error.into()));
                    }
                };
                if read == 0 {
                    return None;
                }
                self.place += 1;
                if read > MAX_DOCUMENT_BYTES {
                    self.input = Input::Broken;
                    return Some(Err(SourceError::Item {
                        place: self.place,
                        wrong: Wrong::TooMuch("4 MiB in one document"),
                    }));
                }
                let text = line.trim();
                if !text.is_empty() {
                    break of_text(text);
                }
            },
        };
        let place = self.place;
        Some(match item {
            Ok(item) => Ok((place, item)),
            Err(wrong) => Err(SourceError::Item { place, wrong }),
        })
    }
}

/// An item by itself: JSON, or XML.
///
/// # Errors
/// What is wrong with it.
pub fn of_text(text: &str) -> Result<Item, Wrong> {
    if text.starts_with('<') {
        let (name, tree) = Tree::of_xml(text)?;
        return of_tree(&name, &tree);
    }
    let tree = Tree::of_json(text)?;
    let known = |name: &&str| tree.one(name).is_some();
    let name = if known(&"sekvensnummer") {
        "feedhendelse"
    } else if known(&"identifikasjonsnummer") {
        "folkeregisterperson"
    } else {
        // An object with the document as its only member.
        let mut members = tree.members();
        return match (members.next(), members.next()) {
            (Some((name, inner)), None) => of_tree(name, inner),
            _ => Err(Wrong::Unknown),
        };
    };
    of_tree(name, &tree)
}

fn of_tree(name: &str, tree: &Tree) -> Result<Item, Wrong> {
    match name {
        "folkeregisterperson" => Ok(Item::Person(Box::new(person::read(tree)?))),
        "feedhendelse" => feed_entry(tree),
        "meldingOmDoedsfall" => death(tree),
        "dokumentForHendelse" => Err(Wrong::Unnumbered),
        "foedselsmelding" => Ok(Item::Birth(Box::new(birth::read(tree)?))),
        _ => Err(Wrong::Unknown),
    }
}

/// `{sekvensnummer, hendelse: {…, hendelsesdokument}}` with the event document itself in place of its id: as an object, as
/// the text of its XML, or (XML) as `dokumentForHendelse` beside the number.
fn feed_entry(tree: &Tree) -> Result<Item, Wrong> {
    let number: u64 =
        super::number(tree, "sekvensnummer")?.ok_or(Wrong::Missing("sekvensnummer"))?;
    if number == 0 {
        return Err(Wrong::Value("sekvensnummer"));
    }
    let document = tree.one("dokumentForHendelse").or_else(|| {
        let entry = tree.one("hendelse")?;
        entry.one("hendelsesdokument")
    });
    let document = document.ok_or(Wrong::Missing("hendelsesdokument"))?;
    let event = match document.as_text() {
        Some(xml) if xml.starts_with('<') => {
            let (name, tree) = Tree::of_xml(xml)?;
            if name != "dokumentForHendelse" {
                return Err(Wrong::Value("hendelsesdokument"));
            }
            event::read(&tree)?
        }
        Some(_) => return Err(Wrong::Value("hendelsesdokument")),
        None => event::read(document.one("dokumentForHendelse").unwrap_or(document))?,
    };
    Ok(Item::Event(number, Box::new(event)))
}

fn death(tree: &Tree) -> Result<Item, Wrong> {
    let dead = tree
        .one("forespoersel")
        .and_then(|f| f.one("doedPerson"))
        .ok_or(Wrong::Missing("doedPerson"))?;
    let number = nin(dead, "foedselsnummer")?.ok_or(Wrong::Missing("foedselsnummer"))?;
    let day = date(dead, "doedsdato")?.ok_or(Wrong::Missing("doedsdato"))?;
    Ok(Item::Death(number, day))
}
