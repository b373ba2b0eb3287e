//! Text on its way into XML.

use super::names::is_char;

/// Text fit for content and for attributes in double quotes: markup is escaped, white space becomes a plain space (an attribute would
/// lose it otherwise, and so would a canonical form of it), and a character that XML cannot carry becomes `?`, so that something was there
/// stays visible.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if is_char(c) => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Document;
    use proptest::prelude::*;

    #[test]
    fn markup_and_what_xml_cannot_carry_are_no_markup_any_more() {
        let table = [
            ("a<b>&\"c'", "a&lt;b&gt;&amp;&quot;c'"),
            ("a\tb\r\nc", "a b  c"),
            ("\0\u{b}\u{1f}\u{fffe}\u{ffff}", "?????"),
            ("blåbær 😀 \u{7f}", "blåbær 😀 \u{7f}"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_can_be_read_back(text in any::<String>()) {
            let shown: String = text
                .chars()
                .map(|c| match c {
                    '\t' | '\n' | '\r' => ' ',
                    c if is_char(c) => c,
                    _ => '?',
                })
                .collect();
            let xml = format!("<a b=\"{0}\">{0}</a>", escaped(&text));
            let document = Document::parse(&xml).unwrap();
            let root = document.root();
            prop_assert_eq!(document.text(root), shown.as_str());
            prop_assert_eq!(document.attribute(root, "", "b"), Some(shown.as_str()));
        }
    }
}
