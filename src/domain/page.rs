//! Lists are pages (AIP-158).

/// One page of a list, and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Key of the last item when more follow; `None` on the last page.
    pub next: Option<K>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// Items that come after this key; `None` starts at the beginning.
    pub after: Option<K>,
    /// How many items at most; at least 1.
    pub limit: usize,
}
