use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Cards by name, with `+` after those with a cable.
fn view(cards: &str, settled: bool) -> View {
    let card = |word: &str| Card { name: word.trim_end_matches('+').to_owned(), cable: word.ends_with('+') };
    View { cards: cards.split_whitespace().map(card).collect(), settled }
}

fn settled(cards: &str) -> View {
    view(cards, true)
}

/// A decision in short: `^a` sets up, `_a` sets down, `=a` bridges, `b>a` replaces b with a, `.` is done.
fn summary(decision: &Decision) -> String {
    let mut words: Vec<String> = decision
        .actions
        .iter()
        .map(|action| match action {
            Action::Raise(card) => format!("^{card}"),
            Action::Lower(card) => format!("_{card}"),
            Action::Bridge { card, before: None, .. } => format!("={card}"),
            Action::Bridge { card, before: Some(before), .. } => format!("{before}>{card}"),
        })
        .collect();
    words.extend(decision.wait.map(|wait| format!("{}s", wait.as_secs())));
    words.extend(decision.done.then(|| ".".to_owned()));
    words.join(" ")
}

/// Each line: the second, the cards, and the expected decision.
fn story(choice: &mut Choice, lines: &[(u64, View, &str)]) {
    for (at, view, expected) in lines {
        assert_eq!(summary(&choice.decide(view, seconds(*at))), *expected, "at {at} s: {view:?}");
    }
}

#[test]
fn one_card_is_taken_at_once_with_or_without_a_cable() {
    story(&mut Choice::default(), &[(0, settled("a"), "^a =a"), (9, settled("a"), ""), (20, settled("a+"), ".")]);
    story(&mut Choice::default(), &[(0, settled("a+"), "^a =a .")]);
}

#[test]
fn no_card_costs_no_time_and_one_that_comes_late_is_taken() {
    let lines = [(0, settled(""), ""), (500, view("a", false), "^a 30s"), (501, settled("a"), "=a")];
    story(&mut Choice::default(), &lines);
}

#[test]
fn of_two_the_first_with_a_cable_is_taken() {
    let lines = [(0, settled("a b"), "^a ^b 5s"), (2, settled("a+ b+"), "=a _b .")];
    story(&mut Choice::default(), &lines);
    let lines = [(0, settled("a b"), "^a ^b 5s"), (2, settled("a b+"), "5s"), (7, settled("a b+"), "=b _a .")];
    story(&mut Choice::default(), &lines);
    // The first card shows its cable later.
    let lines = [(0, settled("a b+"), "^a ^b 5s"), (4, settled("a+ b+"), "=a _b .")];
    story(&mut Choice::default(), &lines);
}

#[test]
fn without_a_cable_the_first_is_taken_until_another_gets_one() {
    let begin = [(0, settled("a b c"), "^a ^b ^c 5s"), (5, settled("a b c"), "=a"), (99, settled("a b c"), "")];
    let mut choice = Choice::default();
    story(&mut choice, &begin);
    // A starting switch gives both cards a carrier, in any order.
    story(&mut choice, &[(100, settled("a b+ c"), "5s"), (103, settled("a+ b+ c"), "_b _c .")]);
    let mut choice = Choice::default();
    story(&mut choice, &begin);
    story(&mut choice, &[(100, settled("a b c+"), "5s"), (105, settled("a b c+"), "a>c _b _a .")]);
}

#[test]
fn cards_that_are_still_to_come_are_waited_for_within_a_bound() {
    // b appears first, while udev still processes a.
    let lines = [(0, view("b+", false), "^b 30s"), (3, view("b+", false), "27s"), (4, settled("a+ b+"), "^a =a _b .")];
    story(&mut Choice::default(), &lines);
    let lines =
        [(0, view("b+", false), "^b 30s"), (12, view("a+ b+", false), "^a 18s"), (30, view("a+ b+", false), "=a _b .")];
    story(&mut Choice::default(), &lines);
}

#[test]
fn a_late_card_does_not_change_what_works() {
    let mut choice = Choice::new(Some("b".to_owned()));
    story(&mut choice, &[(0, settled("a+ b+"), ".")]);
    // A card without a cable is replaced, also after a restart of the service.
    let mut choice = Choice::new(Some("b".to_owned()));
    story(&mut choice, &[(0, settled("a+ b"), "^a b>a _b .")]);
    let mut choice = Choice::new(Some("b".to_owned()));
    story(&mut choice, &[(0, settled("a b"), "^a"), (60, settled("a b"), "")]);
}

