//! The checks that both engines share.
