//! DESC

pub mod trie;

pub use trie::Trie;
