//! RFC 7541: ways to write a field, and how not to.

use evenkeel_tools::frames::Block;
use evenkeel_tools::frames::code::{COMPRESSION_ERROR, PROTOCOL_ERROR};

use super::Case;
use super::Expect::{Answer, Connection};

const WRONG: super::Expect = Connection(&[COMPRESSION_ERROR]);
const OTHER: super::Expect = Connection(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    macro_rules! fine {
        ($section:literal, $says:literal, $bytes:expr) => {
            Case::new($section, $says, Answer, |client| client.request(&Block::get().raw($bytes)))
        };
    }
    macro_rules! wrong {
        ($section:literal, $says:literal, $bytes:expr) => {
            Case::new($section, $says, WRONG, |client| client.request(&Block::get().raw($bytes)))
                .known(OTHER, "another code")
        };
    }
    vec![
        Case::new("H6.1", "fields of the static table", Answer, |client| {
            client.request(&Block::new().index(2).index(6).index(4).field(":authority", "test"))
        }),
        fine!("H6.2.1", "with indexing, indexed name", b"\x7a\x04test"),
        fine!("H6.2.1", "with indexing, indexed name, Huffman", b"\x7a\x83\x49\x50\x9f"),
        fine!("H6.2.1", "with indexing, new name", b"\x40\x06x-test\x04test"),
        fine!(
            "H6.2.1",
            "with indexing, new name, Huffman",
            b"\x40\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f"
        ),
        fine!("H6.2.2", "without indexing, indexed name", b"\x0f\x2b\x04test"),
        fine!("H6.2.2", "without indexing, indexed name, Huffman", b"\x0f\x2b\x83\x49\x50\x9f"),
        fine!("H6.2.2", "without indexing, new name", b"\x00\x06x-test\x04test"),
        fine!(
            "H6.2.2",
            "without indexing, new name, Huffman",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f"
        ),
        fine!("H6.2.3", "never indexed, indexed name", b"\x1f\x2b\x04test"),
        fine!("H6.2.3", "never indexed, indexed name, Huffman", b"\x1f\x2b\x83\x49\x50\x9f"),
        fine!("H6.2.3", "never indexed, new name", b"\x10\x06x-test\x04test"),
        fine!(
            "H6.2.3",
            "never indexed, new name, Huffman",
            b"\x10\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f"
        ),
        Case::new("H6.1", "a field of the dynamic table", Answer, |client| {
            let first = client.request(&Block::get().indexed_field("x-test", "1"));
            let _ = client.answer(first);
            client.request(&Block::get().index(62))
        }),
        Case::new("H6.3", "a dynamic table size update", Answer, |client| {
            let get = Block::get();
            client.request(&Block::new().table_size(64).raw(&get))
        }),
        Case::new("H6.3", "several dynamic table size updates (J19)", Answer, |client| {
            let get = Block::get();
            client.request(&Block::new().table_size(0).table_size(4096).raw(&get))
        }),
        Case::new(
            "H6.3",
            "table size updates from 0 to the limit in every block (J19)",
            Answer,
            |client| {
                for _ in 0..20 {
                    let get = Block::get().indexed_field("x-test", "1");
                    let first =
                        client.request(&Block::new().table_size(0).table_size(4096).raw(&get));
                    let _ = client.answer(first);
                }
                client.request(&Block::get().index(62))
            },
        ),
        wrong!("H2.3.3", "an index that is not there", b"\xc6"),
        wrong!("H2.3.3", "the name of an index that is not there", b"\x7f\x07\x04test"),
        wrong!("H4.2", "a table size update at the end of a block", b"\x21"),
        wrong!("H5.1", "an integer without end", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        wrong!(
            "H5.2",
            "Huffman with more than 7 bits of padding",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"
        ),
        wrong!(
            "H5.2",
            "Huffman padded with zeros",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"
        ),
        wrong!(
            "H5.2",
            "Huffman with the end-of-string symbol",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"
        ),
        wrong!("H5.2", "a string longer than its block", b"\x00\x06x-test\x7etest"),
        wrong!("H6.1", "index 0", b"\x80"),
        Case::new("H6.3", "a table size beyond the limit (J19)", WRONG, |client| {
            let get = Block::get();
            client.request(&Block::new().table_size(65_536).raw(&get))
        })
        .known(OTHER, "another code"),
        Case::new("H4.2", "an entry that a table of size 0 cannot hold", WRONG, |client| {
            let get = Block::get().indexed_field("x-test", "1");
            let first = client.request(&Block::new().table_size(0).raw(&get));
            let _ = client.answer(first);
            client.request(&Block::get().index(62))
        })
        .known(OTHER, "another code"),
    ]
}
