//! Places for values of one size, addressed by small numbers.

use core::ops::{Index, IndexMut};

/// Grows by a chunk at a time, so that neither a large copy nor a half-empty vector is ever needed, and uses freed
/// places again.
pub(super) struct Arena<V> {
    chunks: Vec<Vec<V>>,
    free: Vec<u32>,
}

impl<V> Arena<V> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    /// Whether nothing was ever inserted.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn insert(&mut self, value: V) -> u32 {
        if let Some(id) = self.free.pop() {
            self[id] = value;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("one was pushed when there was none");
        let id = before + chunk.len();
        chunk.push(value);
        u32::try_from(id).expect("four thousand million places need more memory than there is")
    }

    /// Frees the place; the caller forgets the number.
    pub(super) fn remove(&mut self, id: u32) {
        self.free.push(id);
    }

    pub(super) fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<V>()
            + self.chunks.capacity() * size_of::<Vec<V>>()
            + self.free.capacity() * size_of::<u32>()
    }
}

impl<V> Index<u32> for Arena<V> {
    type Output = V;

    fn index(&self, id: u32) -> &V {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl<V> IndexMut<u32> for Arena<V> {
    fn index_mut(&mut self, id: u32) -> &mut V {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

/// Places in a chunk. A guess, not measured: 20 KB of nodes, little for a small trie and few chunks for a large one.
const CHUNK: usize = 1024;
