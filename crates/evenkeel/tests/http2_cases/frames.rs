//! Section 6: each type of frame; and section 7.

use evenkeel_tools::frames::code::{
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM_CLOSED,
};
use evenkeel_tools::frames::{
    Block, Client, continuation, data, flag, frame, goaway, headers, kind, ping, priority,
    rst_stream, setting, settings, window_update,
};

use super::Expect::{Alive, Answer, Connection, Seen, Stream};
use super::{Case, seen};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = data_frames();
    cases.extend(header_frames());
    cases.extend(short_frames());
    cases.extend(settings_frames());
    cases.extend(control_frames());
    cases.extend(windows());
    cases
}

fn post() -> Block {
    Block::request("POST", "/")
}

fn data_frames() -> Vec<Case> {
    vec![
        Case::new("6.1", "DATA", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, true, b"test"));
            stream
        }),
        Case::new("6.1", "several DATA", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, false, b"test"));
            client.send(&data(stream, true, b"test"));
            stream
        }),
        Case::new("6.1", "DATA with padding", Answer, |client| {
            let stream = client.begin(&post());
            let flags = flag::PADDED | flag::END_STREAM;
            client.send(&frame(kind::DATA, flags, stream, b"\x05test\0\0\0\0\0"));
            stream
        }),
        Case::new("6.1", "DATA of nothing but padding (J12)", Answer, |client| {
            let stream = client.begin(&post());
            let mut payload = vec![255];
            payload.extend([0; 255]);
            client.send(&frame(kind::DATA, flag::PADDED, stream, &payload));
            client.send(&data(stream, true, b"x"));
            stream
        }),
        Case::new("6.1", "DATA of the connection", Connection(&[PROTOCOL_ERROR]), |client| {
            client.begin(&post());
            client.send(&data(0, true, b"test"));
            0
        }),
        Case::new("6.1", "DATA of a stream that is not open", Stream(&[STREAM_CLOSED]), |client| {
            client.send(&[headers(1, true, &Block::get()), data(1, true, b"test")].concat());
            1
        })
        .known(Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]), "a connection error"),
        Case::new(
            "6.1",
            "DATA with more padding than content (J12)",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&frame(
                    kind::DATA,
                    flag::PADDED | flag::END_STREAM,
                    stream,
                    b"\x06test",
                ));
                stream
            },
        ),
        Case::new(
            "6.1",
            "DATA with as much padding as there is",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&frame(
                    kind::DATA,
                    flag::PADDED | flag::END_STREAM,
                    stream,
                    b"\x05test",
                ));
                stream
            },
        ),
        Case::new(
            "6.1",
            "padded DATA without a length",
            Connection(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&frame(kind::DATA, flag::PADDED, stream, b""));
                stream
            },
        ),
    ]
}

