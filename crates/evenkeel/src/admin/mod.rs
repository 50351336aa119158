//! The admin API: HTTP and JSON over a Unix socket (or TCP with a token), to look at and change a
//! running process. Owns who may ask what and how it is said; what is wanted, and what comes of it,
//! is the business of `control`.

mod cache;
mod change;
mod claim;
mod fragment;
mod guard;
mod json;
mod openapi;
mod operation;
mod operations;
mod problem;
mod register;
mod router;
mod serve;
mod shape;
mod shapes;
mod socket;
mod standing;
mod view;

use std::sync::Arc;

use evenkeel_config::model::Admin;
use tokio::sync::watch;

use crate::control::Handle;
use crate::control::view::{Stand, View};

pub(crate) use socket::{Living, default_paths};

/// What operations act on.
pub(crate) struct Api {
    pub(crate) control: Handle,
}

impl Api {
    /// Everything, with all figures as of now.
    fn view(&self) -> View {
        self.control.view()
    }

    /// What holds, without reading a figure.
    fn stand(&self) -> Arc<Stand> {
        self.control.stand()
    }

    fn version(&self) -> u64 {
        self.stand().version
    }

    fn settings(&self) -> Admin {
        self.stand().config.admin.clone()
    }
}

/// Serves the API wherever the configuration says at the time, until the control plane ends; the
/// socket's file goes with it.
pub(crate) async fn run(control: Handle, living: Living) {
    let mut stands = control.follow();
    let bind = |stands: &watch::Receiver<Arc<Stand>>| stands.borrow().config.admin.bind.clone();
    let (tell, told) = watch::channel(bind(&stands));
    let following = async {
        while stands.changed().await.is_ok() {
            let wanted = bind(&stands);
            tell.send_if_modified(|known| std::mem::replace(known, wanted.clone()) != wanted);
        }
    };
    let router = router::router(&Arc::new(Api { control: control.clone() }));
    tokio::select! {
        () = serve::run(told, router, living) => {}
        () = following => {}
    }
}
