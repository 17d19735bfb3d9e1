//! Which wired card is put into the bridge, and when. Pure: time and machine are arguments.
//!
//! The first card in natural order that has a cable is taken, else the first. A
//! card with a cable that is in the bridge stays there. One without a cable
//! makes way for the first that gets one.

use std::time::Duration;

/// How long an earlier card may take to show its cable once a later one has. A
/// gigabit card takes 1 to 3 s from link up.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long a card that is there waits for udev to be done with all devices. A
/// device that hangs must not keep the node off the network.
pub const SETTLE: Duration = Duration::from_secs(30);

/// A wired card, under its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The interface's name.
    pub name: String,
    /// The kernel sees a carrier, which it does only while the card is up.
    pub cable: bool,
}

/// The machine at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// In natural order.
    pub cards: Vec<Card>,
    /// udev has no device to process, so that no card is about to appear.
    pub settled: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sets a card up, so that it shows its cable.
    Raise(String),
    /// Sets a card down that is not needed.
    Lower(String),
    /// Puts a card into the bridge.
    Bridge {
        /// The card's name.
        card: String,
        /// Whether a cable is plugged in.
        cable: bool,
        /// The card that is taken out first.
        before: Option<String>,
    },
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// In this order.
    pub actions: Vec<Action>,
    /// When to look again, should no event come.
    pub wait: Option<Duration>,
    /// A card with a cable is in the bridge: nothing changes that.
    pub done: bool,
}

/// A moment for each card. They are few, and a list makes a smaller program than a map.
type Times = Vec<(String, Duration)>;

/// Chooses the card for the bridge.
#[derive(Debug, Default)]
pub struct Choice {
    /// The card in the bridge.
    chosen: Option<String>,
    /// When each other card was set up.
    raised: Times,
    /// Since when each card shows its cable.
    cables: Times,
    /// Since when there is a card and none is chosen.
    undecided: Option<Duration>,
}

/// The card to be in the bridge, or when to look again.
enum Pick<'a> {
    Card(&'a Card),
    Wait(Option<Duration>),
}

impl Choice {
    /// `chosen` is the card that an earlier run put into the bridge.
    pub fn new(chosen: Option<String>) -> Self {
        Self { chosen, ..Self::default() }
    }

    /// `now` is the time since any fixed moment.
    pub fn turn(&mut self, view: &View, now: Duration) -> Turn {
        let mut turn = Turn::default();
        let find = |name: &str| view.cards.iter().find(|card| card.name == name);
        self.raised.retain(|(name, _)| find(name).is_some());
        self.cables.retain(|(name, _)| find(name).is_some_and(|card| card.cable));
        let chosen = self.chosen.as_deref().and_then(find);
        let works = chosen.is_some_and(|card| card.cable);
        for card in &view.cards {
            if card.cable {
                note(&mut self.cables, &card.name, now);
            }
            if !works && chosen != Some(card) && note(&mut self.raised, &card.name, now) {
                turn.actions.push(Action::Raise(card.name.clone()));
            }
        }
        match self.pick(view, chosen, now) {
            Pick::Wait(wait) => turn.wait = wait,
            Pick::Card(card) => {
                let before = chosen.filter(|chosen| *chosen != card).map(|chosen| chosen.name.clone());
                if chosen != Some(card) {
                    let (name, cable) = (card.name.clone(), card.cable);
                    turn.actions.push(Action::Bridge { card: name, cable, before: before.clone() });
                    self.raised.retain(|(name, _)| *name != card.name);
                    if let Some(before) = before {
                        note(&mut self.raised, &before, now);
                    }
                    self.chosen = Some(card.name.clone());
                }
                if card.cable {
                    turn.actions.extend(self.raised.drain(..).map(|(name, _)| Action::Lower(name)));
                    turn.done = true;
                }
            }
        }
        turn
    }

    fn pick<'a>(&mut self, view: &'a View, chosen: Option<&'a Card>, now: Duration) -> Pick<'a> {
        if let Some(card) = chosen.filter(|card| card.cable) {
            return Pick::Card(card);
        }
        let Some(first) = view.cards.first() else {
            self.undecided = None;
            return Pick::Wait(None);
        };
        let until = |end: Duration, card: &'a Card| {
            if now < end { Pick::Wait(Some(end - now)) } else { Pick::Card(card) }
        };
        if chosen.is_none() {
            let end = *self.undecided.get_or_insert(now) + SETTLE;
            if !view.settled && now < end {
                return Pick::Wait(Some(end - now));
            }
        } else {
            self.undecided = None;
        }
        match (view.cards.iter().find(|card| card.cable), chosen) {
            (Some(card), _) if card == first => Pick::Card(card),
            (Some(card), _) => until(self.cables.iter().map(|(_, since)| *since + GRACE).min().unwrap_or(now), card),
            (None, Some(_)) => Pick::Wait(None),
            (None, None) if view.cards.len() == 1 => Pick::Card(first),
            (None, None) => until(self.raised.iter().map(|(_, since)| *since + GRACE).max().unwrap_or(now), first),
        }
    }
}

/// Whether the card had no moment so far.
fn note(times: &mut Times, card: &str, now: Duration) -> bool {
    let new = !times.iter().any(|(name, _)| name == card);
    if new {
        times.push((card.to_owned(), now));
    }
    new
}

#[cfg(test)]
mod tests;
