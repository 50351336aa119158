//! The one that changes things: takes requests one after another, makes a draft of what would be
//! wanted, gets what it needs, publishes, keeps. Owns what is wanted and the way to it; every
//! refusal leaves everything as it was.

mod ending;
mod handover;
pub(crate) mod keys;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::model::Server;
use evenkeel_runtime as runtime;
use tokio::sync::{mpsc, oneshot, watch as latest};

pub(crate) use super::view::Stand;

pub(super) use self::ending::servers;
use self::ending::{Asked, find};
use super::diff::{self, Difference};
use super::drains::Drains;
use super::intent::{self, Wishes};
use super::op::{Mode, Op, Target};
use super::origin::Origin;
use super::overlay::{self, Wish};
use super::plane::Plane;
use super::state::{self, Pinned, Text};
use super::view::{Past, Refusal};
use super::wanted::{Draft, File, Wanted};
use super::{Applied, Change, Handle, Kept, Message, Refused, Reply, Rollback, standing, watch};
use crate::admin;
use crate::certs::Occasion;
use crate::signals::Request;
use crate::supervisor::Events;
use crate::systemd;
use crate::upgrade::{self, Upgraded, Upgrading};

/// How often drains are looked at while there are any.
const LOOK_DRAINING: Duration = Duration::from_millis(50);

/// Turns that other tasks get before this thread ends.
const YIELDS: usize = 32;

/// See the module's head.
pub(crate) struct Actor {
    pub(crate) origin: Origin,
    pub(crate) wanted: Wanted,
    pub(crate) pinned: Option<Pinned>,
    pub(crate) plane: Plane,
    pub(crate) stand: latest::Sender<Arc<Stand>>,
    pub(crate) events: Events,
    pub(crate) handle: Handle,
    pub(crate) drains: Drains,
    /// What was last said of servers' standing.
    pub(crate) wishes: Wishes,
    /// When registrations end, by pool and server.
    pub(crate) leases: HashMap<(String, String), Instant>,
    /// Why changes are refused at the moment.
    pub(crate) held: Option<String>,
    pub(crate) watching: Option<tokio::task::JoinHandle<()>>,
    pub(crate) keys: keys::Watched,
    pub(crate) upgrading: Upgrading,
    pub(crate) upgrade_reply: Option<Answer>,
}

/// Who waits for an upgrade.
pub(crate) type Answer = oneshot::Sender<Result<Upgraded, upgrade::Refused>>;

/// Who asks for what, and what is special about it.
struct Order<'o> {
    author: &'o str,
    dry_run: bool,
    /// How key material is looked at.
    keys: Occasion,
    /// Drains asked for, with their deadlines.
    drains: Vec<Asked>,
    warnings: Vec<String>,
    pinned: Option<Pinned>,
}

impl<'o> Order<'o> {
    fn of(author: &'o str) -> Self {
        let (drains, warnings) = (Vec::new(), Vec::new());
        let keys = Occasion::Change;
        Self { author, dry_run: false, keys, drains, warnings, pinned: None }
    }
}

