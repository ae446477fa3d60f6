//! What every store must do, whatever it is built on. Each function takes an empty store of its own.
//!
//! `contract!` makes one test of each function for a way of opening a store.

pub(crate) mod events;
mod logs;
mod records;
mod work;

pub(crate) use logs::*;
pub(crate) use records::*;
pub(crate) use work::*;

/// Tests of all functions of the contract, on stores that `$open` gives: a future of a store and of what must live as
/// long as it.
macro_rules! contract {
    ($open:expr) => {
        $crate::store::contract::contract! { @each $open =>
            appends_are_ordered, a_refused_append_leaves_nothing, a_batch_is_one, one_of_many_writers_wins,
            many_logs_grow_at_once, tails_see_every_append, a_tail_has_no_foreign_log, status_follows_the_events,
            lists_are_pages_newest_first, lists_are_filtered, questions_are_searched,
            a_search_looks_at_so_many_at_once, deleted_logs_are_gone, ratings_live_with_their_workflow,
            old_logs_expire, logs_are_of_one_tenant, connections_live, names_are_unique_ignoring_case,
            stale_changes_are_refused, connections_are_pages, connections_are_of_one_tenant,
            request_ids_are_claimed_once, request_ids_expire, request_ids_are_released_by_who_claimed_them,
            answers_go_with_their_claim, knowledge_lives_with_its_connection, stale_knowledge_is_refused,
            knowledge_is_of_one_tenant,
            what_waits_is_taken_once, only_the_holder_appends_on_a_lease, who_starts_may_hold,
            what_is_given_back_is_taken_at_once, what_has_ended_needs_no_worker, tenants_take_turns,
            what_waits_for_a_person_rests, who_is_not_answered_is_taken_when_the_wait_is_over,
            who_is_cancelled_while_waiting_is_not_taken,
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
