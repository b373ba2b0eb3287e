//! The built pages, embedded. Without Node at build time, a page that says how to build them.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{DOCTYPE, html};

#[derive(rust_embed::RustEmbed)]
#[folder = "../../web/dist/"]
struct Dist;

/// Paths of the single-page application, all answered with its index.
const PAGES: [&str; 12] = [
    "/",
    "/provesvar",
    "/provesvar/{id}",
    "/brev",
    "/brev/{id}",
    "/innsyn",
    "/tilgang",
    "/helsepersonell",
    "/helsepersonell/{*rest}",
    "/drift",
    "/drift/{*rest}",
    "/hjelp",
];

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'";

/// Pages and files.
pub fn router() -> Router {
    let router = Router::new()
        .route("/assets/{*path}", get(file))
        .route("/favicon.svg", get(favicon));
    PAGES
        .iter()
        .fold(router, |router, path| router.route(path, get(index)))
}

async fn index() -> Response {
    let Some(page) = Dist::get("index.html") else {
        return how_to_build();
    };
    let mut response = Html(page.data.into_owned()).into_response();
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn favicon() -> Response {
    answer("favicon.svg", false)
}

async fn file(Path(path): Path<String>) -> Response {
    // Names of built files carry a hash of their content.
    answer(&format!("assets/{path}"), true)
}

fn answer(path: &str, is_hashed: bool) -> Response {
    let Some(file) = Dist::get(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = match path.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    let mut response = file.data.into_owned().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let cache = if is_hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn how_to_build() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="nb" {
            head { meta charset="utf-8"; title { "Helsenav" } meta name="viewport" content="width=device-width"; }
            body style="font:1.125rem/1.6 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem" {
                h1 { "Portalene er ikke bygget" }
                p { "Navet kjører, men nettsidene mangler fordi Node 20 eller nyere ikke fantes da det ble bygget." }
                p lang="en" { "The hub is running, but its pages were not built because Node 20 or newer was missing. Install Node, then:" }
                pre { code { "cd web && npm ci && npm run build && cd .. && ./run" } }
                p lang="en" { "All services answer as usual: see " a href="/health/ready" { "/health/ready" } "." }
            }
        }
    };
    (StatusCode::OK, Html(page.into_string())).into_response()
}
