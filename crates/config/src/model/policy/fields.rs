//! `fields`: edits of the fields of messages.

/// Edits of the fields of a message; applied in the order remove, set, add.
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
    /// Replaced or added.
    pub set: Vec<(String, String)>,
    /// Added beside what is there.
    pub add: Vec<(String, String)>,
}
