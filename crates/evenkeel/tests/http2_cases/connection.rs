//! Sections 3.4 to 5.5: the preface, the format of frames, streams and their states.

use evenkeel_tools::frames::code::{
    COMPRESSION_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED,
};
use evenkeel_tools::frames::{
    Block, Client, continuation, data, flag, frame, headers, kind, ping, priority, rst_stream,
    setting, window_update,
};

use super::Expect::{Alive, Answer, Connection, Seen, Stream};
use super::{Case, seen};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = format();
    cases.extend(states());
    cases.extend(closed());
    cases.extend(identifiers());
    cases
}

fn post() -> Block {
    Block::request("POST", "/")
}

/// A stream that was answered in full.
fn done(client: &mut Client) -> u32 {
    let stream = client.request(&Block::get());
    let _ = client.answer(stream);
    stream
}

fn format() -> Vec<Case> {
    vec![
        Case::new("3.4", "SETTINGS come first", Alive, |_| 0),
        Case::new("4.1", "a frame of an unknown type is ignored", Alive, |client| {
            client.send(&frame(0xff, 0, 0, b"12345678"));
            0
        }),
        Case::new("4.1", "undefined flags are ignored", Seen, |client| {
            client.send(&frame(kind::PING, 0x16, 0, b"h2spec!!"));
            seen(client.until(|f| f.kind == kind::PING && f.payload == b"h2spec!!").is_some())
        }),
        Case::new("4.1", "the reserved bit is ignored", Seen, |client| {
            client.send(&frame(kind::PING, 0, 0x8000_0000, b"h2spec!!"));
            seen(client.until(|f| f.kind == kind::PING && f.payload == b"h2spec!!").is_some())
        }),
        Case::new("4.2", "DATA of 2^14 bytes", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&data(stream, true, &[b'x'; 16_384]));
            stream
        }),
        Case::new(
            "4.2",
            "DATA longer than SETTINGS_MAX_FRAME_SIZE",
            Stream(&[FRAME_SIZE_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&data(stream, true, &[b'x'; 16_385]));
                stream
            },
        ),
        Case::new(
            "4.2",
            "HEADERS longer than SETTINGS_MAX_FRAME_SIZE",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| client.request(&Block::get().field("x", vec![b'x'; 16_400])),
        ),
        Case::new(
            "4.2",
            "SETTINGS longer than SETTINGS_MAX_FRAME_SIZE",
            Connection(&[FRAME_SIZE_ERROR]),
            |client| {
                client.send(&frame(kind::SETTINGS, 0, 0, &[0; 16_386]));
                0
            },
        ),
        Case::new(
            "4.3",
            "a header block that is none",
            Connection(&[COMPRESSION_ERROR]),
            |client| {
                // A literal with indexing whose value never ends.
                client.request(&Block::new().raw(&[0x40, 0x7f, 0xff, 0xff, 0xff, 0x7f]))
            },
        )
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new(
            "4.3",
            "PRIORITY within a header block",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&priority(1, 0, 255));
                client.send(&continuation(1, true, &Block::new().field("x", "y")));
                1
            },
        ),
        Case::new(
            "4.3",
            "HEADERS of another stream within a header block",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&headers(3, true, &Block::get()));
                1
            },
        ),
        Case::new(
            "4.3",
            "an unknown frame within a header block",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
                client.send(&frame(0x42, 0, 0, b""));
                1
            },
        ),
        Case::new(
            "5.4.1",
            "an error ends the connection",
            Connection(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&frame(kind::PING, 0, 3, &[0; 8]));
                client.until(|_| false);
                0
            },
        ),
        Case::new("5.4.1", "an error is told by GOAWAY", Seen, |client| {
            client.send(&frame(kind::PING, 0, 3, &[0; 8]));
            seen(client.until(|f| f.kind == kind::GOAWAY).is_some())
        }),
        Case::new("5.5", "an extension's frame is ignored", Answer, |client| {
            client.send(&frame(0x16, 0, 0, b"12345678"));
            client.request(&Block::get())
        }),
        Case::new("5.5", "an extension's frame on a stream is ignored", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&frame(0x16, 0xff, stream, b"12345678"));
            client.send(&data(stream, true, b"x"));
            stream
        }),
    ]
}

