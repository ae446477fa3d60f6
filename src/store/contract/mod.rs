//! What every store must do, whatever it is built on. Each function takes an empty store of its own.
//!
//! `contract!` makes one test of each function for a way of opening a store.

pub(crate) mod events;
mod logs;
mod records;

pub(crate) use logs::*;
pub(crate) use records::*;

/// Tests of all functions of the contract, on stores that `$open` gives: a future of a store and of what must live as
/// long as it.
macro_rules! contract {
    ($open:expr) => {
        $crate::store::contract::contract! { @each $open =>
            appends_are_ordered, a_refused_append_leaves_nothing, a_batch_is_one, one_of_many_writers_wins,
            many_logs_grow_at_once, tails_see_every_append, a_tail_has_no_foreign_log, status_follows_the_events,
            lists_are_pages_newest_first, lists_are_filtered, unfinished_are_of_all_tenants, deleted_logs_are_gone,
            old_logs_expire, logs_are_of_one_tenant, connections_live, names_are_unique_ignoring_case,
            stale_changes_are_refused, connections_are_pages, connections_are_of_one_tenant,
            request_ids_are_claimed_once, request_ids_expire, request_ids_are_released_by_who_claimed_them,
            answers_go_with_their_claim,
        }
    };
    (@each $open:expr => $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (_guard, store) = $open.await;
                $crate::store::contract::$name(store).await;
            }
        )*
    };
}
pub(crate) use contract;
