//! The rules of the two specifications, each with an example of our own, and what must hold for any document.

use proptest::prelude::*;

use super::*;

fn exclusive(prefixes: &[&str]) -> Method {
    Method {
        scope: Scope::Exclusive(prefixes.iter().map(|p| (*p).to_owned()).collect()),
        comments: false,
    }
}

fn with_comments(mut method: Method) -> Method {
    method.comments = true;
    method
}

fn canonical(text: &str, method: &Method) -> String {
    let document = Document::parse(text).unwrap();
    let selection = Selection::all_of(NodeId::DOCUMENT);
    String::from_utf8(canonicalize(&document, &selection, method).unwrap()).unwrap()
}

/// The canonical form of the first element of this local name.
fn of_element(text: &str, local: &str, method: &Method) -> String {
    let document = Document::parse(text).unwrap();
    let apex = document
        .subtree(NodeId::DOCUMENT)
        .find(|node| {
            document
                .element(*node)
                .is_some_and(|e| *e.name.local == *local)
        })
        .unwrap();
    let octets = canonicalize(&document, &Selection::all_of(apex), method).unwrap();
    String::from_utf8(octets).unwrap()
}

#[test]
fn both_methods_write_markup_in_one_way() {
    let table = [
        // (what, document, canonical form without comments)
        ("empty elements", "<a/>", "<a></a>"),
        ("space in tags", "<a  b = 'c'\n></a >", "<a b=\"c\"></a>"),
        ("declaration", "<?xml version='1.0'?><a/>", "<a></a>"),
        ("line ends", "<a>\r\n\r</a>", "<a>\n\n</a>"),
        (
            "carriage return",
            "<a b='&#13;'>&#13;</a>",
            "<a b=\"&#xD;\">&#xD;</a>",
        ),
        (
            "CDATA",
            "<a><![CDATA[<&>\"]]></a>",
            "<a>&lt;&amp;&gt;\"</a>",
        ),
        ("references", "<a>&#65;&quot;&apos;</a>", "<a>A\"'</a>"),
        (
            "escapes in values",
            "<a b='&lt;&gt;&amp;&quot;&apos;&#9;&#10;\t'/>",
            "<a b=\"&lt;>&amp;&quot;'&#x9;&#xA; \"></a>",
        ),
        (
            "order of attributes",
            "<a xmlns:z='urn:a' xmlns:y='urn:b' y:a='1' z:b='2' z:a='3' b='4' a='5'/>",
            "<a xmlns:y=\"urn:b\" xmlns:z=\"urn:a\" a=\"5\" b=\"4\" z:a=\"3\" z:b=\"2\" y:a=\"1\"></a>",
        ),
        (
            "beside the root",
            "<?p  x ?>\n<!-- c --><a/>\n\n<?q?><!-- d -->",
            "<?p x ?>\n<a></a>\n<?q?>",
        ),
        (
            "instructions inside",
            "<a> <?p?> <?q  d?></a>",
            "<a> <?p?> <?q d?></a>",
        ),
        ("comments go", "<a>x<!-- c -->y</a>", "<a>xy</a>"),
        (
            "beyond ASCII",
            "<å ø='&#xe6;'>&#x1F600;</å>",
            "<å ø=\"æ\">😀</å>",
        ),
        (
            "redeclared",
            "<a xmlns='urn:d'><b xmlns='urn:d'/></a>",
            "<a xmlns=\"urn:d\"><b></b></a>",
        ),
        (
            "default namespace taken away",
            "<a xmlns='urn:d'><b xmlns=''><c xmlns=''/><d xmlns='urn:d'/></b></a>",
            "<a xmlns=\"urn:d\"><b xmlns=\"\"><c></c><d xmlns=\"urn:d\"></d></b></a>",
        ),
        ("nothing to take away", "<a xmlns=''/>", "<a></a>"),
    ];
    for (what, text, expected) in table {
        assert_eq!(canonical(text, &Method::INCLUSIVE), expected, "{what}");
        assert_eq!(
            canonical(text, &Method::EXCLUSIVE),
            expected,
            "{what}, exclusive"
        );
    }
}

#[test]
fn comments_are_kept_when_asked() {
    let text = "<!-- 1 --><a>x<!-- 2 -->y</a><!-- 3 -->";
    for method in [Method::INCLUSIVE, Method::EXCLUSIVE] {
        assert_eq!(
            canonical(text, &with_comments(method)),
            "<!-- 1 -->\n<a>x<!-- 2 -->y</a>\n<!-- 3 -->"
        );
    }
}

