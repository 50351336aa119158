//! The program that the kernel runs on each datagram of a group of sockets (`SO_REUSEPORT`, socket(7))
//! to choose one of them. Classic BPF: it needs no privilege, and can only read and compare.
#![allow(unsafe_code)] // one setsockopt that no safe wrapper offers

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::udp::{SteerBy, Steering};

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

/// `BPF_LD | BPF_W | BPF_ABS`: four bytes at `k`, in network order.
const LOAD_WORD: u16 = 0x20;
/// `BPF_LD | BPF_W | BPF_IND`: the same at `x` + `k`.
const LOAD_WORD_AT: u16 = 0x40;
/// `BPF_LDX | BPF_B | BPF_MSH`: into `x` four times the lower half of the byte at `k`: the length of an
/// IPv4 header.
const HEADER_LENGTH: u16 = 0xb1;
/// `BPF_MISC | BPF_TAX`: into `x` what is in `a`.
const KEEP: u16 = 0x07;
/// `BPF_ALU | BPF_XOR | BPF_X`.
const MIX: u16 = 0xac;
/// `BPF_ST` and `BPF_LDX | BPF_MEM`: into memory, and from there into `x`.
const STORE: u16 = 0x02;
const RECALL: u16 = 0x61;
/// `BPF_ALU | BPF_MUL | BPF_K` and `BPF_ALU | BPF_RSH | BPF_K`.
const TIMES: u16 = 0x24;
const SHIFT: u16 = 0x74;
/// Offsets from here on count from the network header (`SKF_NET_OFF`).
const NETWORK: u32 = 0xfff0_0000;
/// 2^32 divided by the golden ratio: neighbours fall far apart (Knuth, TAOCP 3, §6.4).
const SPREAD: u32 = 0x9e37_79b1;

fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

pub(crate) fn program(steering: Steering, is_ipv6: bool) -> Vec<libc::sock_filter> {
    let mut steps = match (steering.by, is_ipv6) {
        (SteerBy::ConnectionId { length }, _) => by_connection_id(length),
        (SteerBy::Sender { ports }, false) => by_ipv4(ports),
        (SteerBy::Sender { ports }, true) => by_ipv6(ports),
    };
    steps.extend([
        step(REMAINDER, steering.count.max(1).into()),
        step(ADD, steering.first.into()),
        step(RETURN, 0),
    ]);
    steps
}

/// Headers as in RFC 8999 §5: the same in every version of QUIC.
fn by_connection_id(length: u8) -> Vec<libc::sock_filter> {
    let branch = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, 0),
        branch(IF_BITS, 0x80, 2, 0),
        // A short header: flags, then the connection ID.
        step(LOAD, 1),
        step(RETURN, 0),
        // A long one: flags, version (4), length of the ID, the ID.
        step(LOAD, 5),
        branch(IF_EQUAL, length.into(), 0, 2),
        step(LOAD, 6),
        step(RETURN, 0),
        // A client's own: spread by it, so that all packets of a handshake meet.
        step(LOAD, 6),
    ]
}

/// The sender's address (RFC 791 §3.1), and both ports, which follow the header.
fn by_ipv4(ports: bool) -> Vec<libc::sock_filter> {
    let mut steps = vec![step(LOAD_WORD, NETWORK + 12)];
    if ports {
        steps.extend([
            step(STORE, 0),
            step(HEADER_LENGTH, NETWORK),
            step(LOAD_WORD_AT, NETWORK),
            step(RECALL, 0),
            step(MIX, 0),
        ]);
    }
    steps.extend(spread());
    steps
}

/// The sender's address (RFC 8200 §3), or its network of 64 bits, and both ports. Behind an extension
/// header they are other bytes, but the same ones for each sender.
fn by_ipv6(ports: bool) -> Vec<libc::sock_filter> {
    let more: &[u32] = if ports { &[12, 16, 20, 40] } else { &[12] };
    let mut steps = vec![step(LOAD_WORD, NETWORK + 8)];
    for offset in more {
        steps.extend([step(KEEP, 0), step(LOAD_WORD, NETWORK + offset), step(MIX, 0)]);
    }
    steps.extend(spread());
    steps
}

fn spread() -> [libc::sock_filter; 2] {
    [step(TIMES, SPREAD), step(SHIFT, 16)]
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
