//! What nobody else may know. It is compared, handed on and never shown; where it was written as an
//! environment variable, that is what is shown.

/// A text that nobody else knows.
#[derive(Clone)]
pub struct Secret {
    text: String,
    variable: Option<String>,
}

impl Secret {
    /// Written as it is, or as the environment variable of this name.
    pub fn new(text: impl Into<String>, variable: Option<String>) -> Self {
        Self { text: text.into(), variable }
    }

    /// The text itself: to compare with, in constant time.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// How it may be shown: `${NAME}` where it came from the environment, else `<secret>`.
    pub fn shown(&self) -> String {
        shown(self.variable.as_deref())
    }
}

/// 32 bytes that nobody else knows.
#[derive(Clone)]
pub struct SecretKey {
    bytes: [u8; 32],
    variable: Option<String>,
}

impl SecretKey {
    /// Written as it is, or as the environment variable of this name.
    pub fn new(bytes: [u8; 32], variable: Option<String>) -> Self {
        Self { bytes, variable }
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// How it may be shown: `${NAME}` where it came from the environment, else `<secret>`.
    pub fn shown(&self) -> String {
        shown(self.variable.as_deref())
    }
}

/// Stands for a secret that was written into a file as it is.
pub const HIDDEN: &str = "<secret>";

fn shown(variable: Option<&str>) -> String {
    variable.map_or_else(|| HIDDEN.to_owned(), |name| format!("${{{name}}}"))
}

// Where it came from makes no other secret of it.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SecretKey {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.shown())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.shown())
    }
}
