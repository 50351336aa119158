//! Wires: what is under way between two sockets, and what each socket's kernel knows. Bytes, ends
//! (FIN) and resets travel in order and take their time; acknowledgements travel with them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::listener::Queue;
use super::world::World;

/// One connection; its ends are the one that asked for it, then the one that was asked.
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
}

/// What one end's kernel knows.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) address: Option<SocketAddr>,
    /// Arrived and not read.
    pub(crate) received: VecDeque<u8>,
    /// The other end will send no more.
    pub(crate) ended: bool,
    pub(crate) reset: bool,
    /// Nobody holds this end any more.
    pub(crate) closed: bool,
    /// Has said that it will send no more.
    pub(crate) end_sent: bool,
    /// Closing resets.
    pub(crate) abort: bool,
    /// What it can hold.
    pub(crate) window: usize,
    /// Bytes on their way to this end.
    pub(crate) coming: usize,
    /// Bytes that ever arrived here.
    pub(crate) arrived: u64,
    /// Bytes sent from here.
    pub(crate) sent: u64,
    /// Of these, how many the other kernel is known to have.
    pub(crate) acknowledged: u64,
    /// Nothing arrives here before this: wires keep order.
    pub(crate) not_before: Duration,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Whether the connection attempt has come to something.
    pub(crate) connected: Option<Outcome>,
}

/// What became of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Made,
    Refused,
}

impl End {
    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Bytes that may still be sent to this end.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.received.len() + self.coming)
    }
}

/// What travels.
pub(crate) enum Segment {
    Data(Vec<u8>),
    End,
    Reset,
}

/// What happens at some moment.
pub(crate) enum Event {
    /// Somebody asks for a connection.
    Asked { wire: usize, to: SocketAddr },
    /// The answer has arrived.
    Answered { wire: usize, outcome: Outcome },
    /// A segment arrives at an end, with the other end's acknowledgement of bytes.
    Arrives { wire: usize, to: usize, segment: Segment, acknowledged: u64 },
    /// An acknowledgement arrives alone.
    Acknowledged { wire: usize, to: usize, bytes: u64 },
    /// An end learns that the other has room again.
    Room { wire: usize, to: usize },
}

/// Sends a segment from the end `from`.
pub(crate) fn send(world: &Rc<World>, wire: usize, from: usize, segment: Segment) {
    let plan = &world.plan;
    let segment = match segment {
        Segment::Data(_) | Segment::End if world.happens(plan.reset) => {
            // Something in between lost patience: both ends hear of it.
            world.note("cut", wire as u64, b"");
            let at = world.elapsed() + world.latency();
            let event = Event::Arrives { wire, to: from, segment: Segment::Reset, acknowledged: 0 };
            world.schedule(at, event);
            Segment::Reset
        }
        segment => segment,
    };
    let mut at = world.elapsed() + world.latency();
    if world.happens(plan.stall) {
        let most = (plan.stall_max.as_nanos() as u64).max(1);
        at += Duration::from_nanos(world.draw() % most);
        world.note("stall", wire as u64, b"");
    }
    let mut wires = world.wires.borrow_mut();
    let Some(Wire { ends }) = wires.get_mut(wire) else { return };
    let to = 1 - from;
    let acknowledged = ends[from].arrived;
    let receiver = &mut ends[to];
    if let Segment::Data(bytes) = &segment {
        receiver.coming += bytes.len();
    }
    at = at.max(receiver.not_before + Duration::from_nanos(1));
    receiver.not_before = at;
    drop(wires);
    world.schedule(at, Event::Arrives { wire, to, segment, acknowledged });
}

/// Lets an event happen.
pub(crate) fn happen(world: &Rc<World>, event: Event) {
    match event {
        Event::Asked { wire, to } => asked(world, wire, to),
        Event::Answered { wire, outcome } => {
            if let Some(Wire { ends }) = world.wires.borrow_mut().get_mut(wire) {
                ends[0].connected = Some(outcome);
                ends[0].wake_reader();
            }
        }
        Event::Arrives { wire, to, segment, acknowledged } => {
            arrives(world, wire, to, segment, acknowledged);
        }
        Event::Acknowledged { wire, to, bytes } => {
            if let Some(Wire { ends }) = world.wires.borrow_mut().get_mut(wire) {
                ends[to].acknowledged = ends[to].acknowledged.max(bytes);
            }
        }
        Event::Room { wire, to } => {
            if let Some(Wire { ends }) = world.wires.borrow_mut().get_mut(wire) {
                ends[to].wake_writer();
            }
        }
    }
}

fn asked(world: &Rc<World>, wire: usize, to: SocketAddr) {
    if world.happens(world.plan.swallow) {
        world.note("swallow", wire as u64, b"");
        return;
    }
    let queue: Option<Rc<Queue>> = {
        let listeners = world.listeners.borrow();
        let group = listeners.get(&to).map(Vec::as_slice).unwrap_or_default();
        group.get(world.below(group.len())).cloned()
    };
    let refused = world.happens(world.plan.refuse);
    let outcome = match queue {
        Some(queue) if !refused => {
            queue.arrive(wire);
            Outcome::Made
        }
        _ => Outcome::Refused,
    };
    world.note(if outcome == Outcome::Made { "connect" } else { "refuse" }, wire as u64, b"");
    world.schedule(world.elapsed() + world.latency(), Event::Answered { wire, outcome });
}

fn arrives(world: &Rc<World>, wire: usize, to: usize, segment: Segment, acknowledged: u64) {
    let mut answer = None;
    {
        let mut wires = world.wires.borrow_mut();
        let Some(Wire { ends }) = wires.get_mut(wire) else { return };
        let end = &mut ends[to];
        end.acknowledged = end.acknowledged.max(acknowledged);
        match segment {
            Segment::Data(bytes) => {
                end.coming = end.coming.saturating_sub(bytes.len());
                world.note(if to == 1 { "data>" } else { "<data" }, wire as u64, &bytes);
                if end.closed && !end.reset {
                    answer = Some(Segment::Reset); // nobody is there to read it
                } else if !end.reset && !end.ended {
                    end.arrived += bytes.len() as u64;
                    end.received.extend(bytes);
                }
            }
            Segment::End => {
                world.note(if to == 1 { "end>" } else { "<end" }, wire as u64, b"");
                end.ended = true;
            }
            Segment::Reset => {
                world.note(if to == 1 { "reset>" } else { "<reset" }, wire as u64, b"");
                end.reset = true;
                if world.happens(world.plan.reset_discards) {
                    end.received.clear();
                }
            }
        }
        end.wake_reader();
        if end.reset {
            end.wake_writer();
        }
    }
    match answer {
        Some(reset) => send(world, wire, to, reset),
        None => {
            let arrived = match world.wires.borrow().get(wire) {
                Some(Wire { ends }) => ends[to].arrived,
                None => return,
            };
            let event = Event::Acknowledged { wire, to: 1 - to, bytes: arrived };
            world.schedule(world.elapsed() + world.latency(), event);
        }
    }
}
