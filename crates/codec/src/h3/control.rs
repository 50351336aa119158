//! A peer's unidirectional streams: control (RFC 9114 §6.2.1, §7.2) and QPACK's two (RFC 9204 §4.2),
//! which have little to say to a decoder without a dynamic table. Owns what they may say, when, and
//! how much of it.

use super::Code;
use super::frame::{FrameHead, HeadReader, kind};
use super::varint::{put_varint, varint};

/// Longest SETTINGS taken; real ones have a few dozen bytes.
const SETTINGS_MAX: u64 = 1024;
/// Most settings in it.
const SETTINGS_COUNT_MAX: usize = 64;
/// Frames without an effect that a connection may have in all: what greases sends one or two, and
/// nobody has to say anything else on a control stream more than a few times.
const FRAMES_MAX: u32 = 1000;
/// Bytes without a meaning, in all.
const MEANINGLESS_BYTES_MAX: u64 = 64 * 1024;

/// SETTINGS_QPACK_MAX_TABLE_CAPACITY (RFC 9204 §5).
const QPACK_TABLE: u64 = 0x01;
/// SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114 §7.2.4.1).
const FIELD_SECTION: u64 = 0x06;
/// SETTINGS_QPACK_BLOCKED_STREAMS (RFC 9204 §5).
const QPACK_BLOCKED: u64 = 0x07;
/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220 §3).
const CONNECT_PROTOCOL: u64 = 0x08;

/// What a side says about itself, as far as the other has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest field section it takes: names, values, and 32 for each (RFC 9114 §4.2.2).
    pub field_section_max: u64,
    /// It takes extended CONNECT (RFC 9220).
    pub connect_protocol: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { field_section_max: u64::MAX, connect_protocol: false }
    }
}

/// What begins our control stream: its type and our settings. No dynamic table, so that no section is
/// ever blocked and a client cannot make us hold anything (RFC 9204 §5).
pub fn settings_frame(settings: &Settings) -> Vec<u8> {
    let mut payload = Vec::new();
    for (setting, value) in [
        (QPACK_TABLE, 0),
        (QPACK_BLOCKED, 0),
        (FIELD_SECTION, settings.field_section_max),
        (CONNECT_PROTOCOL, u64::from(settings.connect_protocol)),
    ] {
        put_varint(&mut payload, setting);
        put_varint(&mut payload, value);
    }
    let mut out = vec![0x00]; // the type of control streams
    put_varint(&mut out, kind::SETTINGS);
    put_varint(&mut out, payload.len() as u64);
    out.extend_from_slice(&payload);
    out
}

/// GOAWAY (RFC 9114 §5.2): requests on streams from `stream` on are not served.
pub fn goaway_frame(stream: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    put_varint(&mut payload, stream);
    let mut out = Vec::new();
    put_varint(&mut out, kind::GOAWAY);
    put_varint(&mut out, payload.len() as u64);
    out.extend_from_slice(&payload);
    out
}

/// What was said on a control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first thing.
    Settings(Settings),
    /// The peer is about to leave. A server serves no requests on streams from this one on; what a
    /// client says is about pushes, which there are none of.
    Goaway(u64),
}

/// A peer's control stream, after its type: a client's by default.
#[derive(Debug, Default)]
pub struct Control {
    /// It is a server's.
    of_server: bool,
    head: HeadReader,
    /// The frame in progress and what has come of its payload.
    frame: Option<(FrameHead, Vec<u8>)>,
    /// Bytes to pass over.
    skip: u64,
    has_settings: bool,
    goaway: Option<u64>,
    push_max: Option<u64>,
    frames: u32,
    meaningless_bytes: u64,
}

impl Control {
    /// A server's.
    pub fn of_server() -> Self {
        Self { of_server: true, ..Self::default() }
    }

