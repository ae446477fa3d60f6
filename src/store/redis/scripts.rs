//! The scripts: what is atomic with what. Each is given a partition's tag as its one key and makes the keys it needs
//! from it, so that all of them are in the tag's slot. Around each is put that its answer names the call: a second key,
//! which is no key of anything.

use std::sync::LazyLock;

use fred::types::scripts::Script;

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::from_lua(concat!(
                "local function answer()\n",
                include_str!(concat!("scripts/", $file, ".lua")),
                "\nend\nreturn {KEYS[2], answer()}",
            )));)*
    };
}

scripts! {
    APPEND = "append", READ = "read", LAST = "last", LIST = "list", DELETE = "delete", EXPIRED = "expired",
    ENDED_OF = "ended_of", TAKE = "take", RENEW = "renew", RELEASE = "release", WAITING = "waiting", HELD = "held",
    PUT_RATING = "put_rating", GET_RATING = "get_rating",
    CLAIM = "claim", KEEP_ANSWER = "keep_answer", ANSWER = "answer", RELEASE_REQUEST = "release_request",
    FORGET_REQUESTS = "forget_requests", CREATE_CONNECTION = "create_connection",
    UPDATE_CONNECTION = "update_connection", GET_CONNECTION = "get_connection",
    DELETE_CONNECTION = "delete_connection", LIST_CONNECTIONS = "list_connections",
    GET_KNOWLEDGE = "get_knowledge", PUT_KNOWLEDGE = "put_knowledge",
}
