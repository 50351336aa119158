//! Edits of fields: several policies in their order, and templates.

use crate::support::{Backend, Proxy};
use crate::versions::{ALL, Everywhere};

fn proxy(backend: &Backend, policies: &str, listener: &str, route: &str) -> Proxy {
    Proxy::start(&format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\", policies: [{listener}] }} }}\n\
         pools: {{ app: {{ servers: [\"{}\"] }} }}\n\
         routes: [ {{ name: main, to: app, policies: [{route}] }} ]\n\
         policies:\n{policies}",
        backend.address
    ))
}

#[test]
fn policies_that_set_one_field_leave_the_last_ones_value_alone() {
    let backend = Backend::named("one");
    let policies = "  a: { fields: { request: { set: { x-who: a } }, response: { set: { x-by: a } } } }\n  \
                    b: { fields: { request: { set: { x-who: b } }, response: { set: { x-by: b } } } }\n  \
                    c: { fields: { request: { add: { x-who: c } }, response: { remove: x-by } } }\n";
    let both = proxy(&backend, policies, "", "a, b");
    let response = both.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Who: client\r\n\r\n");
    assert_eq!(response.fields("x-by"), ["b"]);
    assert_eq!(backend.only().field("x-who"), Some("b"));
    // The listener's come first; what is added later stands beside, what is removed later is gone.
    let other = proxy(&backend, policies, "b", "a, c");
    let response = other.get("/");
    assert!(response.fields("x-by").is_empty(), "{}", response.head);
    assert_eq!(backend.received()[1].fields("x-who"), ["a", "c"]);
}

/// A proxy whose one route matches by a regular expression with a group.
fn everywhere(backend: &Backend, policies: &str, attached: &str) -> Everywhere {
    let sections = format!(
        "routes:\n  - {{ name: users, match: {{ path: {{ regex: \"^/users/(?P<id>[^/]+)\" }} }}, to: app, policies: [{attached}] }}\n  \
           - {{ name: rest, to: app }}\npolicies:\n{policies}"
    );
    Everywhere::start(&[backend], "", &sections)
}

#[test]
fn templates_are_filled_in_for_each_exchange() {
    let backend = Backend::named("one");
    let policies = "  a: { fields: { request: { set: { x-all: \"${path.id}|${method}|${scheme}|${host}|${query.q}|${header.x-in}|${cookie.c}|${route}|${pool}|${tls.version}|$$$$5\", x-id: \"${request.id}\", x-protocol: \"${protocol}\" } }, response: { set: { x-user: \"user ${path.id}\", x-status: \"${status}\", x-ip: \"${client.ip}\" } } } }\n";
    let site = everywhere(&backend, policies, "a");
    for (at, version) in ALL.into_iter().enumerate() {
        let fields = [("x-in", "in"), ("cookie", "b=1; c=2")];
        let answer = site.ask(version, "GET", "/users/7?q=a%20b", &fields);
        assert_eq!(answer.field("x-user"), "user 7", "{version:?}");
        assert_eq!((answer.field("x-status"), answer.field("x-ip")), ("200", "127.0.0.1"));
        let received = &backend.received()[at];
        let all = "7|GET|https|localhost|a b|in|2|users|app|TLSv1.3|$5";
        assert_eq!(received.field("x-all"), Some(all), "{version:?}");
        assert_eq!(received.field("x-id"), received.field("x-request-id"));
        let protocol = ["HTTP/1.1", "HTTP/2", "HTTP/3"][at];
        assert_eq!(received.field("x-protocol"), Some(protocol));
    }
}

#[test]
fn no_value_becomes_a_field_of_its_own() {
    let backend = Backend::named("one");
    let policies = "  a: { fields: { request: { set: { x-q: \"${query.q}\" } }, response: { set: { x-q: \"${query.q}\" } } } }\n";
    let site = everywhere(&backend, policies, "a");
    for version in ALL {
        let answer = site.get(version, "/users/1?q=a%0d%0aset-cookie:%20evil=1%0d%0a%0d%0a%00b");
        assert_eq!(answer.field("x-q"), "aset-cookie: evil=1b", "{version:?}");
        assert!(answer.values("set-cookie").is_empty());
    }
    for received in backend.received() {
        assert_eq!(received.field("x-q"), Some("aset-cookie: evil=1b"));
        assert_eq!(received.field("set-cookie"), None);
    }
}

#[test]
fn fields_are_renamed_and_what_is_unset_is_empty() {
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Old: 1\r\nX-Old: 2\r\nX-Other: 3\r\n\r\n",
    );
    let policies = "  a: { fields: { request: { rename: { x-a: x-b }, set: { x-none: \"${cookie.none}\" } }, response: { rename: { X-Old: x-new }, remove: x-other } } }\n  b: { fields: { response: { add: { x-new: \"3\" } } } }\n";
    let site = everywhere(&backend, policies, "a, b");
    for (at, version) in ALL.into_iter().enumerate() {
        let answer = site.ask(version, "GET", "/users/1", &[("x-a", "1"), ("x-b", "2")]);
        assert_eq!(answer.values("x-new"), ["1", "2", "3"], "{version:?}");
        assert!(answer.values("x-old").is_empty() && answer.values("x-other").is_empty());
        let received = &backend.received()[at];
        assert_eq!(received.fields("x-b"), ["1", "2"]);
        assert_eq!((received.field("x-a"), received.field("x-none")), (None, Some("")));
    }
}

#[test]
fn redirects_and_fixed_answers_have_variables() {
    let backend = Backend::named("one");
    let sections = "routes:\n  - { match: { path: { regex: \"^/u/(?P<id>[^/]+)$\" } }, redirect: \"https://new.example/user/${path.id}${query}\" }\n  \
                    - { match: { path: /next }, redirect: { to: \"${query.to}\", status: 302 } }\n  \
                    - { match: { path: /json }, respond: { status: 403, content_type: application/json, body: '{\"you\":\"${query.q}\"}' } }\n  \
                    - { match: { path: /html }, respond: { content_type: text/html, body: \"<p>${query.q}</p>\" } }\n  - { to: app }\n";
    let site = Everywhere::start(&[&backend], "", sections);
    for version in ALL {
        let answer = site.get(version, "/u/7?a=b");
        assert_eq!(answer.field("location"), "https://new.example/user/7?a=b", "{version:?}");
        for evil in ["//evil.example/x", "https://evil.example", "/%5Cevil", "javascript:alert(1)"]
        {
            let location = site.get(version, &format!("/next?to={evil}"));
            let location = location.field("location");
            assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
            assert!(!location.contains([':', '\\']), "{location}");
        }
        let answer = site.get(version, "/json?q=%22%0a%7D%3C/script%3E");
        assert_eq!((answer.status, answer.field("content-type")), (403, "application/json"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["you"], "\"\n}</script>");
        let answer = site.get(version, "/html?q=%3Cscript%3E");
        assert_eq!(answer.text(), "<p>&lt;script&gt;</p>");
    }
    assert_eq!(backend.count(), 0);
}