fn header_frames() -> Vec<Case> {
    vec![
        Case::new("6.2", "HEADERS", Answer, |client| client.request(&Block::get())),
        Case::new("6.2", "HEADERS with padding", Answer, |client| {
            let stream = client.new_stream();
            let mut payload = vec![6];
            payload.extend_from_slice(&Block::get());
            payload.extend([0; 6]);
            let flags = flag::END_HEADERS | flag::END_STREAM | flag::PADDED;
            client.send(&frame(kind::HEADERS, flags, stream, &payload));
            stream
        }),
        Case::new("6.2", "HEADERS with priority", Answer, |client| {
            let stream = client.new_stream();
            let mut payload = vec![0, 0, 0, 0, 255];
            payload.extend_from_slice(&Block::get());
            let flags = flag::END_HEADERS | flag::END_STREAM | flag::PRIORITY;
            client.send(&frame(kind::HEADERS, flags, stream, &payload));
            stream
        }),
        Case::new(
            "6.2",
            "HEADERS of a stream within another's",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&headers(3, true, &Block::get()));
                3
            },
        ),
        Case::new(
            "6.2",
            "HEADERS without their end, and PRIORITY",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&priority(1, 0, 255));
                1
            },
        ),
        Case::new("6.2", "HEADERS of the connection", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&headers(0, true, &Block::get()));
            0
        }),
        Case::new("6.2", "HEADERS with too much padding", Stream(&[PROTOCOL_ERROR]), |client| {
            let mut payload = vec![200];
            payload.extend_from_slice(&Block::get());
            let flags = flag::END_HEADERS | flag::END_STREAM | flag::PADDED;
            client.send(&frame(kind::HEADERS, flags, 1, &payload));
            1
        }),
        Case::new(
            "6.2",
            "HEADERS too short for their priority (J13)",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| {
                let flags = flag::END_HEADERS | flag::END_STREAM | flag::PRIORITY;
                client.send(&frame(kind::HEADERS, flags, 1, &[0; 4]));
                1
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.10", "CONTINUATION", Answer, |client| {
            let stream = client.new_stream();
            client.send(&frame(kind::HEADERS, flag::END_STREAM, stream, &Block::get()));
            client.send(&continuation(stream, true, &Block::new().field("x", "y")));
            stream
        }),
        Case::new("6.10", "several CONTINUATION, some empty", Answer, |client| {
            let stream = client.new_stream();
            let whole = Block::get().field("x-long", "y".repeat(200));
            let (first, rest) = whole.split_at(7);
            client.send(&frame(kind::HEADERS, flag::END_STREAM, stream, first));
            client.send(&continuation(stream, false, b""));
            for piece in rest.chunks(100) {
                client.send(&continuation(stream, false, piece));
            }
            client.send(&continuation(stream, true, b""));
            stream
        }),
        Case::new(
            "6.10",
            "CONTINUATION, then another frame",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&continuation(1, false, &Block::new().field("x", "y")));
                client.send(&data(1, true, b"test"));
                1
            },
        ),
        Case::new(
            "6.10",
            "CONTINUATION of the connection",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&continuation(0, true, &Block::new().field("x", "y")));
                0
            },
        ),
        Case::new(
            "6.10",
            "CONTINUATION after the end of HEADERS",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&continuation(stream, true, &Block::new().field("x", "y")));
                stream
            },
        ),
        Case::new(
            "6.10",
            "CONTINUATION after the end of CONTINUATION",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, 0, 1, &post()));
                client.send(&continuation(1, true, &Block::new().field("x", "y")));
                client.send(&continuation(1, true, &Block::new().field("x", "y")));
                1
            },
        ),
        Case::new("6.10", "CONTINUATION after DATA", Connection(&[PROTOCOL_ERROR]), |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, false, b"test"));
            client.send(&continuation(stream, true, &Block::new().field("x", "y")));
            stream
        }),
        Case::new("8.4", "PUSH_PROMISE of a client", Connection(&[PROTOCOL_ERROR]), |client| {
            let stream = client.begin(&post());
            let mut payload = vec![0, 0, 0, 3];
            payload.extend_from_slice(&Block::get());
            client.send(&frame(kind::PUSH_PROMISE, flag::END_HEADERS, stream, &payload));
            stream
        }),
    ]
}

fn short_frames() -> Vec<Case> {
    vec![
        Case::new("6.3", "PRIORITY of every weight", Answer, |client| {
            client.send(&priority(1, 0, 0));
            client.send(&priority(1, 0, 255));
            client.request(&Block::get())
        }),
        Case::new("6.3", "PRIORITY, exclusive, on another stream", Answer, |client| {
            client.send(&priority(1, 0, 255));
            client.send(&priority(3, 0x8000_0001, 255));
            client.request(&Block::get())
        }),
        Case::new(
            "6.3",
            "PRIORITY of an idle stream, then HEADERS of a lower one",
            Answer,
            |client| {
                client.send(&priority(5, 0, 255));
                client.request(&Block::get())
            },
        ),
        Case::new("6.3", "PRIORITY of the connection", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&priority(0, 1, 255));
            0
        }),
        Case::new("6.3", "PRIORITY not of 5 bytes", Stream(&[FRAME_SIZE_ERROR]), |client| {
            client.send(&frame(kind::PRIORITY, 0, 1, &[0x80, 0, 0, 1]));
            1
        })
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.4", "RST_STREAM", Alive, |client| {
            let stream = client.begin(&post());
            client.send(&rst_stream(stream, 8));
            stream
        }),
        Case::new("6.4", "RST_STREAM of the connection", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&rst_stream(0, 8));
            0
        }),
        Case::new(
            "6.4",
            "RST_STREAM of an idle stream (J11)",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&rst_stream(1, 8));
                1
            },
        ),
        Case::new("6.4", "RST_STREAM not of 4 bytes", Connection(&[FRAME_SIZE_ERROR]), |client| {
            let stream = client.begin(&post());
            client.send(&frame(kind::RST_STREAM, 0, stream, &[0; 3]));
            stream
        })
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("7", "RST_STREAM with an unknown code", Alive, |client| {
            let stream = client.begin(&post());
            client.send(&rst_stream(stream, 0xff));
            stream
        }),
        Case::new(
            "5.1",
            "DATA in the same packet as RST_STREAM before it (J21)",
            Alive,
            |client| {
                let stream = client.begin(&post());
                let mut late = data(stream, false, b"early");
                late.extend(rst_stream(stream, 8));
                client.send(&late);
                stream
            },
        ),
    ]
}

