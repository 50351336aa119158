//! The one upgrade that may run: begins it on a thread of its own and keeps a second one out. Owns
//! what is packed for the new process; the conversation with it is the predecessor's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::launch::Launch;
use super::message::{Hidden, Manifest, SocketEntry};
use super::predecessor::{self, Cancel};
use super::{Order, Refused, Step, Upgraded};
use crate::control::sockets::Sockets;

/// See the module's head.
pub(crate) struct Upgrading {
    launch: Launch,
    running: Option<Cancel>,
}

impl Upgrading {
    /// Asked for upgrades from now on.
    pub(crate) fn new(launch: Launch) -> Self {
        Self { launch, running: None }
    }

    /// Begins an upgrade; `done` is called on another thread with what became of it, and
    /// [`Self::is_over`] has to be called after that.
    pub(crate) fn begin(
        &mut self,
        order: Order,
        held: &Sockets,
        carried: serde_json::Value,
        done: impl FnOnce(Result<Upgraded, Refused>) + Send + 'static,
    ) -> Result<(), Refused> {
        if self.running.is_some() {
            return Err(Refused::new(Step::Start, "an upgrade is under way".into()));
        }
        if std::process::id() == 1 {
            let reason = "this is process 1: its end would end the container with the new process \
                          in it; start a new container instead";
            return Err(Refused::new(Step::Start, reason.into()));
        }
        let cannot = |what: &str, e: io::Error| Refused::new(Step::Start, format!("{what}: {e}"));
        let (entries, sockets) = pack(held).map_err(|e| cannot("cannot pass on sockets", e))?;
        let manifest = Manifest {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            patience_ms: u64::try_from(order.timeout.as_millis()).unwrap_or(u64::MAX),
            sockets: entries,
            sticky_key: Hidden(
                evenkeel_proxy::process_key().iter().flat_map(|key| *key.expose()).collect(),
            ),
            carried,
        };
        let (launch, cancel) = (self.launch.clone(), Cancel::default());
        let running = cancel.clone();
        let act = move || {
            done(predecessor::hand_over(&launch, &order, manifest, &sockets, &cancel));
        };
        let thread = std::thread::Builder::new().name("upgrade".into()).spawn(act);
        thread.map_err(|e| cannot("cannot start a thread", e))?;
        self.running = Some(running);
        Ok(())
    }

    /// The upgrade has ended, however it did.
    pub(crate) fn is_over(&mut self) {
        self.running = None;
    }

    /// This process ends: an upgrade under way is given up unless the new process serves already.
    pub(crate) fn cancel(&self) {
        if let Some(running) = &self.running {
            running.cancel();
        }
    }
}

/// Another descriptor of every socket, and what each is for.
fn pack(all: &Sockets) -> io::Result<(Vec<SocketEntry>, Vec<OwnedFd>)> {
    let (mut entries, mut sockets) = (Vec::new(), Vec::new());
    for held in all.held() {
        for (worker, bound) in held
            .sockets
            .iter()
            .enumerate()
            .flat_map(|(worker, of_worker)| of_worker.iter().map(move |bound| (worker, bound)))
        {
            let Some(descriptor) = bound.descriptor() else { continue };
            sockets.push(descriptor.try_clone_to_owned()?);
            let (listener, bind) = (held.listener.clone(), held.configured.to_string());
            entries.push(SocketEntry { listener, bind, worker, quic: None });
        }
    }
    for (listener, configured, place, socket) in all.udp.held() {
        sockets.push(socket.as_fd().try_clone_to_owned()?);
        let (listener, bind) = (listener.into(), configured.to_string());
        entries.push(SocketEntry { listener, bind, worker: 0, quic: Some(place) });
    }
    Ok((entries, sockets))
}
