use proptest::prelude::*;

use super::*;

fn headers(text: &str) -> Headers {
    Headers::read(text.as_bytes(), &Limits::default())
        .unwrap()
        .0
}

#[test]
fn fields_are_unfolded_and_found_whatever_their_case() {
    let read = headers(
        "SOAPACTION: \"ebxml\"\r\nContent-Type: multipart/related;\r\n\ttype=\"text/xml\";\r\n start=\"<a;b>\"; boundary=x;\r\n\r\nbody",
    );
    assert_eq!(read.get("soapaction"), Some("\"ebxml\""));
    let kind = read.content_type().unwrap();
    assert_eq!(kind.kind, "multipart/related");
    assert_eq!(kind.parameter("start"), Some("<a;b>"));
    assert_eq!(kind.parameter("boundary"), Some("x"));
}

#[test]
fn addresses_are_taken_out_of_mailboxes() {
    let table = [
        ("a@b.no", Some("a@b.no")),
        ("\"Om, Sorg\" <A@B.no>", Some("a@b.no")),
        ("mailto:a@b", Some("a@b")),
        ("nobody", None),
        ("<a@b@c>", None),
        ("a@b\u{7f}", None),
        ("<a@b", None),
        ("a b@c", None),
    ];
    for (text, expected) in table {
        let read = Headers::from_fields([("From", text)]);
        assert_eq!(read.address("from").as_deref(), expected, "{text:?}");
    }
}

#[test]
fn bad_fields_are_refused() {
    for text in [
        "no colon\r\n\r\n",
        ": x\r\n\r\n",
        " first\r\n\r\n",
        "a b: x\r\n\r\n",
        "a: \0\r\n\r\n",
    ] {
        let read = Headers::read(text.as_bytes(), &Limits::default());
        assert!(matches!(read, Err(MimeError::Header(_))), "{text:?}");
    }
    let many = "a: b\r\n".repeat(201);
    assert!(Headers::read(many.as_bytes(), &Limits::default()).is_err());
    let long = format!("a: {}\r\n", "x".repeat(65_536));
    assert!(Headers::read(long.as_bytes(), &Limits::default()).is_err());
}

#[test]
fn content_types_are_strict_where_it_matters() {
    for text in [
        "",
        "text",
        "text/",
        "a/b; x=\"open",
        "a/b; x=1; x=2",
        "a/b; x",
        "a/b; \"x\" y",
    ] {
        assert_eq!(ContentType::parse(text), None, "{text:?}");
    }
    let kind = ContentType::parse("Text/XML; charset=\"U\\TF-8\" ; ; q=").unwrap();
    assert_eq!(
        (kind.kind.as_str(), kind.parameter("charset")),
        ("text/xml", Some("UTF-8"))
    );
}

#[test]
fn comments_and_pieces_say_nothing_else() {
    let whole = ContentType::parse("multipart/related; boundary=\"a(b\\\")c\"; type=\"text/xml\"");
    for same in [
        "multipart/related (see (RFC 2387)\\)); boundary=\"a(b\\\")c\" (b); type=text/xml(t)",
        "Multipart/Related; boundary*0=\"a(b\"; boundary*1=\"\\\")c\"; type=\"text/xml\"",
        "multipart/related; boundary*1*=%22%29c; boundary*0*=us-ascii'en'a%28b; type*=''text%2Fxml",
    ] {
        let read = ContentType::parse(same).unwrap();
        for name in ["boundary", "type"] {
            let expected = whole.as_ref().unwrap().parameter(name);
            assert_eq!(read.parameter(name), expected, "{same}");
        }
    }
    let read = ContentType::parse("a/b; x=1; x*=''2; y*1=z; z*0*=%zz%4").unwrap();
    assert_eq!(
        ["x", "y", "z"].map(|name| read.parameter(name)),
        [Some("1"), Some(""), Some("%zz%4")]
    );
    assert_eq!(ContentType::parse("(never closed; text/xml"), None);
    assert_eq!(
        Encoding::parse("base64 (of course)"),
        Some(Encoding::Base64)
    );
}

#[test]
fn parts_end_before_the_line_end_of_the_delimiter() {
    let body =
        b"preamble\r\n--b\r\nA: 1\r\n\r\none\r\n\r\n--b  \r\n\r\ntwo\n--bb\r\n--b--\r\nepilogue";
    let parts = split(body, "b", &Limits::default()).unwrap();
    let parts: Vec<Part> = parts
        .into_iter()
        .map(|part| Part::read(part, &Limits::default()).unwrap())
        .collect();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].content, b"one\r\n");
    assert_eq!(parts[1].content, b"two\n--bb");
}

#[test]
fn what_was_cut_off_nested_or_has_too_many_parts_is_refused() {
    let limits = Limits::default();
    assert!(split(b"--b\r\n\r\nx\r\n", "b", &limits).is_err());
    assert!(split(b"", "b", &limits).is_err());
    assert!(split(b"--\r\n----\r\n", "", &limits).is_err());
    let many = format!("{}--b--\r\n", "--b\r\n\r\nx\r\n".repeat(40));
    assert!(split(many.as_bytes(), "b", &limits).is_err());
    let nested = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n";
    assert!(Part::read(nested, &limits).is_err());
    let strange = b"Content-Transfer-Encoding: uuencode\r\n\r\nx";
    assert!(Part::read(strange, &limits).is_err());
}

#[test]
fn encodings_are_undone() {
    assert_eq!(decode_base64(b"aGVp\r\n").unwrap(), b"hei");
    assert!(decode_base64(b"aGV!").is_err());
    assert_eq!(
        decode_quoted_printable(b"a=3D=\r\nb  \r\nc=C3=B8 =\r\n").unwrap(),
        "a=b\r\ncø ".as_bytes()
    );
    for text in ["=4", "=zz", "=\u{e6}"] {
        assert!(
            decode_quoted_printable(text.as_bytes()).is_err(),
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_from_the_network_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), boundary in "[ab-]{0,3}") {
        let limits = Limits::default();
        let _ = Headers::read(&bytes, &limits);
        let _ = Part::read(&bytes, &limits);
        let _ = split(&bytes, &boundary, &limits);
        let _ = decode_quoted_printable(&bytes);
        let _ = ContentType::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn parameters_in_any_shape_do_not_panic(text in "a/b(; [a-c]\\*?[0-2]?\\*?=[\"'%()\\\\a0]{0,6}){0,5}") {
        let _ = ContentType::parse(&text);
    }

    #[test]
    fn lines_that_look_like_mime_do_not_panic(lines in proptest::collection::vec("(--b(--)?|Content-Type: [a-z/;=\" ]{0,20}|[A-Z]: x| y||=[0-9A-F]{0,2})", 0..20)) {
        let text = lines.join("\r\n");
        let limits = Limits::default();
        if let Ok(parts) = split(text.as_bytes(), "b", &limits) {
            for part in parts {
                let _ = Part::read(part, &limits);
            }
        }
    }

    #[test]
    fn base64_comes_back(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let lines = base64_lines(&content);
        prop_assert!(lines.lines().all(|line| line.len() <= 76));
        prop_assert_eq!(decode_base64(lines.as_bytes()).unwrap(), content);
    }
}