#[test]
fn inclusive_keeps_every_namespace_and_exclusive_the_used_ones() {
    let text =
        "<a:r xmlns:a='urn:a' xmlns:b='urn:b' xmlns='urn:d'><b:x><a:y/></b:x><b:x b:z=''/></a:r>";
    assert_eq!(
        canonical(text, &Method::INCLUSIVE),
        "<a:r xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:b=\"urn:b\"><b:x><a:y></a:y></b:x><b:x b:z=\"\"></b:x></a:r>"
    );
    assert_eq!(
        canonical(text, &Method::EXCLUSIVE),
        "<a:r xmlns:a=\"urn:a\"><b:x xmlns:b=\"urn:b\"><a:y></a:y></b:x><b:x xmlns:b=\"urn:b\" b:z=\"\"></b:x></a:r>"
    );
    assert_eq!(
        canonical(text, &exclusive(&["b"])),
        "<a:r xmlns:a=\"urn:a\" xmlns:b=\"urn:b\"><b:x><a:y></a:y></b:x><b:x b:z=\"\"></b:x></a:r>"
    );
    assert_eq!(
        canonical(text, &exclusive(&[""])),
        "<a:r xmlns=\"urn:d\" xmlns:a=\"urn:a\"><b:x xmlns:b=\"urn:b\"><a:y></a:y></b:x><b:x xmlns:b=\"urn:b\" b:z=\"\"></b:x></a:r>"
    );
}

#[test]
fn a_prefix_bound_anew_is_written_anew() {
    let text = "<p:a xmlns:p='urn:1'><p:b xmlns:p='urn:2'><p:c xmlns:p='urn:1'/></p:b><p:d/></p:a>";
    let expected = "<p:a xmlns:p=\"urn:1\"><p:b xmlns:p=\"urn:2\"><p:c xmlns:p=\"urn:1\"></p:c></p:b><p:d></p:d></p:a>";
    assert_eq!(canonical(text, &Method::INCLUSIVE), expected);
    assert_eq!(canonical(text, &Method::EXCLUSIVE), expected);
}

#[test]
fn an_inner_apex_takes_its_surroundings_along_only_inclusively() {
    let text = "<r xmlns='urn:d' xmlns:p='urn:p' xmlns:q='urn:q' xml:lang='no' xml:id='i'>\
                <m xml:space='preserve' xmlns:p='urn:p2'><e xml:lang='en' p:x='1'><f/></e></m></r>";
    assert_eq!(
        of_element(text, "e", &Method::INCLUSIVE),
        "<e xmlns=\"urn:d\" xmlns:p=\"urn:p2\" xmlns:q=\"urn:q\" xml:id=\"i\" xml:lang=\"en\" xml:space=\"preserve\" p:x=\"1\"><f></f></e>"
    );
    assert_eq!(
        of_element(text, "e", &Method::EXCLUSIVE),
        "<e xmlns=\"urn:d\" xmlns:p=\"urn:p2\" xml:lang=\"en\" p:x=\"1\"><f></f></e>"
    );
    assert_eq!(
        of_element(text, "e", &exclusive(&["q", "nothing"])),
        "<e xmlns=\"urn:d\" xmlns:p=\"urn:p2\" xmlns:q=\"urn:q\" xml:lang=\"en\" p:x=\"1\"><f></f></e>"
    );
    let text = "<r xmlns='urn:d'><m xmlns=''><e/></m></r>";
    for method in [Method::INCLUSIVE, Method::EXCLUSIVE] {
        assert_eq!(of_element(text, "e", &method), "<e></e>");
    }
}

#[test]
fn subtrees_can_be_left_out() {
    let document = Document::parse("<a><b><c/></b>x<d/>y<e><f/></e></a>").unwrap();
    let root = document.root();
    let elements: Vec<NodeId> = document.elements(root).collect();
    let mut selection = Selection::all_of(root);
    selection.leave_out(elements[2]);
    selection.leave_out(elements[0]);
    selection.leave_out(elements[0].next());
    selection.leave_out(elements[0]);
    let octets = canonicalize(&document, &selection, &Method::INCLUSIVE).unwrap();
    assert_eq!(String::from_utf8(octets).unwrap(), "<a>x<d></d>y</a>");
    assert!(selection.contains(&document, elements[1]));
    assert!(!selection.contains(&document, elements[0].next()));
    assert!(!selection.contains(&document, NodeId::DOCUMENT));
}

