//! Lists of values, as linked cells in one arena. Nearly every list has one value, and then costs one cell.

use super::arena::Arena;

/// A list inside [`Values`], by its first cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct List(u32);

impl List {
    pub(super) const EMPTY: Self = Self(u32::MAX);

    pub(super) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

pub(super) struct Values<T> {
    cells: Arena<Cell<T>>,
}

struct Cell<T> {
    value: T,
    rest: List,
}

impl<T: Copy + Eq> Values<T> {
    pub(super) fn new() -> Self {
        Self { cells: Arena::new() }
    }

    /// Puts the value in front of the list.
    pub(super) fn push(&mut self, list: &mut List, value: T) {
        *list = List(self.cells.insert(Cell { value, rest: *list }));
    }

    /// Takes one such value out of the list. False when it holds none.
    pub(super) fn remove(&mut self, list: &mut List, value: T) -> bool {
        let mut before = List::EMPTY;
        let mut at = *list;
        while !at.is_empty() {
            let cell = &self.cells[at.0];
            let rest = cell.rest;
            if cell.value == value {
                if before.is_empty() {
                    *list = rest;
                } else {
                    self.cells[before.0].rest = rest;
                }
                self.cells.remove(at.0);
                return true;
            }
            before = at;
            at = rest;
        }
        false
    }

    pub(super) fn for_each(&self, mut list: List, visit: &mut impl FnMut(T)) {
        while !list.is_empty() {
            let cell = &self.cells[list.0];
            visit(cell.value);
            list = cell.rest;
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.cells.memory()
    }
}
