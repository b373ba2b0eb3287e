use super::*;

fn kind(bytes: &[u8]) -> XmlErrorKind {
    XmlDoc::parse(bytes).unwrap_err().kind
}

#[test]
fn encodings_are_read_by_mark_then_declaration() {
    let text = "<?xml version=\"1.0\" encoding=\"X\"?><a>Blåbær</a>";
    let named = |name: &str| text.replace("\"X\"", &format!("\"{name}\""));
    let latin: Vec<u8> = named("ISO-8859-1")
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    let utf16 = |le: bool| -> Vec<u8> {
        let mark = if le { [0xff, 0xfe] } else { [0xfe, 0xff] };
        let units = named("UTF-16");
        let units = units
            .encode_utf16()
            .flat_map(|u| if le { u.to_le_bytes() } else { u.to_be_bytes() });
        mark.into_iter().chain(units).collect()
    };
    let marked: Vec<u8> = b"\xef\xbb\xbf"
        .iter()
        .copied()
        .chain(named("utf-8").into_bytes())
        .collect();
    for (bytes, want) in [
        (named("UTF-8").into_bytes(), Encoding::Utf8),
        (marked, Encoding::Utf8),
        ("<a>Blåbær</a>".as_bytes().to_vec(), Encoding::Utf8),
        (latin, Encoding::Latin1),
        (utf16(true), Encoding::Utf16Le),
        (utf16(false), Encoding::Utf16Be),
    ] {
        let doc = XmlDoc::parse(&bytes).unwrap();
        assert_eq!((doc.encoding, doc.root.text().as_str()), (want, "Blåbær"));
    }
    let mut cp = named("windows-1252").replace("Blåbær", "@").into_bytes();
    let at = cp.iter().position(|b| *b == b'@').unwrap();
    cp[at] = 0x80;
    assert_eq!(XmlDoc::parse(&cp).unwrap().root.text(), "€");
    assert_eq!(kind(&named("EBCDIC").into_bytes()), XmlErrorKind::Encoding);
    let broken = XmlDoc::parse(b"<a>\n  \xe6</a>").unwrap_err();
    assert_eq!(
        (broken.kind, broken.line, broken.column),
        (XmlErrorKind::Encoding, 2, 3)
    );
}

#[test]
fn every_element_knows_its_place() {
    let doc = XmlDoc::parse("<a>\n  <b/><æ x='1'>\n\t<c>é</c><b/></æ></a>".as_bytes()).unwrap();
    let mut seen = Vec::new();
    doc.root
        .walk(&mut |e| seen.push(format!("{}:{} {}", e.at.line, e.at.column, doc.path(e.at))));
    assert_eq!(
        seen,
        [
            "1:1 /a",
            "2:3 /a/b",
            "2:7 /a/æ",
            "3:2 /a/æ/c",
            "3:10 /a/æ/b"
        ]
    );
    assert_eq!(doc.slice(doc.root.child("b").unwrap().at), "<b/>");
    assert_eq!(doc.locate(3, 5).0, "/a/æ/c");
    let twice = XmlDoc::parse(b"<a><b/><b><c/></b></a>").unwrap();
    let c = twice.root.all("b").nth(1).unwrap().child("c").unwrap();
    assert_eq!(twice.path(c.at), "/a/b[2]/c");
}

#[test]
fn what_is_not_xml_is_told_with_its_place() {
    let rows: &[(&str, XmlErrorKind)] = &[
        ("", XmlErrorKind::NotWellFormed),
        ("tekst", XmlErrorKind::NotWellFormed),
        ("<a", XmlErrorKind::NotWellFormed),
        ("<a></b>", XmlErrorKind::NotWellFormed),
        ("<a x='1' x='2'/>", XmlErrorKind::NotWellFormed),
        ("<p:a/>", XmlErrorKind::NotWellFormed),
        ("<a>&nbsp;</a>", XmlErrorKind::NotWellFormed),
        ("<a>\u{1}</a>", XmlErrorKind::NotWellFormed),
        ("<a/><b/>", XmlErrorKind::NotWellFormed),
        ("<!DOCTYPE a><a/>", XmlErrorKind::Forbidden),
        ("<a/><!DOCTYPE a>", XmlErrorKind::Forbidden),
        ("<a><!ENTITY x 'y'></a>", XmlErrorKind::Forbidden),
    ];
    for (text, want) in rows {
        assert_eq!(kind(text.as_bytes()), *want, "{text:?}");
    }
    assert!(XmlDoc::parse(b"<a><!-- <!DOCTYPE x> --><![CDATA[<!DOCTYPE y>]]></a>").is_ok());
}