impl Actor {
    /// Works until the process ends.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut waiting = None;
        loop {
            let message = match waiting.take() {
                Some(message) => Some(message),
                None => match self.next_moment() {
                    None => inbox.recv().await,
                    Some(moment) => {
                        match tokio::time::timeout_at(moment.into(), inbox.recv()).await {
                            Ok(message) => message,
                            Err(_) => {
                                self.tick().await;
                                continue;
                            }
                        }
                    }
                },
            };
            let message = match message {
                None | Some(Message::End) => break,
                Some(message) => message,
            };
            waiting = self.take(message, &mut inbox).await;
            self.tick().await;
        }
        // Who was answered last still gets that written.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        self.plane.logs.finish();
    }

    /// Says and shows what there is at the start.
    pub(crate) fn begin(&mut self) {
        let now = runtime::now();
        for lease in &self.wanted.overlay.leases {
            self.leases.insert((lease.pool.clone(), lease.key.clone()), now + lease.ttl);
        }
        self.apply_wishes();
        self.follow_files();
        self.show(|_| {});
        for inert in &self.wanted.inert {
            tracing::warn!("a change at runtime does not apply: {}: {}", inert.what, inert.why);
        }
    }

    /// Does what is asked; a message that was taken from the queue too early is given back.
    async fn take(
        &mut self,
        message: Message,
        inbox: &mut mpsc::Receiver<Message>,
    ) -> Option<Message> {
        match message {
            Message::Reload { author, reply } => {
                // Many at once ask for the same: the files as they are now.
                let mut replies: Vec<_> = reply.into_iter().collect();
                let mut other = None;
                while let Ok(next) = inbox.try_recv() {
                    match next {
                        Message::Reload { reply, .. } => replies.extend(reply),
                        next => {
                            other = Some(next);
                            break;
                        }
                    }
                }
                let result = self.reload(&author).await;
                for reply in replies {
                    let _ = reply.send(result.clone());
                }
                return other;
            }
            Message::Change(change, reply) => {
                let result = self.change(change).await;
                let _ = reply.send(result);
            }
            Message::Rollback(rollback, reply) => {
                let result = self.roll_back(rollback).await;
                let _ = reply.send(result);
            }
            Message::Discovered { pool, servers } => self.discovered(pool, servers).await,
            Message::Resolved(found) => {
                if self.plane.readdress(found).await {
                    self.show(|_| {});
                }
            }
            Message::Keys => self.renew_keys().await,
            Message::Fetched(place, bytes) => self.fetched(place, bytes).await,
            Message::Challenges(challenges, done) => {
                self.answer(challenges).await;
                let _ = done.send(());
            }
            Message::Reopen => {
                self.plane.logs.reopen();
                tracing::info!("access log files opened again");
            }
            Message::Listen(reply) => {
                let result = self.plane.listen().await;
                let _ = reply.send(result);
            }
            Message::Upgrade { order, reply } => self.upgrade(order, reply),
            Message::UpgradeOver(result) => self.upgraded(result),
            Message::TakeCharge => {
                self.held = None;
                self.plane.take_charge().await;
            }
            Message::OpenAdmin(living) => {
                tokio::task::spawn_local(admin::run(self.handle.clone(), living));
            }
            Message::Hold(why) => self.held = why,
            Message::End => {}
            Message::Close(done) => {
                self.plane.sockets.close();
                self.held = Some("the process is draining".into());
                self.upgrading.cancel();
                if let Some(watching) = self.watching.take() {
                    watching.abort();
                }
                self.keys.end();
                self.show(|stand| stand.draining = true);
                let _ = done.try_send(());
            }
        }
        None
    }

    async fn reload(&mut self, author: &str) -> Reply {
        let is_service = self.held.is_none();
        if is_service {
            systemd::reloading();
        }
        let result = self.read_again(author).await;
        if let Err(refused) = &result {
            self.tell_refused(author, "the configuration stays as it was", refused);
        }
        if is_service {
            let version = self.wanted.version;
            let refused =
                if result.is_err() { ", the last reload was refused: see the log" } else { "" };
            systemd::ready(&format!("serving version {version} of the configuration{refused}"));
        }
        result
    }

    async fn read_again(&mut self, author: &str) -> Reply {
        self.refuse_if_held()?;
        let origin = self.origin.clone();
        let read = tokio::task::spawn_blocking(move || {
            let sources =
                origin.read_again().map_err(|failure| Refused::Impossible(failure.said()))?;
            File::read(sources).map_err(Refused::Invalid)
        });
        let gone = |_| Refused::Busy("the process ends".into());
        let (file, warnings) = read.await.map_err(gone)??;
        let file = match self.wanted.file.is(&file.sources) {
            true => self.wanted.file.clone(), // nothing that hangs on it is made again
            false => file,
        };
        let draft = self.wanted.draft(file, self.wanted.overlay.clone());
        let mut order = Order::of(author);
        order.keys = Occasion::Reload;
        if !warnings.is_empty() {
            order.warnings = warnings.compact().lines().map(str::to_owned).collect();
        }
        self.adopt(draft, order).await
    }

    async fn change(&mut self, change: Change) -> Reply {
        self.refuse_if_held()?;
        self.refuse_unless(change.if_version)?;
        if let [Op::Drain { target: Target::Process, mode, deadline }] = change.ops.as_slice() {
            return self.drain_process(*mode, *deadline, change.dry_run, &change.author);
        }
        if let Some(applied) = self.renew(&change) {
            return Ok(applied);
        }
        let draft = self.wanted.changed(&change.ops)?;
        let mut order = Order::of(&change.author);
        order.dry_run = change.dry_run;
        order.pinned = self.pinned.clone();
        for op in &change.ops {
            if let Op::Drain { target, mode, deadline } = op {
                order.drains.push((target.clone(), *mode, *deadline));
            }
        }
        let applied = self.adopt(draft, order).await?;
        if !change.dry_run {
            self.after(&change.ops);
        }
        Ok(applied)
    }

    async fn roll_back(&mut self, rollback: Rollback) -> Reply {
        self.refuse_if_held()?;
        self.refuse_unless(rollback.if_version)?;
        let draft = self.wanted.rolled_back(rollback.to)?;
        let author = format!("{}, back to version {}", rollback.author, rollback.to);
        let mut order = Order::of(&author);
        order.dry_run = rollback.dry_run;
        order.pinned = match self.origin.read() {
            Ok(now) if !draft.file.is(&now) => {
                Some(Pinned { instead_of: Text::all(&now), serves: Text::all(&draft.file.sources) })
            }
            _ => None,
        };
        self.adopt(draft, order).await
    }

    async fn discovered(&mut self, pool: String, servers: Vec<Server>) {
        if self.wanted.discovered.get(&pool) == Some(&servers) {
            return;
        }
        let before = self.wanted.discovered.insert(pool.clone(), servers);
        let draft = self.wanted.draft(self.wanted.file.clone(), self.wanted.overlay.clone());
        let config = Arc::new(draft.intent.config);
        let difference = diff::difference(&self.plane.config, &config);
        let keyring = self.plane.keyring.clone();
        match self.plane.prepare(&config, &self.wanted.overlay.closed, keyring).await {
            Ok(prepared) => {
                self.publish(config, prepared, &difference, Vec::new()).await;
                self.wanted.inert = draft.intent.inert;
                self.show(|_| {});
                if !difference.is_empty() {
                    tracing::info!("discovery: {}", difference.lines().join("; "));
                }
            }
            Err(failure) => {
                match before {
                    Some(before) => self.wanted.discovered.insert(pool.clone(), before),
                    None => self.wanted.discovered.remove(&pool),
                };
                tracing::error!(%pool, "discovery: servers stay as they were: {}", failure.said());
            }
        }
    }

    /// Registrations that only go on: no version, no history, no write.
    fn renew(&mut self, change: &Change) -> Option<Applied> {
        let now = runtime::now();
        let mut renewed = Vec::new();
        for op in &change.ops {
            let Op::Register { pool, server, ttl, owner, routes } = op else { return None };
            let lease = self.wanted.overlay.leases.iter().find(|lease| {
                lease.pool == *pool
                    && lease.server == *server
                    && lease.owner == *owner
                    && lease.ttl == *ttl
                    && lease.routes == *routes
            })?;
            renewed.push((lease.pool.clone(), lease.key.clone(), now + *ttl));
        }
        if !change.dry_run {
            for (pool, key, until) in renewed {
                self.leases.insert((pool, key), until);
            }
        }
        Some(Applied { version: self.wanted.version, ..Applied::default() })
    }

    /// Puts a draft in force, or says why not and changes nothing.
    async fn adopt(&mut self, draft: Draft, mut order: Order<'_>) -> Reply {
        let config = Arc::new(draft.intent.config.clone());
        let keyring = self.keys(&config, &draft.file, &mut order).await?;
        let difference = diff::difference(&self.plane.config, &config);
        let changes = self.words(&draft, &difference);
        let mut applied = Applied {
            version: self.wanted.version,
            changed: !changes.is_empty(),
            changes: changes.clone(),
            warnings: order.warnings.clone(),
            inert: draft.intent.inert.clone(),
            kept: Kept::NotAsked,
        };
        let is_same_keys = keyring.is_same(&self.plane.keyring);
        let prepared = self.plane.prepare(&config, &draft.overlay.closed, keyring).await;
        let prepared = prepared.map_err(|failure| Refused::Impossible(failure.said()))?;
        if order.dry_run {
            return Ok(applied);
        }
        let is_same = changes.is_empty() && draft.overlay == self.wanted.overlay;
        if is_same && Arc::ptr_eq(&draft.file.sources, &self.wanted.file.sources) {
            match is_same_keys {
                true => tracing::info!(author = order.author, "nothing changed"),
                false => {
                    self.publish(config, prepared, &difference, order.drains).await;
                    tracing::info!(
                        author = order.author,
                        "certificates, keys or documents read again"
                    );
                    self.show(|stand| stand.refused = None);
                }
            }
            return Ok(applied);
        }
        self.publish(config, prepared, &difference, order.drains).await;
        let at = runtime::wall_clock();
        self.wanted.accept(draft, order.author, changes.clone(), at);
        self.pinned = order.pinned;
        self.apply_wishes();
        self.follow_files();
        applied.version = self.wanted.version;
        let said =
            if changes.is_empty() { "nothing that matters".into() } else { changes.join("; ") };
        tracing::info!(version = applied.version, author = order.author, "changed: {said}");
        for warning in &order.warnings {
            tracing::warn!("{warning}");
        }
        applied.kept = self.keep().await;
        self.show(|stand| {
            stand.refused = None;
            stand.changed = at;
        });
        Ok(applied)
    }

    /// What else changes mean.
    fn after(&mut self, ops: &[Op]) {
        let now = runtime::now();
        for op in ops {
            match op {
                Op::Register { pool, server, ttl, .. } => {
                    for server in overlay::read(server).unwrap_or_default() {
                        self.leases.insert((pool.clone(), overlay::key(&server)), now + *ttl);
                    }
                }
                Op::Enable { target } => self.enabled(target, now),
                _ => {}
            }
        }
    }

    fn drain_process(
        &mut self,
        mode: Mode,
        deadline: Option<Duration>,
        dry_run: bool,
        author: &str,
    ) -> Reply {
        let applied = Applied {
            version: self.wanted.version,
            changed: true,
            changes: vec!["the process drains, then ends".into()],
            ..Applied::default()
        };
        if !dry_run {
            tracing::info!(author, "asked to drain and end");
            self.events.request(match mode {
                Mode::Forced => Request::EndBy(Some(Duration::ZERO)),
                _ => Request::EndBy(deadline),
            });
        }
        Ok(applied)
    }

    /// What a draft changes, in words; with what the configuration itself does not show.
    fn words(&self, draft: &Draft, difference: &Difference) -> Vec<String> {
        let mut words = difference.lines();
        let old = &self.wanted.overlay;
        for name in draft.overlay.closed.difference(&old.closed) {
            words.push(format!("listener `{name}` drained"));
        }
        for name in old.closed.difference(&draft.overlay.closed) {
            words.push(format!("listener `{name}` enabled"));
        }
        let wishes = intent::wishes(&draft.intent.config, &draft.overlay);
        let mut all: Vec<_> = wishes.keys().chain(self.wishes.keys()).collect();
        all.sort_unstable();
        all.dedup();
        for key in all {
            let (now, before) = (wishes.get(key), self.wishes.get(key));
            let (pool, server) = key;
            if now != before && find(&self.plane.publication, pool, server).is_some() {
                let word = match now {
                    None => "enabled",
                    Some(Wish::Draining) => "drained",
                    Some(Wish::Disabled) => "disabled",
                };
                words.push(format!("pool `{pool}`: server `{server}` {word}"));
            }
        }
        words
    }

    /// Tells the workers what operators want of servers, where that is not what it was.
    fn apply_wishes(&mut self) {
        let now = runtime::now();
        let wishes = intent::wishes(&self.plane.config, &self.wanted.overlay);
        for (pool, server, shared) in servers(&self.plane.publication) {
            let key = (pool, server);
            standing::set(&shared, wishes.get(&key).copied(), now);
        }
        self.wishes = wishes;
    }

    fn next_moment(&self) -> Option<Instant> {
        let drains = (!self.drains.all().is_empty()).then(|| runtime::now() + LOOK_DRAINING);
        drains.into_iter().chain(self.leases.values().copied()).min()
    }

    fn refuse_if_held(&self) -> Result<(), Refused> {
        match &self.held {
            Some(why) => Err(Refused::Busy(why.clone())),
            None => Ok(()),
        }
    }

    fn refuse_unless(&self, version: Option<u64>) -> Result<(), Refused> {
        match version {
            Some(version) if version != self.wanted.version => {
                Err(Refused::Conflict { version: self.wanted.version })
            }
            _ => Ok(()),
        }
    }

    fn tell_refused(&mut self, author: &str, what: &str, refused: &Refused) {
        let why = match refused {
            Refused::Invalid(report) => report.render(false),
            other => other.to_string(),
        };
        tracing::error!(author, "refused: {what}: {why}");
        let refusal = Refusal { at: runtime::wall_clock(), author: author.into(), why };
        self.show(|stand| stand.refused = Some(Arc::new(refusal)));
    }

    fn kept(&self) -> state::Kept {
        let (version, overlay) = (self.wanted.version, self.wanted.overlay.clone());
        state::Kept::new(version, overlay, self.pinned.clone())
    }

    /// Writes the state, if it is to be kept.
    async fn keep(&mut self) -> Kept {
        let Some(path) = self.plane.config.admin.state.clone() else { return Kept::NotAsked };
        let written = write(path.clone(), self.kept()).await;
        let unkept = written.as_ref().err().map(|why| Arc::from(why.as_str()));
        self.show(|stand| stand.unkept = unkept);
        match written {
            Ok(()) => Kept::Surely,
            Err(why) => {
                tracing::error!("the change is in force, but a restart will not find it: {why}");
                Kept::Failed(why)
            }
        }
    }

    /// Watches the files, or no more.
    fn follow_files(&mut self) {
        self.follow_keys();
        let path = self.origin.path().filter(|_| self.plane.config.watch);
        match (path, &self.watching) {
            (Some(path), None) => {
                let task = watch::watch(path.to_path_buf(), self.handle.clone());
                self.watching = Some(tokio::task::spawn_local(task));
            }
            (None, Some(watching)) => {
                watching.abort();
                self.watching = None;
            }
            _ => {}
        }
    }

    /// Shows what is, to whoever looks.
    fn show(&mut self, also: impl FnOnce(&mut Stand)) {
        let addresses = self.plane.sockets.addresses();
        let past = self.wanted.history.iter().map(|entry| Past {
            version: entry.version,
            at: entry.at,
            author: entry.author.clone(),
            changes: entry.changes.clone(),
        });
        let mut stand = Stand::clone(&self.stand.borrow());
        stand.version = self.wanted.version;
        stand.config = self.plane.config.clone();
        stand.overlay = Arc::new(self.wanted.overlay.clone());
        stand.publication = self.plane.publication.clone();
        stand.addresses = addresses.into();
        stand.drains = self.drains.all().into();
        stand.history = past.collect();
        stand.inert = self.wanted.inert.as_slice().into();
        also(&mut stand);
        self.stand.send_replace(Arc::new(stand));
    }
}

async fn write(path: PathBuf, kept: state::Kept) -> Result<(), String> {
    let place = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || state::write(&path, &kept)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot write {place}: {error}")),
        Err(_) => Err(format!("cannot write {place}: the process ends")),
    }
}
