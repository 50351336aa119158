//! The program that the kernel runs on each datagram of a group of sockets (`SO_REUSEPORT`, socket(7))
//! to choose one of them. Classic BPF: it needs no privilege, and can only read and compare.
#![allow(unsafe_code)] // one setsockopt that no safe wrapper offers

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::udp::Steering;

/// `BPF_LD | BPF_B | BPF_ABS`: the byte at `k`; without one the program ends with 0.
const LOAD: u16 = 0x30;
/// `BPF_JMP | BPF_JSET | BPF_K`: whether any bit of `k` is set.
const IF_BITS: u16 = 0x45;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;
/// `BPF_ALU | BPF_MOD | BPF_K`.
const REMAINDER: u16 = 0x94;
/// `BPF_ALU | BPF_ADD | BPF_K`.
const ADD: u16 = 0x04;
/// `BPF_RET | BPF_A`: the place; one that does not exist is as if there were no program.
const RETURN: u16 = 0x16;

/// Headers as in RFC 8999 §5: the same in every version of QUIC.
pub(crate) fn program(steering: Steering) -> [libc::sock_filter; 12] {
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let branch = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    [
        step(LOAD, 0),
        branch(IF_BITS, 0x80, 2, 0),
        // A short header: flags, then the connection ID.
        step(LOAD, 1),
        step(RETURN, 0),
        // A long one: flags, version (4), length of the ID, the ID.
        step(LOAD, 5),
        branch(IF_EQUAL, steering.id_length.into(), 0, 2),
        step(LOAD, 6),
        step(RETURN, 0),
        // A client's own: spread by it, so that all packets of a handshake meet.
        step(LOAD, 6),
        step(REMAINDER, steering.count.max(1).into()),
        step(ADD, steering.first.into()),
        step(RETURN, 0),
    ]
}

/// Gives the group of `socket` this program.
pub(crate) fn attach(socket: BorrowedFd<'_>, steps: &[libc::sock_filter]) -> io::Result<()> {
    let mut steps = steps.to_vec();
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the descriptor is open as long as it is borrowed. `program` and the `len` steps it points
    // to are initialised and live through the call, in which the kernel copies both and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            mem::size_of_val(&program) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