fn states() -> Vec<Case> {
    vec![
        Case::new("5.1", "idle: DATA", Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]), |client| {
            client.send(&data(1, true, b"test"));
            1
        }),
        Case::new("5.1", "idle: RST_STREAM", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&rst_stream(1, 8));
            1
        }),
        Case::new("5.1", "idle: WINDOW_UPDATE", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&window_update(1, 100));
            1
        }),
        Case::new("5.1", "idle: CONTINUATION", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&continuation(1, true, &Block::get()));
            1
        }),
        Case::new("5.1", "idle: PRIORITY", Answer, |client| {
            client.send(&priority(1, 0, 255));
            client.request(&Block::get())
        }),
        Case::new("5.1", "open: WINDOW_UPDATE, PRIORITY, DATA", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&window_update(stream, 1));
            client.send(&priority(stream, 0, 1));
            client.send(&data(stream, true, b"x"));
            stream
        }),
        Case::new("5.1", "half-closed (remote): DATA", Stream(&[STREAM_CLOSED]), |client| {
            client.send(&[headers(1, true, &Block::get()), data(1, true, b"test")].concat());
            1
        })
        .known(Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]), "a connection error"),
        Case::new("5.1", "half-closed (remote): HEADERS", Stream(&[STREAM_CLOSED]), |client| {
            client
                .send(&[headers(1, true, &Block::get()), headers(1, true, &Block::get())].concat());
            1
        })
        .known(Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]), "a connection error"),
        Case::new(
            "5.1",
            "half-closed (remote): CONTINUATION",
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
            |client| {
                client.send(&headers(1, true, &Block::get()));
                client.send(&continuation(1, true, &Block::get()));
                1
            },
        ),
        Case::new("5.1", "half-closed (remote): WINDOW_UPDATE", Answer, |client| {
            let stream = client.request(&Block::get());
            client.send(&window_update(stream, 1));
            stream
        }),
        Case::new("5.1", "half-closed (remote): PRIORITY", Answer, |client| {
            let stream = client.request(&Block::get());
            client.send(&priority(stream, 0, 255));
            stream
        }),
        Case::new("5.1", "half-closed (remote): RST_STREAM", Alive, |client| {
            let stream = client.request(&Block::get());
            client.send(&rst_stream(stream, 8));
            stream
        }),
    ]
}

