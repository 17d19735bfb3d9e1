//! The id table: user and group numbers, each once.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Ids {
    ids: Vec<u32>,
    indices: HashMap<u32, u16>,
}

impl Ids {
    /// The index of `id` in the table; adds the id if it is new. `None` if the table
    /// is full: the superblock counts its entries in 16 bits.
    pub fn index_of(&mut self, id: u32) -> Option<u16> {
        if let Some(&index) = self.indices.get(&id) {
            return Some(index);
        }
        let index = u16::try_from(self.ids.len()).ok().filter(|&index| index < u16::MAX)?;
        self.ids.push(id);
        self.indices.insert(id, index);
        Some(index)
    }

    /// [`Ids::index_of`] limits the number.
    pub fn count(&self) -> u16 {
        self.ids.len() as u16
    }

    pub fn entries(&self) -> impl Iterator<Item = [u8; 4]> + '_ {
        self.ids.iter().map(|id| id.to_le_bytes())
    }
}