    /// Takes what has come; at most one event at a time, with what is left of `bytes`.
    ///
    /// # Errors
    /// What ends the connection.
    pub fn feed<'b>(&mut self, mut bytes: &'b [u8]) -> Result<(Option<Event>, &'b [u8]), Code> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let now = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip = self.skip.saturating_sub(now as u64);
                bytes = bytes.get(now..).unwrap_or_default();
                continue;
            }
            if self.frame.is_none() {
                let now = self.head.wanted().min(bytes.len());
                let head = self.head.push(bytes.get(..now).unwrap_or_default());
                bytes = bytes.get(now..).unwrap_or_default();
                let Some(head) = head else { continue };
                self.begin(head)?;
            }
            let Some((head, payload)) = &mut self.frame else { continue };
            let missing = head.length.saturating_sub(payload.len() as u64);
            let now = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
            payload.extend_from_slice(bytes.get(..now).unwrap_or_default());
            bytes = bytes.get(now..).unwrap_or_default();
            if payload.len() as u64 == head.length
                && let Some((head, payload)) = self.frame.take()
                && let Some(event) = self.end(head, &payload)?
            {
                return Ok((Some(event), bytes));
            }
        }
        Ok((None, bytes))
    }

    fn begin(&mut self, head: FrameHead) -> Result<(), Code> {
        self.frames = self.frames.saturating_add(1);
        if self.frames > FRAMES_MAX {
            return Err(Code::ExcessiveLoad);
        }
        match head.kind {
            // The first frame, and only that (§6.2.1, §7.2.4).
            kind::SETTINGS if self.has_settings => return Err(Code::FrameUnexpected),
            kind::SETTINGS if head.length > SETTINGS_MAX => return Err(Code::ExcessiveLoad),
            kind::SETTINGS => {}
            _ if !self.has_settings => return Err(Code::MissingSettings),
            // Only clients say how much may be pushed (§7.2.7).
            kind::MAX_PUSH_ID if self.of_server => return Err(Code::FrameUnexpected),
            kind::GOAWAY | kind::CANCEL_PUSH | kind::MAX_PUSH_ID => {
                if head.length > 8 {
                    return Err(Code::FrameError);
                }
            }
            kind::DATA | kind::HEADERS | kind::PUSH_PROMISE => return Err(Code::FrameUnexpected),
            other if kind::is_of_http_2(other) => return Err(Code::FrameUnexpected),
            _ => {
                self.meaningless_bytes = self.meaningless_bytes.saturating_add(head.length);
                if self.meaningless_bytes > MEANINGLESS_BYTES_MAX {
                    return Err(Code::ExcessiveLoad);
                }
                self.skip = head.length;
                return Ok(());
            }
        }
        self.frame = Some((head, Vec::new()));
        Ok(())
    }

    fn end(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Event>, Code> {
        if head.kind == kind::SETTINGS {
            self.has_settings = true;
            return read_settings(payload).map(Event::Settings).map(Some);
        }
        // The others hold one integer and nothing else (§7.1).
        let Some((id, _)) = varint(payload).filter(|(_, length)| *length == payload.len()) else {
            return Err(Code::FrameError);
        };
        match head.kind {
            // It never grows (§5.2).
            kind::GOAWAY if self.goaway.is_some_and(|before| id > before) => Err(Code::IdError),
            // A server's names a stream of requests (§5.2).
            kind::GOAWAY if self.of_server && id % 4 != 0 => Err(Code::IdError),
            kind::GOAWAY => {
                self.goaway = Some(id);
                Ok(Some(Event::Goaway(id)))
            }
            // It never shrinks (§7.2.7).
            kind::MAX_PUSH_ID if self.push_max.is_some_and(|before| id < before) => {
                Err(Code::IdError)
            }
            kind::MAX_PUSH_ID => {
                self.push_max = Some(id);
                Ok(None)
            }
            // Nothing was ever promised (§7.2.3).
            _ => Err(Code::IdError),
        }
    }
}

