//! Looking for workflows by their question, on any store. There is no index: what a list lets through is looked at, so
//! much of it at once that a call stays short.

use futures::{StreamExt, TryStreamExt, stream};

use super::{Error, ListFilter, Store, StoredWorkflow};
use crate::domain::{EventKind, Page, PageRequest, TenantId, WorkflowId};

/// Most workflows that one search looks at. The contract says so too.
pub(super) const MOST_LOOKED_AT: usize = 500;

/// Workflows that are listed at once.
const AT_ONCE: usize = 100;

/// First events that are read at the same time.
const ABREAST: usize = 16;

/// See [`Store::search_workflows`].
pub(super) async fn search<S: Store + ?Sized>(
    store: &S,
    tenant: &TenantId,
    filter: &ListFilter,
    text: &str,
    page: PageRequest<WorkflowId>,
) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
    let text = folded(text);
    let (mut items, mut after) = (Vec::new(), page.after);
    for _ in 0..MOST_LOOKED_AT / AT_ONCE {
        let listed = store.list_workflows(tenant, filter, PageRequest { after, limit: AT_ONCE }).await?;
        let asked: Vec<_> = stream::iter(listed.items)
            .map(|one| async move { Ok::<_, Error>((question(store, tenant, one.id).await?, one)) })
            .buffered(ABREAST)
            .try_collect()
            .await?;
        let fits = |question: Option<String>| question.is_some_and(|question| folded(&question).contains(&text));
        items.extend(asked.into_iter().filter_map(|(question, one)| fits(question).then_some(one)));
        if items.len() > page.limit {
            items.truncate(page.limit);
            let next = items.last().map(|last| last.id);
            return Ok(Page { items, next });
        }
        after = listed.next;
        if after.is_none() || items.len() == page.limit {
            break;
        }
    }
    Ok(Page { items, next: after })
}

/// What was asked, as the first event tells it; `None` when the workflow was removed meanwhile.
async fn question<S: Store + ?Sized>(store: &S, tenant: &TenantId, id: WorkflowId) -> Result<Option<String>, Error> {
    let first = store.read(tenant, id, 0, 1).await?.into_iter().next();
    Ok(first.and_then(|event| match event.kind {
        EventKind::WorkflowStarted(started) => Some(started.question.text),
        _ => None,
    }))
}

/// Text without the difference between cases: `Straße` and `STRASSE` are the same.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn case_makes_no_difference_in_any_alphabet() {
        for (one, other) in [("Umsatz", "UMSATZ"), ("Straße", "STRASSE"), ("ΟΔΟΣ", "οδος"), ("Größe", "GRÖSSE")]
        {
            assert_eq!(folded(one), folded(other));
        }
        assert_ne!(folded("Größe"), folded("Grosse"));
    }
}
