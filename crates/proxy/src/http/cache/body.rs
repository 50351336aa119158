//! Content on its way from one fetch to all who wait for it, on whichever threads: written once, read
//! at each reader's own speed. Owns the pieces and the waiting; not what may be kept.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use evenkeel_runtime::{Signal, Watch};

/// What is counted for each piece beside its bytes.
const PIECE_COST: u64 = 128;

/// One piece, and what follows it. Whoever holds it holds all that follows.
pub(super) struct Piece {
    bytes: Bytes,
    next: OnceLock<Arc<Self>>,
    flow: Arc<Flow>,
}

impl Drop for Piece {
    /// One after the other: a long body would else be a deep recursion.
    fn drop(&mut self) {
        self.flow.held.fetch_sub(cost(&self.bytes), Ordering::Relaxed);
        self.flow.room.give();
        let mut next = self.next.take();
        while let Some(mut piece) = next.and_then(Arc::into_inner) {
            next = piece.next.take();
        }
    }
}

fn cost(bytes: &Bytes) -> u64 {
    (bytes.len() as u64).saturating_add(PIECE_COST)
}

/// What writer and readers of one body share.
#[derive(Default)]
pub(super) struct Flow {
    /// Bytes of pieces that somebody holds.
    held: AtomicU64,
    readers: AtomicUsize,
    /// Whether all of it came.
    ended: OnceLock<bool>,
    /// There is more to be read, or something else to know.
    pub(super) news: Signal,
    /// Something has been let go.
    room: Signal,
}

impl Flow {
    /// It has ended; `whole`: with all of it.
    pub(super) fn end(&self, whole: bool) {
        let _ = self.ended.set(whole); // once is enough
        self.news.give();
    }

    /// Nobody reads.
    pub(super) fn is_deserted(&self) -> bool {
        self.readers.load(Ordering::Acquire) == 0
    }
}

/// The writing end.
pub(super) struct Writer {
    flow: Arc<Flow>,
    last: Arc<Piece>,
    watch: Option<Watch>,
}

impl Writer {
    /// A new body, and what is before its first piece.
    pub(super) fn new(flow: &Arc<Flow>) -> (Self, Arc<Piece>) {
        let first = piece(flow, Bytes::new());
        (Self { flow: flow.clone(), last: first.clone(), watch: None }, first)
    }

    /// The next piece.
    pub(super) fn push(&mut self, bytes: Bytes) {
        let next = piece(&self.flow, bytes);
        let _ = self.last.next.set(next.clone()); // nobody else writes
        self.last = next;
        self.flow.news.give();
    }

    /// Ready when no more than `most` bytes are held by readers.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<()> {
        loop {
            if self.flow.held.load(Ordering::Acquire) <= most || self.flow.is_deserted() {
                self.watch = None;
                return Poll::Ready(());
            }
            match &mut self.watch {
                None => self.watch = Some(self.flow.room.watch()),
                Some(watch) => {
                    ready!(watch.poll_changed(cx));
                    self.watch = None;
                }
            }
        }
    }

    /// Ready when nobody reads.
    pub(super) fn poll_deserted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.flow.is_deserted() {
                return Poll::Ready(());
            }
            match &mut self.watch {
                None => self.watch = Some(self.flow.room.watch()),
                Some(watch) => {
                    ready!(watch.poll_changed(cx));
                    self.watch = None;
                }
            }
        }
    }
}

fn piece(flow: &Arc<Flow>, bytes: Bytes) -> Arc<Piece> {
    flow.held.fetch_add(cost(&bytes), Ordering::AcqRel);
    Arc::new(Piece { bytes, next: OnceLock::new(), flow: flow.clone() })
}

/// All pieces after `first`.
pub(super) fn collect(first: &Arc<Piece>) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut at = first.next.get();
    while let Some(piece) = at {
        all.push(piece.bytes.clone());
        at = piece.next.get();
    }
    all
}

/// A reading end.
pub(crate) struct Reader {
    flow: Arc<Flow>,
    at: Arc<Piece>,
    offset: usize,
    watch: Option<Watch>,
}

impl Reader {
    /// From behind `first`.
    pub(super) fn new(flow: &Arc<Flow>, first: Arc<Piece>) -> Self {
        flow.readers.fetch_add(1, Ordering::AcqRel);
        Self { flow: flow.clone(), at: first, offset: 0, watch: None }
    }

    /// Waits for something that `known` tells.
    pub(super) fn poll_known<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut known: impl FnMut() -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(value) = known() {
                self.watch = None;
                return Poll::Ready(value);
            }
            ready!(self.poll_news(cx));
        }
    }

    /// Ready when to look again.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.watch {
            None => self.watch = Some(self.flow.news.watch()),
            Some(watch) => {
                ready!(watch.poll_changed(cx));
                self.watch = None;
            }
        }
        Poll::Ready(())
    }

    /// As of a connection: 0 at its end, an error if there is none.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let left = self.at.bytes.get(self.offset..).unwrap_or_default();
            if !left.is_empty() {
                let length = left.len().min(room.len());
                if let (Some(to), Some(from)) = (room.get_mut(..length), left.get(..length)) {
                    to.copy_from_slice(from);
                }
                self.offset = self.offset.saturating_add(length);
                return Poll::Ready(Ok(length));
            }
            let ended = self.flow.ended.get().copied(); // before the last look for more
            if let Some(next) = self.at.next.get().cloned() {
                (self.at, self.offset) = (next, 0);
                continue;
            }
            match ended {
                Some(true) => return Poll::Ready(Ok(0)),
                Some(false) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                None => ready!(self.poll_news(cx)),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.flow.readers.fetch_sub(1, Ordering::AcqRel);
        self.flow.room.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader) -> Poll<io::Result<Vec<u8>>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut room = [0; 4];
        reader.poll_read(&mut cx, &mut room).map_ok(|length| room[..length].to_vec())
    }

    #[test]
    fn each_reader_gets_all_of_it_at_its_own_speed() {
        let flow = Arc::<Flow>::default();
        let (mut writer, first) = Writer::new(&flow);
        let mut early = Reader::new(&flow, first.clone());
        assert!(read(&mut early).is_pending());
        writer.push(Bytes::from_static(b"abcdef"));
        let mut late = Reader::new(&flow, first);
        for reader in [&mut early, &mut late] {
            assert!(matches!(read(reader), Poll::Ready(Ok(bytes)) if bytes == b"abcd"));
            assert!(matches!(read(reader), Poll::Ready(Ok(bytes)) if bytes == b"ef"));
            assert!(read(reader).is_pending());
        }
        flow.end(true);
        assert!(matches!(read(&mut late), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    }

    #[test]
    fn a_body_that_breaks_off_is_no_end() {
        let flow = Arc::<Flow>::default();
        let (mut writer, first) = Writer::new(&flow);
        writer.push(Bytes::from_static(b"ab"));
        flow.end(false);
        let mut reader = Reader::new(&flow, first);
        assert!(matches!(read(&mut reader), Poll::Ready(Ok(_))));
        assert!(matches!(read(&mut reader), Poll::Ready(Err(_))));
    }

    #[test]
    fn what_nobody_holds_is_let_go_and_a_long_body_is_no_deep_recursion() {
        let flow = Arc::<Flow>::default();
        let (mut writer, first) = Writer::new(&flow);
        for _ in 0..200_000 {
            writer.push(Bytes::from_static(b"x"));
        }
        assert!(flow.held.load(Ordering::Relaxed) > 200_000);
        drop(first);
        assert_eq!(flow.held.load(Ordering::Relaxed), 1 + PIECE_COST, "only the last");
    }
}
