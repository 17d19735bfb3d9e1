//! The id table: user and group numbers, each once.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Ids {
    ids: Vec<u32>,
    places: HashMap<u32, u16>,
}

impl Ids {
    /// The place of `id` in the table; `None` when the table is full: the
    /// superblock counts its entries in 16 bits.
    pub fn place(&mut self, id: u32) -> Option<u16> {
        if let Some(&place) = self.places.get(&id) {
            return Some(place);
        }
        let place = u16::try_from(self.ids.len()).ok().filter(|&place| place < u16::MAX)?;
        self.ids.push(id);
        self.places.insert(id, place);
        Some(place)
    }

    /// As many as [`Ids::place`] let in.
    pub fn count(&self) -> u16 {
        self.ids.len() as u16
    }

    pub fn entries(&self) -> impl Iterator<Item = [u8; 4]> + '_ {
        self.ids.iter().map(|id| id.to_le_bytes())
    }
}
