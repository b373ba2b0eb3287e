//! The message counter for an organisation's own systems.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_s_systems_get_its_own_numbers() {
    let s = service().await;
    s.post(by(EPJ_NO), &note(&new_id())).await;
    s.post(by(EPJ_NO), &note_with_copy(&new_id())).await;
    s.world.view(|_| s.counter.count_all()).unwrap();
    // The messages count when they were taken, by the clock of rules.
    let url = |query: &str| format!("{COUNTER}?function=DIALOG_NOTAT{query}");
    let messages = |answer: Value| answer["totals"]["messages"].as_u64().unwrap_or(0);
    assert_eq!(messages(s.get(by(EPJ_NO), &url("")).await), 3);
    assert_eq!(messages(s.get(by(HOSPITAL_NO), &url("")).await), 2);
    assert_eq!(messages(s.get(by(GP_NO), &url("")).await), 1);
    let report = s.get(by(GP_NO), &url("&transport=rest")).await;
    assert_eq!(report["by_transport"][0]["key"], "rest");
    // Asking for others does not widen it.
    let others = url(&format!("&her_id={HOSPITAL}"));
    assert_eq!(messages(s.get(by(GP_NO), &others).await), 0);

    for (who, path, status) in [
        (by(EPJ_NO), url("&from=yesterday"), StatusCode::BAD_REQUEST),
        (by(EPJ_NO), url("&form=2026-11-17"), StatusCode::BAD_REQUEST),
        (by("315999999"), url(""), StatusCode::FORBIDDEN),
        (
            By {
                scope: "nhn:other/api",
                ..by(EPJ_NO)
            },
            url(""),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let answer = s.call(who, "GET", &path, None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    // Without a token: what it is for, and no numbers.
    let bare = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    let told = s.send(bare(COUNTER)).await;
    assert_eq!(told.body["service"], "Meldingsteller");
    assert_eq!(
        s.send(bare(&url(""))).await.status,
        StatusCode::UNAUTHORIZED
    );
}
