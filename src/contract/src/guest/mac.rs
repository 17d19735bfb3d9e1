//! The addresses of a guest's network cards.

use super::GuestName;
use crate::marker::NodeName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The hardware address of one network card: neither a group's (IEEE 802, 8.2) nor all noughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"))
)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

/// Why a text is no address of a card.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum MacAddressError {
    #[error("found {found:?}, expected six pairs of hexadecimal digits, as in \"02:00:00:12:34:56\"")]
    Form { found: String },
    #[error("found {found:?}, which is no single card's address, expected an even first pair and not all noughts")]
    Group { found: String },
}

impl MacAddress {
    /// The address of a guest's card that is given none: stable for the node's
    /// and the guest's name and the card's place in guest.toml, and locally
    /// administered. 46 of its bits differ, where 24 below a maker's prefix
    /// would make clashes likely from a few thousand cards on.
    pub fn derive(node: &NodeName, guest: &GuestName, card: usize) -> Self {
        let node = node.as_str().to_ascii_lowercase();
        let hash = Sha256::digest(format!("appliance mac\0{node}\0{}\0{card}", guest.folded()));
        let mut address = [0; 6];
        address.copy_from_slice(&hash[..6]);
        // Locally administered (IEEE 802, 8.4), one card's.
        address[0] = address[0] & 0b1111_1100 | 0b10;
        Self(address)
    }

    /// The six bytes of the address.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<String> for MacAddress {
    type Error = MacAddressError;

    fn try_from(found: String) -> Result<Self, MacAddressError> {
        let mut address = [0; 6];
        let mut pairs = found.split(':');
        for octet in &mut address {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(value) => *octet = value,
                None => return Err(MacAddressError::Form { found }),
            }
        }
        if pairs.next().is_some() {
            return Err(MacAddressError::Form { found });
        }
        if address[0] & 1 == 1 || address == [0; 6] {
            return Err(MacAddressError::Group { found });
        }
        Ok(Self(address))
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(node: &str, guest: &str, card: usize) -> String {
        MacAddress::derive(&node.parse().unwrap(), &guest.parse().unwrap(), card).to_string()
    }

    #[test]
    fn derived_addresses_stay_what_they_are() {
        assert_eq!(derived("node1", "web", 0), "b2:26:37:3f:a4:00");
        assert_eq!(derived("node1", "web", 1), "0e:80:f1:fe:e0:28");
        assert_eq!(derived("Node1", "WEB", 0), derived("node1", "web", 0));
        // The names do not run into each other.
        assert_ne!(derived("node", "1web", 0), derived("node1", "web", 0));
    }

    #[test]
    fn derived_addresses_are_valid() {
        for guest in 0..500 {
            let address = derived("node1", &format!("guest{guest}"), 0);
            let parsed = MacAddress::try_from(address).unwrap();
            assert_eq!(parsed.octets()[0] & 0b11, 0b10);
        }
    }

    #[test]
    fn refuses_other_forms_and_groups() {
        for bad in
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:1", "02-00-00-00-00-01", "+2:00:00:00:00:01"]
        {
            assert!(matches!(MacAddress::try_from(bad.to_owned()), Err(MacAddressError::Form { .. })), "{bad}");
        }
        for bad in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
            assert!(matches!(MacAddress::try_from(bad.to_owned()), Err(MacAddressError::Group { .. })), "{bad}");
        }
        assert_eq!(MacAddress::try_from("00:16:3E:aB:cd:ef".to_owned()).unwrap().to_string(), "00:16:3e:ab:cd:ef");
    }
}