fn closed() -> Vec<Case> {
    vec![
        Case::new("5.1", "closed by RST_STREAM: DATA", Stream(&[STREAM_CLOSED]), |client| {
            let stream = client.begin(&post());
            client.send(&rst_stream(stream, 8));
            client.send(&data(stream, true, b"test"));
            stream
        })
        .sometimes(Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]), "a connection error"),
        Case::new("5.1", "closed by RST_STREAM: HEADERS", Stream(&[STREAM_CLOSED]), |client| {
            let stream = client.begin(&post());
            client.send(&rst_stream(stream, 8));
            client.send(&headers(stream, true, &Block::get()));
            stream
        })
        .sometimes(Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]), "a connection error"),
        Case::new(
            "5.1",
            "closed by RST_STREAM: CONTINUATION",
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
            |client| {
                let stream = client.begin(&post());
                client.send(&rst_stream(stream, 8));
                client.send(&continuation(stream, true, &Block::get()));
                stream
            },
        ),
        Case::new("5.1", "closed: DATA", Stream(&[STREAM_CLOSED]), |client| {
            let stream = done(client);
            client.send(&data(stream, true, b"test"));
            stream
        }),
        Case::new("5.1", "closed: HEADERS", Connection(&[STREAM_CLOSED]), |client| {
            let stream = done(client);
            client.send(&headers(stream, true, &Block::get()));
            stream
        })
        .known(Connection(&[PROTOCOL_ERROR]), "another code"),
        Case::new(
            "5.1",
            "closed: CONTINUATION",
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
            |client| {
                let stream = done(client);
                client.send(&continuation(stream, true, &Block::get()));
                stream
            },
        ),
        Case::new("5.1", "closed: PRIORITY", Alive, |client| {
            let stream = done(client);
            client.send(&priority(stream, 0, 255));
            stream
        }),
        Case::new("5.1", "closed: WINDOW_UPDATE", Alive, |client| {
            let stream = done(client);
            client.send(&window_update(stream, 100));
            stream
        }),
        Case::new("5.1", "closed: RST_STREAM", Alive, |client| {
            let stream = done(client);
            client.send(&rst_stream(stream, 8));
            stream
        }),
        Case::new(
            "4.3",
            "a header block of a stream that was reset is decoded (J10)",
            Answer,
            |client| {
                let stream = client.begin(&post());
                client.send(&rst_stream(stream, 8));
                let other = client.new_stream();
                let block = Block::get().indexed_field("x-first", "1");
                client.send(&headers(other, true, &block));
                client.send(&rst_stream(other, 8));
                // 62: the newest entry of the dynamic table.
                client.request(&Block::get().index(62))
            },
        ),
    ]
}

fn identifiers() -> Vec<Case> {
    vec![
        Case::new("5.1.1", "an even stream", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&headers(2, true, &Block::get()));
            2
        }),
        Case::new("5.1.1", "a stream below the last", Connection(&[PROTOCOL_ERROR]), |client| {
            client.send(&headers(5, true, &Block::get()));
            client.send(&headers(3, true, &Block::get()));
            3
        }),
        Case::new("5.1.1", "streams may be left out", Answer, |client| {
            client.send(&headers(1001, true, &Block::get()));
            1001
        }),
        Case::new("5.1.1", "the last stream there is is served (J20)", Seen, |client| {
            client.send(&headers(0x7fff_ffff, true, &Block::get()));
            seen(client.answer(0x7fff_ffff).is_ok_and(|(status, _)| status == 200))
        }),
        Case::new("5.1.2", "streams beyond the limit are refused (J18)", Seen, |client| {
            let limit = client
                .seen
                .iter()
                .filter(|frame| frame.kind == kind::SETTINGS)
                .flat_map(|frame| frame.payload.chunks(6).map(<[u8]>::to_vec).collect::<Vec<_>>())
                .find(|pair| pair.starts_with(&setting::MAX_CONCURRENT_STREAMS.to_be_bytes()))
                .map(|pair| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]));
            let Some(limit) = limit else { return seen(false) };
            for _ in 0..=limit {
                client.begin(&post());
            }
            let refused = client.until(|frame| frame.kind == kind::RST_STREAM);
            let refused = refused.and_then(|frame| frame.code());
            seen(matches!(refused, Some(REFUSED_STREAM | PROTOCOL_ERROR)))
        }),
        Case::new(
            "5.3.1",
            "HEADERS that depend on themselves",
            Stream(&[PROTOCOL_ERROR]),
            |client| {
                let mut payload = vec![0, 0, 0, 1, 255];
                payload.extend_from_slice(&Block::get());
                let flags = flag::END_HEADERS | flag::END_STREAM | flag::PRIORITY;
                client.send(&frame(kind::HEADERS, flags, 1, &payload));
                1
            },
        ),
        Case::new(
            "5.3.1",
            "PRIORITY that depends on itself",
            Stream(&[PROTOCOL_ERROR]),
            |client| {
                client.send(&priority(2, 2, 255));
                2
            },
        ),
        Case::new("6.7", "PING is answered within a stream's frames", Answer, |client| {
            let stream = client.begin(&post());
            client.send(&ping(*b"12345678"));
            client.send(&data(stream, true, b"x"));
            stream
        }),
    ]
}
