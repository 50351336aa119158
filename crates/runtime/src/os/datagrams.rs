//! Several datagrams with one call to the kernel (`recvmmsg`, `sendmmsg`), and several of one length
//! as one (udp(7): `UDP_GRO`, `UDP_SEGMENT`). Owns the buffers and what the kernel is told; who talks
//! to whom is the caller's.
#![allow(unsafe_code)] // two system calls and their control messages, which no safe wrapper offers

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::{SockAddr, SockAddrStorage};

/// Datagrams, or runs of them, that one call receives or sends.
pub(crate) const BATCH: usize = 32;
/// No datagram is longer, nor is a run of them that the kernel has joined.
pub(crate) const LONGEST: usize = 65_535;
/// Pieces that the kernel cuts one send into at most (`UDP_MAX_SEGMENTS` of older kernels).
const SEGMENTS_MAX: usize = 64;

/// Who sent what has no sender.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// What one message says beside its bytes: room for a packet's address and a segment's length.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 96]);

/// Where a received run of datagrams comes from, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) from: SocketAddr,
    /// Our address that it was sent to, if it was asked for.
    pub(crate) to: Option<IpAddr>,
    pub(crate) length: usize,
    /// Of each datagram but the last.
    pub(crate) segment: usize,
}

/// A message that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) segment: usize,
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<IpAddr>,
}

/// Has the kernel tell with each datagram which of our addresses it was sent to, and join what comes
/// in a run. What it cannot do it does not.
pub(crate) fn tell_all(socket: BorrowedFd<'_>, address: SocketAddr) {
    if address.ip().is_unspecified() {
        let (level, name) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        let _ = set(socket, level, name, 1);
    }
    let _ = join_runs(socket);
}

/// Has the kernel join datagrams that come in a run.
pub(crate) fn join_runs(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel reads one `c_int`, which
    // lives through the call.
    let result = unsafe {
        let length = mem::size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: a plain C struct of integers and pointers, for which all bits zero is a value.
    unsafe { mem::zeroed() }
}

/// Receives what there is, one run into each of `buffers`; `labels` gets one entry for each.
pub(crate) fn receive<'b>(
    socket: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'b mut [u8]>,
    labels: &mut Vec<Label>,
) -> io::Result<()> {
    labels.clear();
    let mut names: [SockAddrStorage; BATCH] = std::array::from_fn(|_| SockAddrStorage::zeroed());
    let mut controls = [Control([0; 96]); BATCH];
    let mut slices = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
    let mut headers = [libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH];
    let parts = slices.iter_mut().zip(&mut names).zip(&mut controls);
    let mut count = 0;
    for ((header, ((slice, name), control)), buffer) in headers.iter_mut().zip(parts).zip(buffers) {
        slice.iov_base = buffer.as_mut_ptr().cast();
        slice.iov_len = buffer.len();
        let header = &mut header.msg_hdr;
        header.msg_name = (&raw mut *name).cast();
        header.msg_namelen = name.size_of();
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control.0).cast();
        header.msg_controllen = control.0.len() as _;
        count += 1;
    }
    // SAFETY: each of the first `count` headers points to a name, a control buffer, a slice and a buffer
    // of its own with their true lengths, all of which live through the call and are borrowed for it.
    let received = unsafe {
        let timeout = ptr::null_mut();
        let (all, flags) = (headers.as_mut_ptr(), libc::MSG_DONTWAIT as _);
        libc::recvmmsg(socket.as_raw_fd(), all, count, flags, timeout)
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (header, name) in headers.iter().zip(names).take(received) {
        let (to, segment) = read_control(&header.msg_hdr);
        // SAFETY: the kernel has written an address of that length, at most that of the storage.
        let from = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) }.as_socket();
        let length = header.msg_len as usize;
        let segment = segment.filter(|segment| *segment > 0).unwrap_or(length);
        let from = from.unwrap_or(NOBODY); // there is one: IP has no other addresses
        labels.push(Label { from, to, length, segment });
    }
    Ok(())
}

/// Receives one run on a connected socket: its length, and that of a segment.
pub(crate) fn receive_connected(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
) -> io::Result<(usize, usize)> {
    let mut slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let mut control = Control([0; 96]);
    let mut header = empty_header();
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control.0).cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: the header points to one slice into `room` and one control buffer with their true lengths,
    // which live through the call and are borrowed for it.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let segment = read_control(&header).1.filter(|segment| *segment > 0).unwrap_or(length);
    Ok((length, segment))
}

