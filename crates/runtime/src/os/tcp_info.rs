//! What the kernel knows about a connection (`TCP_INFO`).
#![allow(unsafe_code)] // one getsockopt that no safe wrapper offers

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes the peer's kernel has acknowledged, its SYN included; `None` if the kernel does not say.
pub(crate) fn bytes_acked(socket: BorrowedFd<'_>) -> Option<u64> {
    // Beyond the part that libc declares on every target, the kernel's layout is fixed: it only
    // ever grows at its end. `tcpi_bytes_acked` is the u64 at byte 120.
    const OFFSET: usize = 120;
    const END: usize = OFFSET + mem::size_of::<u64>();
    let mut info = [0_u8; END];
    let mut length = END as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed. `info` is valid for writes of `length`
    // bytes, nothing else refers to it or to `length`, and both live through the call, after which the
    // kernel keeps no pointer to them. It writes at most `length` bytes, which need no alignment, and
    // stores how many in `length`; any bytes are a valid array.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 || (length as usize) < END {
        return None;
    }
    let bytes = info.get(OFFSET..END)?.try_into().ok()?;
    Some(u64::from_ne_bytes(bytes))
}
