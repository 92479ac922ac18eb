//! What was asked of the fake server: the record that tests count.

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// GET of one object.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection, with `watch`.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH of any kind.
    Patch,
    /// DELETE of one object.
    Delete,
}

/// One request, as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The name given to [`crate::FakeApi::client_as`].
    pub client: String,
    /// What it does.
    pub verb: Verb,
    /// Plural name of the resource.
    pub resource: &'static str,
    /// Empty for resources without namespaces, and for all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// `status`, or empty.
    pub subresource: String,
}

impl Request {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete)
    }
}