#[test]
fn a_card_that_goes_is_replaced() {
    let mut choice = Choice::default();
    story(&mut choice, &[(0, settled("a b"), "^a ^b 5s"), (5, settled("a b"), "=a"), (6, settled("b"), "=b")]);
    // It comes back without a cable: the other has none either and stays.
    story(&mut choice, &[(7, settled("a b"), "^a"), (8, settled("a+ b"), "b>a _b .")]);
}

/// A simulated machine that executes the actions.
#[derive(Default)]
struct Bridge {
    members: BTreeSet<String>,
    /// The card in networkd's file: it joins the bridge whenever it appears.
    named: Option<String>,
    up: BTreeSet<String>,
}

impl Bridge {
    fn act(&mut self, view: &View, decision: &Decision) {
        let there = |name: &String| view.cards.iter().any(|card| card.name == *name);
        self.members.retain(there);
        self.up.retain(there);
        self.members.extend(self.named.clone().filter(there));
        for action in &decision.actions {
            match action {
                Action::Raise(card) => {
                    assert!(there(card) && !self.members.contains(card));
                    self.up.insert(card.clone());
                }
                Action::Lower(card) => {
                    assert!(there(card) && !self.members.contains(card), "{card} is needed");
                    self.up.remove(card);
                }
                Action::Bridge { card, before, .. } => {
                    assert!(there(card));
                    if let Some(before) = before {
                        assert!(self.members.remove(before), "{before} is not in the bridge");
                    }
                    self.members.insert(card.clone());
                    self.named = Some(card.clone());
                }
            }
            assert!(self.members.len() <= 1, "two at once: {:?}", self.members);
        }
    }
}

fn any_view() -> impl Strategy<Value = View> {
    (proptest::collection::vec(proptest::option::of(any::<bool>()), 4), any::<bool>()).prop_map(|(cards, settled)| {
        let named = ["a", "b", "c", "d"].into_iter().zip(cards);
        let cards = named.filter_map(|(name, cable)| Some(Card { name: name.to_owned(), cable: cable? })).collect();
        View { cards, settled }
    })
}

proptest! {
    #[test]
    fn never_two_at_once_and_the_end_is_a_card_with_a_cable(
        views in proptest::collection::vec((any_view(), 0u64..40), 1..20), last in any_view(),
    ) {
        let (mut choice, mut bridge, mut now) = (Choice::default(), Bridge::default(), Duration::ZERO);
        // While the last view stays, the choice ends after a few decisions, each after its wait.
        let rest = std::iter::repeat_n((last.clone(), 0), 5);
        let mut decision = Decision::default();
        for (view, pause) in views.into_iter().chain(rest) {
            now += decision.wait.map_or(seconds(pause), |wait| if pause == 0 { wait } else { wait.min(seconds(pause)) });
            decision = choice.decide(&view, now);
            bridge.act(&view, &decision);
            if decision.done {
                let member = bridge.members.first().unwrap();
                prop_assert!(view.cards.iter().any(|card| card.name == *member && card.cable));
                prop_assert!(bridge.up.is_subset(&bridge.members));
                return Ok(());
            }
        }
        prop_assert!(decision.wait.is_none() && !last.cards.iter().any(|card| card.cable), "{decision:?}");
        prop_assert_eq!(bridge.members.is_empty(), last.cards.is_empty());
    }

    #[test]
    fn what_is_there_from_the_start_is_chosen_by_order_and_cable(last in any_view()) {
        let (mut choice, mut bridge, mut now) = (Choice::default(), Bridge::default(), Duration::ZERO);
        for _ in 0..4 {
            let decision = choice.decide(&last, now);
            bridge.act(&last, &decision);
            now += decision.wait.unwrap_or_default();
            if decision.done { break; }
        }
        let expected = last.cards.iter().find(|card| card.cable).or(last.cards.first());
        prop_assert_eq!(bridge.members.first(), expected.map(|card| &card.name));
    }
}
