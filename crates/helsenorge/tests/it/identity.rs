//! The login page (spec/helsenorge.md §2.1).

use crate::world::*;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Router, response::Response};
use helsenorge::login::{LoggedIn, Login, router};
use std::sync::Arc;
use tower::ServiceExt;

fn page(world: &World) -> Router {
    let trust = world.trust.clone();
    router(Login {
        directory: world.table.clone(),
        clock: Arc::new(move || trust.now()),
        on_login: Arc::new(|who: LoggedIn, _: &HeaderMap| {
            let answer = (
                StatusCode::SEE_OTHER,
                format!("{} {}", who.nin, who.return_to),
            );
            Box::pin(std::future::ready(answer.into_response()))
        }),
    })
}

/// The store waits for its commits, so the world is made outside the runtime.
fn send(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (parts, body) = runtime.unwrap().block_on(async {
        let response: Response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, to_bytes(body, 1 << 20).await.unwrap())
    });
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn form(csrf: &str, cookie: &str, pid: &str, more: &str) -> Request<Body> {
    Request::post("/logginn")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, format!("helsenav_login_csrf={cookie}"))
        .body(Body::from(format!("csrf={csrf}&pid={pid}{more}")))
        .unwrap()
}

#[test]
fn the_login_page_lets_in_who_may() {
    let world = world();
    let router = page(&world);
    for (what, csrf, cookie, pid, status, words) in [
        ("good", "a", "a", KARI, 303, KARI),
        ("csrf differs", "a", "b", KARI, 403, "Siden var for gammel"),
        ("no csrf", "", "", KARI, 403, "Siden var for gammel"),
        ("bad number", "a", "a", "14896849818", 422, "ikke gyldig"),
        ("words", "a", "a", "Kari", 422, "ikke gyldig"),
        ("dead", "a", "a", DEAD, 422, "Ingen i folkeregisteret"),
        (
            "nobody",
            "a",
            "a",
            "24911099841",
            422,
            "Ingen i folkeregisteret",
        ),
        ("under 16", "a", "a", CHILD, 403, "16"),
    ] {
        let (got, headers, body) = send(&router, form(csrf, cookie, pid, ""));
        assert_eq!(got.as_u16(), status, "{what}");
        assert!(body.contains(words), "{what}: {body}");
        if status != 303 {
            assert!(body.contains("role=\"alert\""), "{what}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{what}");
            assert!(
                !body.contains(&format!("value=\"{pid}\"")) || pid == KARI,
                "{what}"
            );
        }
    }
}

#[test]
fn the_login_page_speaks_english_and_returns_only_home() {
    let world = world();
    let router = page(&world);
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    let (status, headers, body) = send(&router, get("/logginn?lang=en"));
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("<html lang=\"en\">") && body.contains("Log in to Helsenav"));
    assert!(body.contains("Kari Lunde"));
    assert!(
        !body.contains("Solveig") && !body.contains("Emil"),
        "the dead and children"
    );
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let (_, _, body) = send(&router, form("a", "a", "1", "&lang=en"));
    assert!(body.contains("The number is not valid"), "{body}");
    for (to, expected) in [
        ("/innsyn", "/innsyn"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let (_, _, body) = send(&router, form("a", "a", KARI, &format!("&retur={to}")));
        assert_eq!(body, format!("{KARI} {expected}"));
    }
}