#[test]
fn limits_hold_and_cost_little() {
    let limits = Limits {
        max_depth: 5,
        max_nodes: 50,
        max_attributes: 4,
        max_namespaces: 3,
        ..Limits::default()
    };
    let ok = |t: &str| {
        XmlDoc::parse_with(t.as_bytes(), &limits)
            .map(|_| ())
            .map_err(|e| e.kind)
    };
    assert_eq!(
        ok(&format!("{}{}", "<a>".repeat(5), "</a>".repeat(5))),
        Ok(())
    );
    assert_eq!(
        ok(&format!("{}{}", "<a>".repeat(6), "</a>".repeat(6))),
        Err(XmlErrorKind::TooLarge)
    );
    assert_eq!(
        ok(&format!("<a>{}</a>", "<b/>".repeat(60))),
        Err(XmlErrorKind::TooLarge)
    );
    assert_eq!(ok("<a b='' c='' d='' e=''/>"), Ok(()));
    assert_eq!(
        ok("<a b='' c='' d='' e='' f=''/>"),
        Err(XmlErrorKind::TooLarge)
    );
    assert_eq!(
        ok("<a xmlns:b='1' xmlns:c='2'><d xmlns:e='3' xmlns:f='4'/></a>"),
        Err(XmlErrorKind::TooLarge)
    );
    assert_eq!(
        ok("<a xmlns:b='1' xmlns:c='2'><d xmlns:e='3'/><d xmlns:e='3'/></a>"),
        Ok(())
    );
    let small = Limits {
        max_bytes: 3,
        ..limits
    };
    assert_eq!(
        XmlDoc::parse_with(b"<a/>", &small).unwrap_err().kind,
        XmlErrorKind::TooLarge
    );
    // The classic attacks at full size: what answers them step by step with everything before would not end here.
    let attributes: String = (0..400_000).map(|i| format!(" a{i}=''")).collect();
    assert_eq!(
        kind(format!("<a{attributes}/>").as_bytes()),
        XmlErrorKind::TooLarge
    );
    assert_eq!(
        kind("<a>".repeat(1_000_000).as_bytes()),
        XmlErrorKind::TooLarge
    );
    assert_eq!(
        kind("<a/>".repeat(1_000_000).as_bytes()),
        XmlErrorKind::TooLarge
    );
    let scopes: String = (0..199)
        .map(|i| format!(" xmlns:n{i}='u{i}'"))
        .collect::<Vec<_>>()
        .chunks(100)
        .map(|c| format!("<a{}>", c.concat()))
        .collect();
    let children = "<b xmlns='x'/>".repeat(200_000);
    assert_eq!(
        kind(format!("{scopes}{children}</a></a>").as_bytes()),
        XmlErrorKind::TooLarge
    );
}

#[test]
fn writing_escapes_and_declares() {
    let ns = Ns::from("urn:a");
    let fk1 = Ns::from(crate::fk1::NS);
    let mut root = Elem::new(&ns, "a").with_attr("x", "<\"&'\t\n>");
    root.attrs.push(Attr {
        ns: Ns::from("urn:b"),
        name: "y".into(),
        value: "1".into(),
    });
    let root = root
        .with_child(Elem::new(&ns, "b").with_text("a < b && c > d\u{1}\r"))
        .with_child(Elem::new(&fk1, "Id").with_text("7"))
        .with_child(Elem::new(&Ns::from(""), "none").with_child(Elem::new(&ns, "back")));
    let text = to_xml(&root);
    insta::assert_snapshot!(text);
    let again = XmlDoc::parse(text.as_bytes()).unwrap().root;
    assert_eq!(again.attr("x"), Some("<\"&'\t\n>"));
    assert_eq!(again.child("b").unwrap().text(), "a < b && c > d\u{fffd}\r");
    assert_eq!(&*again.child("Id").unwrap().ns, crate::fk1::NS);
    assert_eq!(
        &*again.child("none").unwrap().child("back").unwrap().ns,
        "urn:a"
    );
}
