//! Interned segments: each text has a number for as long as an edge bears it.

use core::hash::BuildHasher;

use crate::hash::Hashes;
use hashbrown::HashTable;

use super::shrink_sparse;

pub(super) struct Names {
    table: HashTable<Name>,
    /// Numbers of names that were freed.
    free: Vec<u32>,
    /// Bytes of the texts that do not lie in the table.
    heap_bytes: usize,
}

struct Name {
    text: Text,
    id: u32,
    /// How many edges bear the name.
    edges: u32,
}

/// Short texts lie in the table itself, which spares a match one access to memory.
enum Text {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Names {
    pub(super) fn new() -> Self {
        Self { table: HashTable::new(), free: Vec::new(), heap_bytes: 0 }
    }

    pub(super) fn find(&self, text: &[u8], hasher: &Hashes) -> Option<u32> {
        self.table.find(hasher.hash_one(text), |name| name.text.is(text)).map(|name| name.id)
    }

    /// The number of the text, for one more edge.
    pub(super) fn acquire(&mut self, text: &[u8], hasher: &Hashes) -> u32 {
        let hash = hasher.hash_one(text);
        if let Some(name) = self.table.find_mut(hash, |name| name.text.is(text)) {
            name.edges += 1;
            return name.id;
        }
        let id = self.free.pop().unwrap_or(self.table.len() as u32);
        let name = Name { text: Text::new(text), id, edges: 1 };
        self.heap_bytes += name.text.heap_bytes();
        self.table.insert_unique(hash, name, |name| hasher.hash_one(name.text.bytes()));
        id
    }

    /// The number of the text, which one edge bears no longer.
    pub(super) fn release(&mut self, text: &[u8], hasher: &Hashes) -> u32 {
        let entry = self.table.find_entry(hasher.hash_one(text), |name| name.text.is(text));
        let mut entry = entry.ok().expect("an edge bears the name");
        let name = entry.get_mut();
        let id = name.id;
        name.edges -= 1;
        if name.edges == 0 {
            self.heap_bytes -= name.text.heap_bytes();
            entry.remove();
            self.free.push(id);
            shrink_sparse(&mut self.table, |name| hasher.hash_one(name.text.bytes()));
        }
        id
    }

    pub(super) fn memory(&self) -> usize {
        self.table.allocation_size() + self.free.capacity() * size_of::<u32>() + self.heap_bytes
    }
}

impl Text {
    fn new(text: &[u8]) -> Self {
        if text.len() > INLINE {
            return Self::Heap(text.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..text.len()].copy_from_slice(text);
        Self::Inline { len: text.len() as u8, bytes }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    fn is(&self, text: &[u8]) -> bool {
        self.bytes() == text
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}

/// What fits beside the length in the space of the other variant and one word more.
const INLINE: usize = 22;
