//! What people see when there is no answer.

use crate::support::Backend;
use crate::versions::{ALL, Everywhere};

const PAGES: &str = "  pages: { error_pages: { pages: { 4xx: { text: \"four\" }, \"404\": { html: \"<p>${status} ${status.text} ${path} ${reason}</p>\", json: \"{\\\"path\\\":\\\"${path}\\\",\\\"id\\\":\\\"${request.id}\\\"}\" }, 500-599: { html: \"five\" } } } }\n  \
    all: { error_pages: { servers: true, pages: { 5xx: { text: \"ours\" }, \"401\": { text: \"sign in\" } } } }\n";

#[test]
fn a_page_is_chosen_by_status_and_by_what_the_client_likes() {
    let backend = Backend::replying("HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\ntheirs");
    let sections = format!(
        "routes: [ {{ match: {{ path: /app }}, to: app }}, {{ match: {{ path: /gone }}, respond: {{ status: 410, body: gone }} }} ]\npolicies:\n{PAGES}"
    );
    let site = Everywhere::start(&[&backend], "    policies: [pages]\n", &sections);
    for version in ALL {
        let answer = site.get(version, "/x/'b");
        assert_eq!(answer.status, 404);
        assert_eq!(answer.text(), "<p>404 Not Found /x/&#39;b no_route</p>", "{version:?}");
        assert_eq!(answer.field("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.field("x-evenkeel-reason"), "no_route");
        assert_eq!(answer.field("vary"), "accept");
        let answer =
            site.ask(version, "GET", "/x'}", &[("accept", "text/html;q=0.5, application/json")]);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["path"], "/x'}");
        assert_eq!(json["id"], answer.field("x-request-id"));
        assert_eq!(site.get(version, "/gone").text(), "four");
        assert_eq!(site.get(version, "/app").text(), "theirs", "a server's own stays");
        assert_eq!(site.ask(version, "HEAD", "/x", &[]).text(), "");
    }
}

#[test]
fn pages_stand_in_for_those_of_servers_where_that_is_wished() {
    let backend = Backend::replying(
        "HTTP/1.1 401 No\r\nContent-Length: 6\r\nWWW-Authenticate: Basic\r\nETag: \"x\"\r\n\r\ntheirs",
    );
    let sections = format!("routes: [ {{ to: app, policies: all }} ]\npolicies:\n{PAGES}");
    let site = Everywhere::start(&[&backend], "", &sections);
    for version in ALL {
        let answer = site.get(version, "/");
        assert_eq!((answer.status, answer.text().as_str()), (401, "sign in"), "{version:?}");
        assert_eq!((answer.field("www-authenticate"), answer.field("etag")), ("Basic", ""));
        assert_eq!(answer.field("content-length"), "7");
    }
}

#[test]
fn everybody_but_some_is_told_to_come_again_later() {
    let backend = Backend::named("one");
    let with = |allow: &str, page: &str| {
        let sections = format!(
            "routes: [ {{ to: app }} ]\npolicies: {{ off: {{ maintenance: {{ allow: [{allow}], retry_after: 1m{page} }} }} }}\n"
        );
        Everywhere::start(&[&backend], "    policies: off\n", &sections)
    };
    let site = with("192.0.2.0/24", ", page: { html: \"<h1>Back soon</h1>\" }");
    for version in ALL {
        let answer = site.get(version, "/");
        assert_eq!((answer.status, answer.field("retry-after")), (503, "60"), "{version:?}");
        assert_eq!(answer.text(), "<h1>Back soon</h1>");
        assert_eq!(answer.field("x-evenkeel-reason"), "maintenance");
    }
    assert_eq!(backend.count(), 0);
    let answer = with("", "").get(ALL[0], "/");
    assert_eq!(answer.text(), "503 Service Unavailable: maintenance\n");
    assert_eq!(with("127.0.0.0/8", "").get(ALL[1], "/").text(), "one");
}
