//! Why a request head is refused, in words and as a status.

/// Why a request head is refused.
#[allow(missing_docs)] // `reason` says it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    BadRequestLine,
    BadMethod,
    MethodNotAllowed,
    BadTarget,
    BadVersion,
    VersionNotSupported,
    BadLineEnd,
    BadFieldName,
    BadFieldValue,
    FoldedField,
    AmbiguousFieldName,
    LineTooLong,
    HeadTooLarge,
    TooManyFields,
    BadHost,
    HostMismatch,
    BadContentLength,
    LengthAndCoding,
    BadTransferCoding,
    UnknownTransferCoding,
    BadConnection,
    BadExpectation,
    UnexpectedBody,
}

impl RequestError {
    /// The status of the answer (RFC 9110 §15.5, §15.6; RFC 6585 §5).
    pub fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::LineTooLong => 414,
            Self::BadExpectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnknownTransferCoding => 501,
            Self::VersionNotSupported => 505,
            _ => 400,
        }
    }

    /// A stable word for logs and scripts.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::BadMethod => "bad_method",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadTarget => "bad_target",
            Self::BadVersion => "bad_version",
            Self::VersionNotSupported => "version_not_supported",
            Self::BadLineEnd => "bad_line_end",
            Self::BadFieldName => "bad_field_name",
            Self::BadFieldValue => "bad_field_value",
            Self::FoldedField => "folded_field",
            Self::AmbiguousFieldName => "ambiguous_field_name",
            Self::LineTooLong => "request_line_too_long",
            Self::HeadTooLarge => "request_head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::BadHost => "bad_host",
            Self::HostMismatch => "host_mismatch",
            Self::BadContentLength => "bad_content_length",
            Self::LengthAndCoding => "length_and_transfer_coding",
            Self::BadTransferCoding => "bad_transfer_coding",
            Self::UnknownTransferCoding => "unknown_transfer_coding",
            Self::BadConnection => "bad_connection_option",
            Self::BadExpectation => "unknown_expectation",
            Self::UnexpectedBody => "unexpected_body",
        }
    }
}