#[test]
fn what_has_no_canonical_form() {
    let document = Document::parse("<a xmlns='relative'>x</a>").unwrap();
    let of = |apex| canonicalize(&document, &Selection::all_of(apex), &Method::EXCLUSIVE);
    assert_eq!(of(document.root()), Err(C14nError::RelativeNamespace));
    assert_eq!(of(document.root().next()), Err(C14nError::NotAnElement));
}

#[test]
fn identifiers_both_ways() {
    for uri in [
        INCLUSIVE,
        INCLUSIVE_WITH_COMMENTS,
        EXCLUSIVE,
        EXCLUSIVE_WITH_COMMENTS,
    ] {
        assert_eq!(Method::from_uri(uri, None).unwrap().uri(), uri);
    }
    assert_eq!(
        Method::from_uri(EXCLUSIVE, Some(" a #default\nb ")).unwrap(),
        exclusive(&["a", "", "b"])
    );
    assert_eq!(
        Method::from_uri("http://www.w3.org/2006/12/xml-c14n11", None),
        None
    );
}

/// A well-formed document out of a row of choices.
pub(crate) fn grown(choices: &[u8]) -> String {
    let mut out = String::from("<r xmlns:p='urn:p' xmlns:q='urn:q'>");
    let mut open: Vec<&str> = Vec::new();
    for choice in choices {
        let tag = ["a", "p:b", "q:c", "b"][usize::from(choice >> 3) % 4];
        let more = [
            "",
            " xmlns='urn:d'",
            " xmlns=''",
            " xmlns:p='urn:p'",
            " xmlns:p='urn:z' p:x='&#10;\"'",
            " q:y='2' p:x='1' z='' xmlns:s='urn:s'",
            " xml:lang='no' q:x='ø'",
            " xmlns:q='urn:q2'",
        ][usize::from(choice >> 5)];
        match choice % 8 {
            0..=2 if open.len() < 12 => {
                out.push_str(&format!("<{tag}{more}>"));
                open.push(tag);
            }
            3 => out.push_str(&format!("<{tag}{more}/>")),
            4 => out.push_str("t&lt;\r\n&#13;<![CDATA[&]]>"),
            5 => out.push_str("<!-- c\t-->"),
            6 => out.push_str("<?pi some  data?>"),
            _ => {
                if let Some(tag) = open.pop() {
                    out.push_str(&format!("</{tag}>"));
                }
            }
        }
    }
    for tag in open.iter().rev() {
        out.push_str(&format!("</{tag}>"));
    }
    out + "</r><!-- after -->"
}

proptest! {
    /// The canonical form of a canonical form is itself, and it says the same as the document.
    #[test]
    fn canonical_once_is_canonical_for_ever(choices in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = grown(&choices);
        for method in [
            Method::INCLUSIVE,
            Method::EXCLUSIVE,
            with_comments(Method::INCLUSIVE),
            with_comments(Method::EXCLUSIVE),
            exclusive(&["p", ""]),
        ] {
            let once = canonical(&text, &method);
            prop_assert_eq!(&canonical(&once, &method), &once);
        }
        // Through the inclusive form the exclusive one is the same: nothing but superfluous declarations was lost.
        let inclusive = canonical(&text, &with_comments(Method::INCLUSIVE));
        prop_assert_eq!(
            canonical(&inclusive, &Method::EXCLUSIVE),
            canonical(&text, &Method::EXCLUSIVE)
        );
    }

    /// Every element's canonical form is a document of its own with the same exclusive form.
    #[test]
    fn an_element_can_stand_alone(choices in prop::collection::vec(any::<u8>(), 0..40), pick in any::<prop::sample::Index>()) {
        let text = grown(&choices);
        let document = Document::parse(&text).unwrap();
        let elements: Vec<NodeId> = document
            .subtree(NodeId::DOCUMENT)
            .filter(|node| document.element(*node).is_some())
            .collect();
        let selection = Selection::all_of(elements[pick.index(elements.len())]);
        let alone = String::from_utf8(canonicalize(&document, &selection, &Method::INCLUSIVE).unwrap()).unwrap();
        let exclusive = canonicalize(&document, &selection, &Method::EXCLUSIVE).unwrap();
        // Inherited xml: attributes stand on the inclusive form only.
        let has_inherited = alone.contains("xml:lang");
        if !has_inherited {
            prop_assert_eq!(canonical(&alone, &Method::EXCLUSIVE), String::from_utf8(exclusive).unwrap());
        }
    }
}
