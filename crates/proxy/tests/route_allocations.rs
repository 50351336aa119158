//! Finding a route allocates nothing, whatever conditions it asks about (but for what an expression
//! must have in one piece and was sent in several). The allocator of this test counts; it is why the
//! test is alone in its binary.
#![allow(unsafe_code)] // only to count what the system's allocator is asked for

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use evenkeel_codec::{HeadLimits, Parse, RequestHead};
use evenkeel_config::model::{HashKey, ListenerId};
use evenkeel_config::{Source, load};
use evenkeel_proxy::route::key::balance_key;
use evenkeel_proxy::route::{RequestView, Table};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUTES: &str = r"
listeners: { web: { bind: 127.0.0.1:1 } }
pools: { p: { servers: [127.0.0.1:2] } }
routes:
- { match: { host: a.test, path: { exact: /a/b/c } , method: POST }, to: p }
- { match: { host: a.test, path: { regex: '^/a/.*z$' } }, to: p }
- { match: { host: a.test, path: /a/b, header: { x-a: 'no' } }, to: p }
- { match: { host: a.test, path: /a/b, header: { x-b: { regex: '^n' } } }, to: p }
- { match: { host: a.test, path: /a/b, cookie: { c: 'no' } }, to: p }
- { match: { host: a.test, path: /a/b, query: { a_b: 'no' } }, to: p }
- { match: { host: a.test, path: /a/b, query: { q: { regex: '^n' } } }, to: p }
- { match: { host: a.test, path: /a/b, client: [192.0.2.0/24, '2001:db8::/32'] }, to: p }
- { match: { host: '*.test', path: /a, not: { any: [ { path: /a/b }, { host: '*.test' } ] } }, to: p }
- { name: last, match: { path: / }, to: p }
";

#[test]
fn finding_a_route_allocates_nothing() {
    let source = Source { name: "test".to_owned(), text: ROUTES.to_owned() };
    let config = load(&[source], &|_| None).expect("the routes are right").config;
    let table = Table::compile(&config);
    let bytes =
        b"GET /a/b/c?x=%20&a%5fb=%6Ex&q=yes HTTP/1.1\r\nHost: A.TEST.:80\r\nX-A: y, yes\r\n\
        X-A: yy\r\nX-B: y, yes\r\nCookie: a=b; c=d\r\nCookie: c=e\r\n\r\n";
    let mut head = RequestHead::default();
    let limits = HeadLimits { head: 1 << 15, line: 1 << 14, fields: 100 };
    assert_eq!(head.parse(bytes, &limits), Ok(Parse::Complete(bytes.len())));
    let view = RequestView {
        listener: ListenerId(0),
        method: head.method_text.of(bytes),
        host: head.host_name.of(bytes),
        path: head.target.path.of(bytes),
        query: head.target.query.map(|query| query.of(bytes)),
        head: &head,
        bytes,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        claims: None,
        country: None,
    };
    let keys = [HashKey::Path, HashKey::Header("x-a".into()), HashKey::Query("q".into())];
    // An expression makes its scratch space when it is used first.
    table.find(&view);

    let before = ALLOCATIONS.get();
    let found = table.find(black_box(&view));
    for key in &keys {
        assert!(balance_key(key, black_box(&view)).is_some());
    }
    let count = ALLOCATIONS.get() - before;
    assert_eq!(found.map(|found| &*config.routes[found.route.0 as usize].name), Some("last"));
    assert_eq!(count, 0);
}
