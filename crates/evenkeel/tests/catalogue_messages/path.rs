//! Group E: paths made comparable before anything is decided by them (RFC 3986 §2.1, §6.2.2).
