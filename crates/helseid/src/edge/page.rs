//! The shell of every page: server-rendered, no script needed, locked down by its content security policy.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jose::encoding::random_b64url;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::set_cookie;
use super::texts::{LANGUAGE_COOKIE, LANGUAGE_S, Language};
use crate::Helseid;

const STYLE: &str = include_str!("page.css");

/// A page to be answered.
pub struct Page<'a> {
    pub status: StatusCode,
    /// Name of the issuer.
    pub brand: &'static str,
    pub language: Language,
    pub title: &'a str,
    pub body: Markup,
    /// Further origin that forms of this page may lead to: the browser also checks the redirect after a form.
    pub form_target: Option<String>,
    /// Script of the page, run by nonce.
    pub script: Option<&'static str>,
    /// Origins whose pages this one may frame: clients that are told of a logout by the browser.
    pub frames: Vec<String>,
    /// Where the browser goes on to by itself, after two seconds.
    pub onward: Option<String>,
    /// The one origin whose pages may frame this one; nobody's else.
    pub framed_by: Option<String>,
}

impl<'a> Page<'a> {
    /// An ordinary page.
    pub fn new(brand: &'static str, language: Language, title: &'a str, body: Markup) -> Self {
        Self {
            status: StatusCode::OK,
            brand,
            language,
            title,
            body,
            form_target: None,
            script: None,
            frames: Vec::new(),
            onward: None,
            framed_by: None,
        }
    }

    /// Renders the page.
    pub fn answer(self) -> Response<Body> {
        // Without randomness there is no nonce, and the page shows without style and script.
        let nonce = random_b64url::<16>().unwrap_or_default();
        let markup = html! {
            (DOCTYPE)
            html lang=(self.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    @if let Some(onward) = &self.onward {
                        meta http-equiv="refresh" content={ "2;url=" (onward) };
                    }
                    title { (self.title) " – " (self.brand) }
                    style nonce=(nonce) { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        (self.body)
                    }
                    @if let Some(script) = self.script {
                        script nonce=(nonce) { (PreEscaped(script)) }
                    }
                }
            }
        };
        let target = self.form_target.unwrap_or_default();
        let frames = if self.frames.is_empty() {
            "'none'".to_owned()
        } else {
            self.frames.join(" ")
        };
        let ancestors = self.framed_by.as_deref().unwrap_or("'none'");
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self' {target}; frame-src {frames}; frame-ancestors {ancestors}; base-uri 'none'"
        );
        let mut answer = Response::new(Body::from(markup.into_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            // Not "no-referrer": our own forms would then be posted with the origin "null".
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // It knows no origins.
        if self.framed_by.is_none() {
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        answer
    }
}

/// The head of a page: what it is, and its other languages under the same path.
pub fn bar(brand: &str, language: Language, path: &str) -> Markup {
    html! {
        div.bar {
            span.brand { (brand) }
            nav.languages aria-label=(language.texts().languages) {
                ul {
                    @for one in Language::ALL {
                        li {
                            a lang=(one.tag()) hreflang=(one.tag()) href={ (path) "?lang=" (one.tag()) }
                                aria-current=[(one == language).then_some("true")] { (one.name()) }
                        }
                    }
                }
            }
        }
    }
}

/// Remembers the language that was asked for by a link of [`bar`].
pub fn remember_language(
    helseid: &Helseid,
    headers: &HeaderMap,
    chosen: Option<&str>,
    answer: &mut Response<Body>,
) {
    if let Some(language) = chosen.and_then(Language::from_tag)
        && let Some(cookie) = set_cookie(
            helseid,
            headers,
            LANGUAGE_COOKIE,
            language.tag(),
            "/",
            LANGUAGE_S,
        )
    {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// A page that says what went wrong when there is nowhere safe to redirect to.
pub fn error_page(
    brand: &'static str,
    language: Language,
    status: StatusCode,
    detail: &str,
) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        div.bar { span.brand { (brand) } }
        h1 { (texts.bad_request) }
        p { (texts.bad_request_help) }
        p.detail lang="en" { (detail) }
    };
    let mut page = Page::new(brand, language, texts.bad_request, body);
    page.status = status;
    page.answer()
}

/// The page for a login that is over.
pub fn gone_page(brand: &'static str, language: Language) -> Response<Body> {
    let texts = language.texts();
    let body = html! {
        div.bar { span.brand { (brand) } }
        h1 { (texts.page_gone) }
        p { (texts.page_gone_help) }
    };
    let mut page = Page::new(brand, language, texts.page_gone, body);
    page.status = StatusCode::GONE;
    page.answer()
}
