//! Open files on their way to another process: bytes and descriptors over a Unix stream
//! (`unix(7)`, SCM_RIGHTS), and standard input taken over as one. Owns what the kernel is asked;
//! what the bytes mean is the caller's.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors that one message can carry: the kernel's `SCM_MAX_FD`.
pub const PER_MESSAGE_MAX: usize = 253;

/// Room for one message's descriptors.
const SPACE: usize = rustix::cmsg_space!(ScmRights(PER_MESSAGE_MAX));

/// Sends all `bytes`, with duplicates of `carried` attached to the first of them. Blocks for at most
/// the stream's write timeout at a time.
///
/// # Errors
/// `InvalidInput` when nothing can carry the descriptors (no bytes) or they are too many, `TimedOut`,
/// and whatever the kernel says; some bytes may have been sent then.
pub fn send(stream: &UnixStream, bytes: &[u8], carried: &[BorrowedFd<'_>]) -> io::Result<()> {
    if carried.len() > PER_MESSAGE_MAX || (bytes.is_empty() && !carried.is_empty()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (mut left, mut carried) = (bytes, carried);
    while !left.is_empty() {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !carried.is_empty() && !control.push(SendAncillaryMessage::ScmRights(carried)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match sendmsg(stream, &[IoSlice::new(left)], &mut control, SendFlags::NOSIGNAL) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => (left, carried) = (left.get(sent..).unwrap_or_default(), &[]),
            Err(error) => resume(error.into())?,
        }
    }
    Ok(())
}

/// Receives at least one byte, unless the other end is closed (0), and the descriptors that came
/// with them, which no child inherits (CLOEXEC). Descriptors never come without a byte. Blocks for at
/// most the stream's read timeout.
///
/// # Errors
/// `TimedOut`, `InvalidData` when the kernel had to drop descriptors (the process may have too many
/// open), and whatever the kernel says. All that came with the failed call is closed.
pub fn receive(
    stream: &UnixStream,
    buffer: &mut [u8],
    carried: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    loop {
        let mut space = [MaybeUninit::uninit(); SPACE];
        // Dropping it closes what has not been taken out.
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(buffer)];
        let got = match recvmsg(stream, slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(got) => got,
            Err(error) => {
                resume(error.into())?;
                continue;
            }
        };
        if got.flags.contains(ReturnFlags::CTRUNC) {
            let message = "descriptors were lost: too many are open, or too many came at once";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                carried.extend(descriptors);
            }
        }
        return Ok(got.bytes);
    }
}

/// Whether to try again; a socket's timeout says "would block".
fn resume(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        _ => Err(error),
    }
}

/// What standard input was, as a descriptor that no child inherits; standard input is `/dev/null`
/// from now on.
///
/// # Errors
/// Whatever the kernel says; standard input is unchanged then.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        for end in [&a, &b] {
            end.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        (a, b)
    }

    /// Open descriptors that lead to the same socket or pipe as `file`.
    fn copies(file: &impl AsRawFd) -> usize {
        let target = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        all.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|at| at == target)).count()
    }

    #[test]
    fn a_descriptor_arrives_with_the_bytes_it_was_sent_with_and_is_the_same_open_file() {
        let (a, b) = pair();
        let (mut near, far) = pair();
        send(&a, b"one", &[far.as_fd()]).unwrap();
        send(&a, b"two", &[]).unwrap();
        let (mut buffer, mut carried) = ([0; 16], Vec::new());
        let got = receive(&b, &mut buffer, &mut carried).unwrap();
        assert!((3..=6).contains(&got) && carried.len() == 1);
        drop(far);
        UnixStream::from(carried.pop().unwrap()).write_all(b"!").unwrap();
        let mut said = [0];
        near.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"!");
    }

    #[test]
    fn what_is_received_is_not_inherited_by_children() {
        let (a, b) = pair();
        let (_near, far) = pair();
        send(&a, b"x", &[far.as_fd()]).unwrap();
        let mut carried = Vec::new();
        receive(&b, &mut [0; 4], &mut carried).unwrap();
        let flags = rustix::io::fcntl_getfd(&carried[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn as_many_as_the_kernel_allows_go_at_once_and_one_more_is_refused() {
        let (a, b) = pair();
        let (_near, far) = pair();
        let many = vec![far.as_fd(); PER_MESSAGE_MAX + 1];
        let refused = send(&a, b"x", &many).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&a, b"", &many[..1]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        send(&a, b"x", &many[1..]).unwrap();
        let mut carried = Vec::new();
        receive(&b, &mut [0; 4], &mut carried).unwrap();
        assert_eq!(carried.len(), PER_MESSAGE_MAX);
        assert_eq!(copies(&far), PER_MESSAGE_MAX + 1);
        drop(carried);
        assert_eq!(copies(&far), 1);
    }

    #[test]
    fn descriptors_nobody_received_are_closed_with_the_stream() {
        let (a, b) = pair();
        let (mut near, far) = pair();
        send(&a, b"x", &[far.as_fd()]).unwrap();
        drop((a, b, far));
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn the_end_is_zero_and_silence_a_timeout() {
        let (a, b) = pair();
        b.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let silence = receive(&b, &mut [0; 4], &mut Vec::new()).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
        drop(a);
        assert_eq!(receive(&b, &mut [0; 4], &mut Vec::new()).unwrap(), 0);
        assert!(send(&b, b"x", &[]).is_err());
    }
}