fn read_settings(mut payload: &[u8]) -> Result<Settings, Code> {
    let mut settings = Settings::default();
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let (setting, value, length) = varint(payload)
            .and_then(|(setting, at)| {
                let (value, length) = varint(payload.get(at..)?)?;
                Some((setting, value, at.saturating_add(length)))
            })
            .ok_or(Code::FrameError)?;
        payload = payload.get(length..).unwrap_or_default();
        // Once each, and none of HTTP/2's (§7.2.4, §7.2.4.1).
        if seen.contains(&setting) || matches!(setting, 0x00 | 0x02 | 0x03 | 0x04 | 0x05) {
            return Err(Code::SettingsError);
        }
        if seen.len() >= SETTINGS_COUNT_MAX {
            return Err(Code::ExcessiveLoad);
        }
        seen.push(setting);
        match setting {
            FIELD_SECTION => settings.field_section_max = value,
            CONNECT_PROTOCOL if value > 1 => return Err(Code::SettingsError),
            CONNECT_PROTOCOL => settings.connect_protocol = value == 1,
            _ => {}
        }
    }
    Ok(settings)
}

/// What a client's encoder says to a decoder without a dynamic table: nothing, or that it will not use
/// one (RFC 9204 §4.3.1).
#[derive(Debug, Default)]
pub struct EncoderStream;

impl EncoderStream {
    /// Takes what has come.
    ///
    /// # Errors
    /// An instruction that needs a table (RFC 9204 §3.2.3).
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Code> {
        let is_capacity_0 = |byte: &u8| *byte == 0x20;
        match bytes.iter().all(is_capacity_0) {
            true => Ok(()),
            false => Err(Code::QpackEncoderStreamError),
        }
    }
}

/// What a client's decoder says to an encoder that never inserts: that it gave up a stream (RFC 9204
/// §4.4.2).
#[derive(Debug, Default)]
pub struct DecoderStream {
    /// Bytes of the integer in progress.
    within: u8,
}

impl DecoderStream {
    /// Takes what has come.
    ///
    /// # Errors
    /// An acknowledgement of what was never sent.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Code> {
        for byte in bytes {
            match self.within {
                0 if byte >> 6 != 0b01 => return Err(Code::QpackDecoderStreamError),
                0 => self.within = u8::from(byte & 0x3f == 0x3f),
                10.. => return Err(Code::QpackDecoderStreamError), // longer than any stream's number
                _ if byte & 0x80 == 0 => self.within = 0,
                _ => self.within = self.within.saturating_add(1),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, kind);
        put_varint(&mut out, payload.len() as u64);
        out.extend_from_slice(payload);
        out
    }