/// Our address, and the length of a segment.
fn read_control(header: &libc::msghdr) -> (Option<IpAddr>, Option<usize>) {
    let (mut to, mut segment) = (None, None);
    // SAFETY: `header` is as the kernel left it: its control buffer holds whole messages, between which
    // these macros step, and ends at `msg_controllen`. Each kind is as long as what is read of it;
    // reads need no alignment.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(known) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (known.cmsg_level, known.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = ptr::read_unaligned(data.cast());
                    to = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = ptr::read_unaligned(data.cast());
                    to = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let length: libc::c_int = ptr::read_unaligned(data.cast());
                    segment = usize::try_from(length).ok();
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (to, segment)
}

/// Sends these, in order; how many went before one did not.
pub(crate) fn send(socket: BorrowedFd<'_>, arena: &[u8], parcels: &[Parcel]) -> io::Result<usize> {
    let mut names = [const { None }; BATCH];
    let mut controls = [Control([0; 96]); BATCH];
    let mut slices = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
    let mut headers = [libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH];
    let parts = slices.iter_mut().zip(&mut names).zip(&mut controls);
    let mut count = 0;
    for ((header, ((slice, name), control)), parcel) in headers.iter_mut().zip(parts).zip(parcels) {
        let end = parcel.start.saturating_add(parcel.length);
        let bytes = arena.get(parcel.start..end).unwrap_or_default();
        let name: &SockAddr = name.insert(SockAddr::from(parcel.to));
        slice.iov_base = bytes.as_ptr().cast_mut().cast();
        slice.iov_len = bytes.len();
        let header = &mut header.msg_hdr;
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.len();
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        let segment = (parcel.segment < parcel.length).then_some(parcel.segment);
        write_control(header, control, parcel.from, segment);
        count += 1;
    }
    // SAFETY: each of the first `count` headers points to a name, a slice and a control buffer of its own
    // with their true lengths, and each slice into `arena`; all live through the call, in which the
    // kernel only reads them, but for `msg_len` in the headers.
    let sent = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sends `bytes` on a connected socket, cut into datagrams of `segment` if they are longer.
pub(crate) fn send_connected(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    segment: usize,
) -> io::Result<()> {
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; 96]);
    let mut header = empty_header();
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    write_control(&mut header, &mut control, None, (segment < bytes.len()).then_some(segment));
    // SAFETY: the header points to one slice and one control buffer with their true lengths, which live
    // through the call; the kernel only reads them.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &raw const header,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Says where a message is sent from, and how it is cut.
fn write_control(
    header: &mut libc::msghdr,
    control: &mut Control,
    from: Option<IpAddr>,
    segment: Option<usize>,
) {
    let segment = segment.and_then(|length| u16::try_from(length).ok());
    let mut used = 0_usize;
    let mut put = |level, kind, data: &[u8]| {
        // SAFETY: they only compute; the lengths are those of the structs above, far from overflow.
        let (length, space) = unsafe {
            let size = data.len() as libc::c_uint;
            (libc::CMSG_LEN(size) as usize, libc::CMSG_SPACE(size) as usize)
        };
        let Some(place) = control.0.get_mut(used..used + space) else { return };
        let head = libc::cmsghdr { cmsg_len: length as _, cmsg_level: level, cmsg_type: kind };
        // SAFETY: `place` is as long as a header and `data` with their padding, as the kernel counts it.
        unsafe { ptr::write_unaligned(place.as_mut_ptr().cast(), head) };
        let begin = length - data.len();
        if let Some(payload) = place.get_mut(begin..length) {
            payload.copy_from_slice(data);
        }
        used += space;
    };
    match from {
        // `in_pktinfo`: interface, source, destination.
        Some(IpAddr::V4(ip)) => {
            let mut info = [0; 12];
            if let Some(source) = info.get_mut(4..8) {
                source.copy_from_slice(&ip.octets());
            }
            put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        // `in6_pktinfo`: source, interface.
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20];
            if let Some(source) = info.get_mut(..16) {
                source.copy_from_slice(&ip.octets());
            }
            put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if let Some(segment) = segment {
        put(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    if used > 0 {
        header.msg_control = (&raw mut control.0).cast();
        header.msg_controllen = used as _;
    }
}

/// Whether the kernel said that it cannot cut a message: then each datagram has to be sent alone.
pub(crate) fn cannot_cut(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// Bytes that one send may hold of datagrams of this length.
pub(crate) fn cut_max(segment: usize) -> usize {
    segment.saturating_mul(SEGMENTS_MAX).min(LONGEST - 64)
}
