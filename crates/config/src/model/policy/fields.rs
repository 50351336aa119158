//! `fields`: edits of the fields of messages.

use crate::model::Template;

/// Edits of the fields of a message; applied in the order remove, rename, set, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// On the request, before it is sent to a server.
    pub request: Edits,
    /// On the response, before it is sent to the client.
    pub response: Edits,
}

/// Names are lower case as compared, and written as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Taken away.
    pub remove: Vec<String>,
    /// Given another name, beside what has that name.
    pub rename: Vec<(String, String)>,
    /// Replaced or added.
    pub set: Vec<(String, Template)>,
    /// Added beside what is there.
    pub add: Vec<(String, Template)>,
}

impl FieldEdits {
    /// The values.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        [&self.request, &self.response]
            .into_iter()
            .flat_map(|edits| edits.set.iter().chain(&edits.add))
            .map(|(_, value)| value)
    }
}
