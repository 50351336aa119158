//! Limits that several instances share, kept in Valkey or Redis: workers ask through a queue, one script
//! decides there. Owns the connections to the servers, and telling when one is away; what holds
//! meanwhile is the policy's choice (`proxy/src/policy/shared.rs`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_balancer::limit::Decision;
use evenkeel_config::model::LimitStore;
use evenkeel_proxy::services::SharedTake;
use evenkeel_runtime::mailbox;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisError, Script};

/// Decisions that one server is asked for at the same time; more are not asked.
const UNDER_WAY_MAX: usize = 4096;
/// A connection stands within this, or the server is away.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// An answer later than this is no answer; workers wait less.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two tries to connect.
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// One server: it is connected when it is first asked, and again by itself.
struct Store {
    name: String,
    connection: RefCell<Option<ConnectionManager>>,
    under_way: Cell<usize>,
    is_away: Cell<bool>,
}

/// Answers workers until the process ends.
pub(super) async fn run(mut asked: mailbox::Receiver<SharedTake>) {
    let script = Rc::new(Script::new(include_str!("gcra.lua")));
    let mut stores: HashMap<String, (LimitStore, Rc<Store>)> = HashMap::new();
    while let Some(take) = asked.recv().await {
        let settings = &take.store;
        let is_same = |known: &&(LimitStore, Rc<Store>)| known.0 == **settings;
        let store = match stores.get(&settings.server).filter(is_same) {
            Some((_, store)) => store.clone(),
            None => {
                // The few that a configuration names; one with other settings takes the place.
                let store = Rc::new(Store::new(settings));
                stores.insert(settings.server.clone(), ((**settings).clone(), store.clone()));
                store
            }
        };
        if store.under_way.get() < UNDER_WAY_MAX {
            tokio::task::spawn_local(answer(store, script.clone(), take));
        }
    }
}

async fn answer(store: Rc<Store>, script: Rc<Script>, take: SharedTake) {
    store.under_way.set(store.under_way.get() + 1);
    let decided = store.decide(&script, &take).await;
    store.under_way.set(store.under_way.get().saturating_sub(1));
    match decided {
        Ok(decision) => {
            if store.is_away.replace(false) {
                tracing::info!(server = %store.name, "shared limits: the server is back");
            }
            let _ = take.reply.try_send(decision); // nobody may be waiting any more
        }
        Err(error) => {
            if !store.is_away.replace(true) {
                tracing::warn!(
                    server = %store.name, %error,
                    "shared limits: the server cannot be asked; policies do without (`without`)"
                );
            }
        }
    }
}

impl Store {
    fn new(settings: &LimitStore) -> Self {
        let connection = match connect(settings) {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::error!(server = %settings.server, %error, "shared limits: no such server");
                None
            }
        };
        Self {
            name: settings.server.clone(),
            connection: RefCell::new(connection),
            under_way: Cell::new(0),
            is_away: Cell::new(false),
        }
    }

    async fn decide(&self, script: &Script, take: &SharedTake) -> Result<Decision, RedisError> {
        let connection = self.connection.borrow().clone();
        let Some(mut connection) = connection else {
            return Err(RedisError::from((redis::ErrorKind::Client, "it cannot be connected to")));
        };
        let micros = |duration: Duration| format!("{:.3}", duration.as_secs_f64() * 1e6);
        let mut asked = script.key(&take.key);
        asked.arg(micros(take.interval)).arg(micros(take.interval * take.burst));
        let (allowed, remaining, retry_after, reset): (u8, u64, u64, u64) =
            asked.invoke_async(&mut connection).await?;
        Ok(Decision {
            allowed: allowed == 1,
            remaining,
            retry_after: Duration::from_micros(retry_after),
            reset: Duration::from_micros(reset),
        })
    }
}

fn connect(settings: &LimitStore) -> Result<ConnectionManager, RedisError> {
    let (host, port) = settings.server.rsplit_once(':').unwrap_or((&settings.server, "6379"));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let info = ConnectionAddr::Tcp(host, port.parse().unwrap_or(6379)).into_connection_info()?;
    let mut login = info.redis_settings().clone().set_db(i64::from(settings.database));
    if let Some(username) = &settings.username {
        login = login.set_username(username);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(password.expose());
    }
    let client = Client::open(info.set_redis_settings(login))?;
    let manner = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(ANSWER_MAX))
        .set_number_of_retries(2)
        .set_max_delay(AGAIN_MAX);
    ConnectionManager::new_lazy_with_config(client, manner)
}