fn settings_frames() -> Vec<Case> {
    vec![
        Case::new("6.5", "SETTINGS are acknowledged", Seen, |client| {
            client.send(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 100)]));
            seen(client.until(|f| f.kind == kind::SETTINGS && f.has(flag::ACK)).is_some())
        }),
        Case::new(
            "6.5",
            "SETTINGS acknowledged with content",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| {
                client.send(&frame(kind::SETTINGS, flag::ACK, 0, &[0; 1]));
                0
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.5", "SETTINGS of a stream", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&frame(kind::SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100]));
            1
        }),
        Case::new(
            "6.5",
            "SETTINGS not of a multiple of 6 bytes",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| {
                client.send(&frame(kind::SETTINGS, 0, 0, &[0, 3, 0]));
                0
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new(
            "6.5.2",
            "ENABLE_PUSH neither 0 nor 1",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&settings(&[(setting::ENABLE_PUSH, 2)]));
                0
            },
        ),
        Case::new(
            "6.5.2",
            "INITIAL_WINDOW_SIZE above 2^31-1",
            Connection(&[FLOW_CONTROL_ERROR]),
            |client| {
                client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0x8000_0000)]));
                0
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.5.2", "MAX_FRAME_SIZE below 2^14", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&settings(&[(setting::MAX_FRAME_SIZE, 16_383)]));
            0
        }),
        Case::new(
            "6.5.2",
            "MAX_FRAME_SIZE above 2^24-1",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&settings(&[(setting::MAX_FRAME_SIZE, 1 << 24)]));
                0
            },
        ),
        Case::new("6.5.2", "an unknown setting", Answer, |client| {
            client.send(&settings(&[(0xff, 1)]));
            client.request(&Block::get())
        }),
        Case::new("6.5.2", "ENABLE_PUSH 1 of a client", Answer, |client| {
            client.send(&settings(&[(setting::ENABLE_PUSH, 1)]));
            client.request(&Block::get())
        }),
        Case::new("6.5.3", "a setting told twice: the last counts", Seen, |client| {
            let both = [(setting::INITIAL_WINDOW_SIZE, 100), (setting::INITIAL_WINDOW_SIZE, 1)];
            client.send(&settings(&both));
            let stream = client.request(&Block::get());
            let first = client.until(|f| f.kind == kind::DATA && f.stream == stream);
            seen(first.is_some_and(|frame| frame.payload.len() == 1))
        }),
        Case::new("6.5.3", "SETTINGS that do not acknowledge are", Seen, |client| {
            client.send(&settings(&[]));
            seen(client.until(|f| f.kind == kind::SETTINGS && f.has(flag::ACK)).is_some())
        }),
    ]
}