    /// Everything that is said, in pieces of `step` bytes.
    fn hear(bytes: &[u8], step: usize) -> Result<Vec<Event>, Code> {
        let (mut control, mut events) = (Control::default(), Vec::new());
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let (event, rest) = control.feed(piece)?;
                events.extend(event);
                piece = rest;
            }
        }
        Ok(events)
    }

    fn after_settings(kind: u64, payload: &[u8]) -> Result<Vec<Event>, Code> {
        hear(&[frame(4, &[]), frame(kind, payload)].concat(), 1)
    }

    #[test]
    fn settings_come_first_and_once_in_whatever_pieces_rfc_9114_7_2_4() {
        let bytes = frame(4, &[0x06, 0x40, 0x64, 0x08, 0x01, 0x21, 0x05]);
        let settings = Settings { field_section_max: 100, connect_protocol: true };
        for step in 1..=bytes.len() {
            assert_eq!(hear(&bytes, step), Ok(vec![Event::Settings(settings)]));
        }
        assert_eq!(hear(&frame(7, &[0]), 9), Err(Code::MissingSettings));
        assert_eq!(after_settings(4, &[]), Err(Code::FrameUnexpected));
    }

    #[test]
    fn our_own_settings_are_read_as_they_were_meant() {
        let settings = Settings { field_section_max: 12_345, connect_protocol: true };
        let bytes = settings_frame(&settings);
        assert_eq!(bytes[0], 0);
        assert_eq!(hear(&bytes[1..], 3), Ok(vec![Event::Settings(settings)]));
    }

    #[test]
    fn settings_of_http_2_and_settings_said_twice_end_the_connection_rfc_9114_7_2_4_1() {
        for payload in [&[2, 0][..], &[3, 1], &[4, 1], &[5, 1], &[6, 1, 6, 1], &[8, 2]] {
            assert_eq!(hear(&frame(4, payload), 64), Err(Code::SettingsError), "{payload:?}");
        }
        assert_eq!(hear(&frame(4, &[6]), 64), Err(Code::FrameError));
    }

    #[test]
    fn frames_of_requests_do_not_belong_here_rfc_9114_7_2() {
        for kind in [0, 1, 2, 5, 6, 8, 9] {
            assert_eq!(after_settings(kind, &[]), Err(Code::FrameUnexpected));
        }
    }

    #[test]
    fn identifiers_go_one_way_rfc_9114_5_2_and_7_2_7() {
        let heard = |frames: [Vec<u8>; 2]| hear(&[frame(4, &[]), frames.concat()].concat(), 2);
        assert!(heard([frame(7, &[8]), frame(7, &[4])]).is_ok());
        assert_eq!(heard([frame(7, &[4]), frame(7, &[8])]), Err(Code::IdError));
        assert!(heard([frame(13, &[4]), frame(13, &[8])]).is_ok());
        assert_eq!(heard([frame(13, &[8]), frame(13, &[4])]), Err(Code::IdError));
        assert_eq!(after_settings(3, &[1]), Err(Code::IdError));
        assert_eq!(after_settings(7, &[1, 1]), Err(Code::FrameError));
        assert_eq!(after_settings(7, &[0x40]), Err(Code::FrameError));
        assert_eq!(after_settings(7, &[]), Err(Code::FrameError));
    }

    #[test]
    fn a_server_says_from_which_request_on_it_leaves_and_nothing_of_pushes_rfc_9114_5_2_and_7_2_7()
    {
        let hear = |kind: u64, payload: &[u8]| {
            let mut control = Control::of_server();
            control.feed(&frame(4, &[])).unwrap();
            control.feed(&frame(kind, payload)).map(|(event, _)| event)
        };
        assert_eq!(hear(7, &[8]), Ok(Some(Event::Goaway(8))));
        assert_eq!(hear(7, &[9]), Err(Code::IdError));
        assert_eq!(hear(13, &[8]), Err(Code::FrameUnexpected));
        assert_eq!(hear(3, &[1]), Err(Code::IdError));
    }

    #[test]
    fn grease_is_passed_over_rfc_9114_7_2_8_until_it_is_a_load() {
        assert_eq!(after_settings(0x1f * 9 + 0x21, &[7; 100]).map(|events| events.len()), Ok(1));
        let flood = [frame(4, &[]), frame(0x21, &[]).repeat(1001)].concat();
        assert_eq!(hear(&flood, 100), Err(Code::ExcessiveLoad));
        let mut huge = frame(4, &[]);
        huge.extend_from_slice(&[0x21, 0xbf, 0xff, 0xff, 0xff]);
        assert_eq!(hear(&huge, 100), Err(Code::ExcessiveLoad));
    }

    #[test]
    fn an_encoder_has_no_table_to_speak_of_rfc_9204_3_2_3() {
        assert_eq!(EncoderStream.feed(&[0x20, 0x20]), Ok(()));
        for instruction in [0x21, 0x3f, 0x80, 0x40, 0x00] {
            assert_eq!(EncoderStream.feed(&[instruction]), Err(Code::QpackEncoderStreamError));
        }
    }

    #[test]
    fn a_decoder_may_give_up_streams_and_acknowledge_nothing_rfc_9204_4_4() {
        let mut stream = DecoderStream::default();
        assert_eq!(stream.feed(&[0x44, 0x7f, 0x80, 0x01, 0x48]), Ok(()));
        for wrong in [
            &[0x80][..],
            &[0x01],
            &[0x7f, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x01],
        ] {
            let heard = DecoderStream::default().feed(wrong);
            assert_eq!(heard, Err(Code::QpackDecoderStreamError));
        }
    }
}
