//! Group B: the chunked coding (RFC 9112 §7.1). What is wrong with a body may show after its head
//! has been forwarded; then the server sees a connection that breaks, never a whole request.

use evenkeel_tools::row::Row;

use crate::judge;
use crate::support::{Backend, Proxy, simple};

/// A POST with this after its head.
fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    [head.as_slice(), body.as_ref()].concat()
}

fn refused(body: impl AsRef<[u8]>) -> Row {
    Row::refused(post(body), 400, "bad_request_body")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_sizes_that_wrap() {
    judge(
        [
            "FFFFFFFFFFFFFFFFF",
            "FFFFFFFFFFFFFFFF",
            "7FFFFFFFFFFFFFFF",
            "FFFFFFFFFFFFFFF6",
            "8000000000000000",
            "10000000000000005",
            "100000000000000000000000000000005",
        ]
        .map(|size| refused(format!("{size}\r\nhello\r\n0\r\n\r\n"))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b02_sizes_that_are_not_hexadecimal_digits() {
    judge(
        ["0x5", "+5", "-5", "5_0", " 5", "\t5", "0_2e", "5.", "\"5\"", "５", "5h"]
            .map(|size| refused(format!("{size}\r\nhello\r\n0\r\n\r\n"))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b03_sizes_that_begin_with_digits() {
    judge(
        ["1these-bytes", "5hello", "5 hello", "5\0", "5\x0b"]
            .map(|size| refused(format!("{size}\r\nhello\r\n0\r\n\r\n"))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b04_no_size() {
    judge(["\r\n", "\r\nhello\r\n0\r\n\r\n", ";ext\r\nhello\r\n0\r\n\r\n"].map(refused)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_bare_lf() {
    // RFC 9112 §2.2: after a size, an extension, the data, in the trailers, at the end
    judge(
        [
            "5\nhello\r\n0\r\n\r\n",
            "5;a\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "0\r\nX: y\r\n\n",
        ]
        .map(refused),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b06_bare_cr() {
    judge(
        [
            "5\r\r;ext\r\nhello\r\n0\r\n\r\n",
            "5\r\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;a=\"\r\"\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "0\r\nX: \ry\r\n\r\n",
            "0\r\n\rX",
        ]
        .map(refused),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_extensions_whose_end_is_disputed() {
    // RFC 9112 §7.1.1; TERM.EXT, EXT.TERM, SPILL
    let smuggled = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    judge(
        [
            ";\n",
            ";",
            ";;a",
            ";a=",
            ";=a",
            ";a b",
            ";a=\"b",
            ";a=\"\n\"",
            ";a=\"\r\n\"",
            ";a=\"\\\r\n\"",
            ";a=\"b\"c",
            ";a ",
            ";\0",
        ]
        .map(|extension| refused(format!("5{extension}\r\nhello\r\n0\r\n\r\n{smuggled}"))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b08_data_without_its_line_end() {
    judge(
        ["5\r\nhelloXX0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello world\r\n0\r\n\r\n"]
            .map(refused),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_more_around_the_data_than_data() {
    // RFC 9112 §7.1.1: extensions over 4 KiB in all; size lines over 16 times the data
    let long = format!("1;a={}\r\nx\r\n0\r\n\r\n", "b".repeat(64 * 1024));
    let many = format!("1;a={}\r\nx\r\n", "b".repeat(4 * 1024)).repeat(20);
    let small = "1;a=bcde\r\nx\r\n".repeat(1_000);
    let padded = "0000000000000001\r\nx\r\n".repeat(4_000);
    let fair = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(10_000));
    let rows = [long, many, small, padded].map(refused);
    let fair =
        Row::forwarded(post(fair)).and("it is whole", |seen| seen.requests[0].length == 10_000);
    judge(rows.into_iter().chain([fair])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_extensions_are_read_over() {
    // RFC 9112 §7.1.1
    judge([";a", ";a=b", ";a=\"b;c\"", " ; a\t=  b ; c", ";a=\"\\\"\""].map(|extension| {
        Row::forwarded(post(format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n")))
            .and("the body is the body", |seen| seen.requests[0].length == 5)
            .and("no extension is passed on", |seen| !seen.content().contains([';', '=', '"']))
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b11_one_byte_chunks_are_joined() {
    // RFC 9112 §7.1: what we send is never much more than what is in it
    let size = 1024 * 1024;
    let mut row = Row::forwarded(post("1\r\nx\r\n".repeat(size) + "0\r\n\r\n"))
        .and("it is whole", move |seen| seen.requests[0].length == size as u64)
        .and("it is at most a fifth longer", move |seen| seen.requests[0].raw.len() < size * 6 / 5);
    row.whole = true;
    judge([row]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b12_trailers_are_never_merged() {
    // RFC 9110 §6.5.1: nothing in them changes whose the message is, or what
    let names = [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Real-IP",
        "Connection",
    ];
    let rows = names.map(|name| {
        Row::forwarded(post(format!("2\r\nhi\r\n0\r\n{name}: merged\r\nX-Sum: 1\r\n\r\n")))
            .and("it is dropped", |seen| !seen.wire().contains("merged"))
            .and("a harmless one stays a trailer", |seen| {
                seen.content().ends_with("0\r\nX-Sum: 1\r\n\r\n") && seen.values("x-sum").is_empty()
            })
    });
    // RFC 9110 §7.6.1: "remove any header or trailer field(s)" that Connection names
    let nominated = "POST / HTTP/1.1\r\nHost: a\r\nConnection: x-hop\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Hop: merged\r\nX-Sum: 1\r\n\r\n";
    let nominated = Row::forwarded(nominated)
        .and("it is dropped", |seen| !seen.wire().to_lowercase().contains("x-hop"))
        .and("others stay", |seen| seen.content().ends_with("0\r\nX-Sum: 1\r\n\r\n"));
    judge(rows.into_iter().chain([nominated])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_trailers_are_bounded_as_fields_are() {
    // RFC 9110 §17.5
    judge(
        [
            "a: b\r\n".repeat(10_000),
            "a: b\r\n".repeat(101),
            format!("a: {}\r\n", "b".repeat(64 * 1024)),
            format!("{}: b\r\n", "a".repeat(9 * 1024)),
        ]
        .map(|trailers| refused(format!("0\r\n{trailers}\r\n"))),
    )
    .await;
    let mut huge = refused(format!("0\r\na: {}\r\n\r\n", "b".repeat(1024 * 1024)));
    huge.whole = true;
    judge([huge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b14_what_follows_the_last_chunk_is_a_trailer() {
    // RFC 9112 §7.1.2, §8
    let trailer = Row::forwarded(post("0\r\nX:POST / HTTP/1.1\r\n\r\n"))
        .and("it is no request", |seen| seen.content() == "0\r\nX: POST / HTTP/1.1\r\n\r\n");
    let bad = refused("0\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n");
    let incomplete = ["0\r\n", "0\r\nX: y\r\n", "0\r\nX: y\r\n\r", "0"];
    let incomplete = incomplete.map(|body| Row::abandoned(post(body)));
    judge([trailer, bad].into_iter().chain(incomplete)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b15_last_chunks_of_many_zeros() {
    // RFC 9112 §7.1.3: 16 digits are read, more are not
    let fits = format!("{}\r\n\r\n", "0".repeat(16));
    let fits =
        Row::forwarded(post(fits)).and("it has no body", |seen| seen.content() == "0\r\n\r\n");
    let long = [17, 22, 5_000].map(|zeros| refused(format!("{}\r\n\r\n", "0".repeat(zeros))));
    judge(long.into_iter().chain([fits])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b16_empty_lines_between_chunks() {
    judge(["5\r\nhello\r\n\r\n0\r\n\r\n", "\r\n5\r\nhello\r\n0\r\n\r\n"].map(refused)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_what_follows_the_last_chunk_is_the_next_request() {
    // RFC 9112 §9.3.2
    let last = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let rows = ["5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "5;a\r\nhello\r\n0\r\nX: y\r\n\r\n"];
    let rows = rows.map(|body| {
        let mut row = Row::forwarded(post(format!("{body}{last}")))
            .and("it is a request of its own", |seen| seen.requests[1].line == "GET /next HTTP/1.1")
            .and("nothing of it is in the body", |seen| !seen.wire().contains("next"));
        (row.reach, row.then, row.closes) = (2, Some(vec![200]), true);
        row
    });
    let mut garbage = Row::refused(post("0\r\n\r\ngarbage\r\n\r\n"), 200, "bad_request_line");
    (garbage.reach, garbage.then) = (1, Some(vec![400]));
    judge(rows.into_iter().chain([garbage])).await;
}

#[test]
fn b12_trailers_that_a_server_names_in_connection_are_dropped() {
    // RFC 9110 §7.6.1
    let backend = Backend::replying(
        "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n",
    );
    let proxy = Proxy::start(&simple(&[&backend]));
    for _ in 0..2 {
        let response = proxy.get("/");
        assert_eq!((response.text().as_str(), response.trailers.as_str()), ("hi", "X-Sum: 2\r\n"));
    }
}