fn control_frames() -> Vec<Case> {
    vec![
        Case::new("6.7", "PING is answered with what it says", Seen, |client| {
            client.send(&ping(*b"h2spec!!"));
            let pong = client.until(|f| f.kind == kind::PING);
            seen(pong.is_some_and(|f| f.has(flag::ACK) && f.payload == b"h2spec!!"))
        }),
        Case::new("6.7", "PING that acknowledges is not answered", Seen, |client| {
            client.send(&frame(kind::PING, flag::ACK, 0, b"invalid!"));
            client.send(&ping(*b"h2spec!!"));
            let pong = client.until(|f| f.kind == kind::PING);
            seen(pong.is_some_and(|f| f.payload == b"h2spec!!"))
        }),
        Case::new("6.7", "PING of a stream", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&frame(kind::PING, 0, 1, &[0; 8]));
            1
        }),
        Case::new("6.7", "PING not of 8 bytes", Connection(&[FRAME_SIZE_ERROR]), |client| {
            client.send(&frame(kind::PING, 0, 0, &[0; 6]));
            0
        })
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.8", "GOAWAY of a stream", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&frame(kind::GOAWAY, 0, 1, &[0; 8]));
            1
        }),
        Case::new(
            "6.8",
            "GOAWAY of a client: what it has asked for is still answered",
            Seen,
            |client| {
                let stream = client.request(&Block::get());
                client.send(&goaway(0, 0));
                seen(client.answer(stream).is_ok_and(|(status, _)| status == 200))
            },
        ),
        Case::new(
            "6.8",
            "GOAWAY too short",
            Connection(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::GOAWAY, 0, 0, &[0; 4]));
                0
            },
        ),
        Case::new("7", "GOAWAY with an unknown code", Seen, |client| {
            let stream = client.request(&Block::get());
            client.send(&goaway(0, 0xff));
            seen(client.answer(stream).is_ok_and(|(status, _)| status == 200))
        }),
    ]
}

/// The lengths of the first DATA frames of a stream's answer, until there are so many.
fn lengths(client: &mut Client, stream: u32, count: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    while lengths.len() < count {
        let Some(frame) = client.until(|f| f.kind == kind::DATA && f.stream == stream) else {
            break;
        };
        lengths.push(frame.payload.len());
    }
    lengths
}

fn windows() -> Vec<Case> {
    vec![
        Case::new("6.9", "WINDOW_UPDATE of the connection and of a stream", Answer, |client| {
            client.send(&window_update(0, 1));
            let stream = client.begin(&post());
            client.send(&window_update(stream, 1));
            client.send(&data(stream, true, b"x"));
            stream
        }),
        Case::new("6.9", "WINDOW_UPDATE by 0", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&window_update(0, 0));
            0
        }),
        Case::new("6.9", "WINDOW_UPDATE by 0 of a stream", Stream(&[PROTOCOL_ERROR]), |client| {
            let stream = client.begin(&post());
            client.send(&window_update(stream, 0));
            stream
        }),
        Case::new(
            "6.9",
            "WINDOW_UPDATE not of 4 bytes",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| {
                client.send(&frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1]));
                0
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new("6.9.1", "no more is sent than a window of 1 allows", Seen, |client| {
            client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]));
            let stream = client.request(&Block::get());
            seen(lengths(client, stream, 1) == [1])
        }),
        Case::new(
            "6.9.1",
            "the connection's window beyond 2^31-1 (J9)",
            Connection(&[FLOW_CONTROL_ERROR]),
            |client| {
                client.send(&window_update(0, 0x7fff_ffff));
                client.send(&window_update(0, 0x7fff_ffff));
                0
            },
        ),
        Case::new(
            "6.9.1",
            "a stream's window beyond 2^31-1 (J9)",
            Stream(&[FLOW_CONTROL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&window_update(stream, 0x7fff_ffff));
                client.send(&window_update(stream, 0x7fff_ffff));
                stream
            },
        ),
        Case::new("6.9.2", "INITIAL_WINDOW_SIZE changes windows in use", Seen, |client| {
            client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]));
            let stream = client.request(&Block::get());
            let _ = client.until(|f| f.kind == kind::HEADERS && f.stream == stream);
            client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]));
            seen(lengths(client, stream, 1) == [1])
        }),
        Case::new("6.9.2", "a window may become negative (J9)", Seen, |client| {
            client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 3)]));
            let stream = client.request(&Block::get());
            let first = lengths(client, stream, 1);
            client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 2)]));
            client.send(&window_update(stream, 2));
            let second = lengths(client, stream, 1);
            seen((first.as_slice(), second.as_slice()) == (&[3], &[1]))
        }),
        Case::new(
            "6.9.2",
            "INITIAL_WINDOW_SIZE that takes a stream's window beyond 2^31-1 (J9)",
            Connection(&[FLOW_CONTROL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&window_update(stream, 0x7fff_ffff - 65_535));
                client.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]));
                stream
            },
        ),
    ]
}
