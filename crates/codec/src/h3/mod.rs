//! HTTP/3's own layer (RFC 9114 §6, §7): frames and streams, as pure state machines that see bytes in
//! whatever pieces they come and hold a few of them at most. Field sections are opaque here: QPACK and
//! QUIC are others' work, and what a section means is the translation's.

mod control;
mod frame;
mod resets;
mod varint;

pub use control::{
    Control, DecoderStream, EncoderStream, Event, Settings, goaway_frame, settings_frame,
};
pub use frame::{FrameHead, HeadReader, Piece, RequestStream, StreamKind, frame_head};
pub use resets::Resets;
pub use varint::{VARINT_MAX, put_varint, varint, varint_length};

/// Why a stream or a connection ends (RFC 9114 §8.1, RFC 9204 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's")]
#[repr(u64)]
pub enum Code {
    NoError = 0x100,
    GeneralProtocolError = 0x101,
    InternalError = 0x102,
    StreamCreationError = 0x103,
    ClosedCriticalStream = 0x104,
    FrameUnexpected = 0x105,
    FrameError = 0x106,
    ExcessiveLoad = 0x107,
    IdError = 0x108,
    SettingsError = 0x109,
    MissingSettings = 0x10a,
    RequestRejected = 0x10b,
    RequestCancelled = 0x10c,
    RequestIncomplete = 0x10d,
    MessageError = 0x10e,
    ConnectError = 0x10f,
    VersionFallback = 0x110,
    QpackDecompressionFailed = 0x200,
    QpackEncoderStreamError = 0x201,
    QpackDecoderStreamError = 0x202,
}

impl Code {
    /// Of a value on the wire; `None` of one that means nothing here.
    pub fn of(value: u64) -> Option<Self> {
        use Code::*;
        let all = [
            NoError,
            GeneralProtocolError,
            InternalError,
            StreamCreationError,
            ClosedCriticalStream,
            FrameUnexpected,
            FrameError,
            ExcessiveLoad,
            IdError,
            SettingsError,
            MissingSettings,
            RequestRejected,
            RequestCancelled,
            RequestIncomplete,
            MessageError,
            ConnectError,
            VersionFallback,
            QpackDecompressionFailed,
            QpackEncoderStreamError,
            QpackDecoderStreamError,
        ];
        all.into_iter().find(|code| code.value() == value)
    }

    /// On the wire.
    pub fn value(self) -> u64 {
        self as u64
    }
}
