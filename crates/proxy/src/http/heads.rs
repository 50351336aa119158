//! Heads are parsed into index structures that are used again, so that a request allocates none.

use std::cell::RefCell;

use evenkeel_codec::{RequestHead, ResponseHead};

/// Heads a worker keeps for later.
const KEPT_MAX: usize = 256;

/// A worker's stock of heads.
#[derive(Default)]
#[allow(clippy::vec_box)] // the box is what is lent
pub(crate) struct HeadStock {
    // In boxes of their own: on its way through an exchange a head is moved several times.
    requests: RefCell<Vec<Box<RequestHead>>>,
    responses: RefCell<Vec<Box<ResponseHead>>>,
}

impl HeadStock {
    /// An empty request head.
    pub(crate) fn request(&self) -> Box<RequestHead> {
        self.requests.borrow_mut().pop().unwrap_or_default()
    }

    /// An empty response head.
    pub(crate) fn response(&self) -> Box<ResponseHead> {
        self.responses.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a request head back.
    pub(crate) fn give_request(&self, mut head: Box<RequestHead>) {
        let mut stock = self.requests.borrow_mut();
        if stock.len() < KEPT_MAX {
            head.clear();
            stock.push(head);
        }
    }

    /// Gives a response head back.
    pub(crate) fn give_response(&self, mut head: Box<ResponseHead>) {
        let mut stock = self.responses.borrow_mut();
        if stock.len() < KEPT_MAX {
            head.clear();
            stock.push(head);
        }
    }
}
