//! A connection being opened, and those who wait for it: one is opened for all of them, instead of
//! one for each.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use evenkeel_balancer::{Connection, ServerId};
use evenkeel_config::model::PoolProtocol;
use evenkeel_runtime::{self as runtime, Timer};

#[cfg(feature = "http3")]
use super::h3;
use super::link::Link;
use super::{Links, h2};
use crate::channel::Channel;
use crate::failure::Reason;
use crate::generation::KnownServer;
use crate::http::upstream::connect::{self, Progress, Way};
use crate::snapshot::PoolSettings;
use crate::worker::Worker;

/// See the module's head.
pub(crate) struct Opening {
    /// Those who wait, at most as many as the connection is expected to take.
    joined: Cell<usize>,
    most: usize,
    wakers: RefCell<Vec<Waker>>,
    ended: Cell<Option<Result<(), Reason>>>,
    /// The connection, if it is one of HTTP/1: for the first who asks.
    plain: RefCell<Option<Plain>>,
}

/// A connection of HTTP/1.
pub(crate) struct Plain {
    pub(crate) channel: Channel,
    pub(crate) counted: Connection,
}

impl Opening {
    /// With one who waits.
    pub(super) fn new(most: usize) -> Self {
        Self {
            joined: Cell::new(1),
            most,
            wakers: RefCell::default(),
            ended: Cell::default(),
            plain: RefCell::default(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.joined.get() < self.most
    }

    /// One more waits, if there is room.
    pub(super) fn join(&self) -> bool {
        let joins = self.has_room();
        self.joined.set(self.joined.get().saturating_add(usize::from(joins)));
        joins
    }

    /// Ready when it has ended; with the connection, for one of those who wait, if it is of HTTP/1.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Plain>, Reason>> {
        if let Some(ended) = self.ended.get() {
            return Poll::Ready(ended.map(|()| self.plain.take()));
        }
        let mut wakers = self.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone()); // one for each who joined
        }
        Poll::Pending
    }

    fn end(&self, ended: Result<(), Reason>) {
        self.ended.set(Some(ended));
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

/// What opening one takes.
pub(super) struct Task {
    pub(super) worker: Rc<Worker>,
    pub(super) known: Rc<KnownServer>,
    pub(super) server: ServerId,
    pub(super) settings: Arc<PoolSettings>,
    pub(super) links: Rc<Links>,
    pub(super) counted: Connection,
    pub(super) opening: Rc<Opening>,
}

enum Opened {
    H2(Rc<Link>, Box<h2::Driver>),
    #[cfg(feature = "http3")]
    H3(Rc<Link>, h3::Driver),
    Plain(Plain),
}

/// Opens it, within the pool's connect timeout, and drives it from then on.
pub(super) async fn run(task: Task) {
    let Task { worker, known, server, settings, links, counted, opening } = task;
    let timer = Timer::new();
    timer.set(runtime::now() + settings.config.timeouts.connect);
    let progress = Progress::default();
    let result = {
        let mut opening = pin!(open(&worker, &known, &settings, counted, &progress));
        poll_fn(|cx| {
            if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                return Poll::Ready(opened);
            }
            timer.poll_expired(cx).map(|()| Err(progress.is_late(&known)))
        })
        .await
    };
    drop((worker, known, settings));
    match result {
        Ok(Opened::H2(link, driver)) => {
            links.settle(server, &opening, Some(link));
            drop(links);
            opening.end(Ok(()));
            driver.run().await;
        }
        #[cfg(feature = "http3")]
        Ok(Opened::H3(link, driver)) => {
            links.settle(server, &opening, Some(link));
            drop(links);
            opening.end(Ok(()));
            driver.run().await;
        }
        Ok(Opened::Plain(plain)) => {
            links.settle(server, &opening, None);
            links.expect_one(server);
            opening.plain.replace(Some(plain));
            opening.end(Ok(()));
        }
        Err(reason) => {
            links.settle(server, &opening, None);
            opening.end(Err(reason));
        }
    }
}

async fn open(
    worker: &Worker,
    known: &Rc<KnownServer>,
    settings: &Arc<PoolSettings>,
    counted: Connection,
    progress: &Progress,
) -> Result<Opened, Reason> {
    #[cfg(feature = "http3")]
    if settings.config.protocol == PoolProtocol::H3 {
        let (link, driver) = h3::begin(worker, known, settings, counted, progress).await?;
        return Ok(Opened::H3(link, driver));
    }
    let way = Way::new(settings.tls.as_deref(), false);
    let channel = connect::open(worker, way, known, progress).await?;
    if settings.config.protocol == PoolProtocol::Auto && !takes_h2(&channel) {
        return Ok(Opened::Plain(Plain { channel, counted }));
    }
    let (link, driver) = h2::begin(channel, settings.clone(), counted).await?;
    Ok(Opened::H2(link, Box::new(driver)))
}

/// Whether the server agreed on HTTP/2 (RFC 7301).
fn takes_h2(channel: &Channel) -> bool {
    match channel {
        Channel::Tls(stream) => stream.has_agreed_on(b"h2"),
        _ => false,
    }
}
