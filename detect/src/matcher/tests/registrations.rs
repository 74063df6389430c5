//! Registrations move to what is seldom seen, and nothing makes them move without end.

use super::*;

/// How many rules are tried, and how many hold, event by event, when registrations are picked anew after 200.
fn tried(rules: Vec<Arc<Rule>>, events: impl Iterator<Item = Json>) -> Vec<(usize, usize)> {
    let mut builder = FieldsBuilder::default();
    let group = Arc::new(Group::new(rules, &|_| Vec::new(), &mut builder, Engine::Fast));
    let fields = builder.build();
    let mut matcher = group.matcher_counting(200);
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let mut tried = |event: Json| {
        let text = event.to_string();
        let doc = parser.json(text.as_bytes()).unwrap();
        slots.fill(&fields, &doc);
        let mut tried = 0;
        matcher.matches_in_steps(&doc, &slots, &mut hits, &mut |step| {
            tried += usize::from(matches!(step, crate::engine::Step::Tried { .. }));
        });
        (tried, hits.len())
    };
    events.map(&mut tried).collect()
}

/// What is expected to be rare and is not: the rules move to what is.
#[test]
fn a_bad_estimate_is_mended_by_what_is_counted() {
    let names: Vec<String> = (0..50).map(|i| format!("name{i}")).collect();
    let rules = |rare: &dyn Fn(usize) -> Item| -> Vec<_> {
        let items = |i: usize| vec![item(Some("a"), vec![text(Shape::Equals, &names[i])]), rare(i)];
        let both = || Expr::And(vec![Expr::Item(ItemId(0)), Expr::Item(ItemId(1))]);
        (0..50).map(|i| rule(items(i), both())).collect()
    };
    let part = |i| item(Some("b"), vec![text(Shape::StartsWith, &format!("part{i:02}"))]);
    let events = || (0..500).map(|_| json!({ "a": names, "b": "part07 y", "c": "10.0.7.1" }));
    let counted = tried(rules(&part), events());
    assert_eq!(counted[..200], [(50, 1); 200]);
    assert_eq!(counted[200..], [(1, 1); 300]);

    let network = |i| {
        let network = Network::parse(&format!("10.0.{i}.0/24")).unwrap();
        item(Some("c"), vec![Test::Network(network)])
    };
    let counted = tried(rules(&network), events());
    assert_eq!((counted[199], counted[200], counted[499]), ((50, 1), (1, 1), (1, 1)));

    // Where the other one turns out to be no rarer they stay, and do not move to and fro.
    let everywhere = |_| item(Some("b"), vec![text(Shape::StartsWith, "part07")]);
    let counted = tried(rules(&everywhere), events());
    assert!(counted.iter().all(|(tried, hits)| (*tried, *hits) == (50, 50)), "{counted:?}");

    // To scan texts that were not scanned costs more than rules that are tried in vain.
    let within = |i| item(Some("b"), vec![text(Shape::Contains, &format!("part{i:02}"))]);
    let counted = tried(rules(&within), events());
    assert!(counted.iter().all(|(tried, hits)| (*tried, *hits) == (50, 1)), "{counted:?}");
}

/// Whoever turns the data round in every pause: registrations follow at the ends of windows, of which there are ever
/// fewer.
#[test]
fn data_that_change_on_purpose_keep_nobody_busy() {
    let rules: Vec<_> = (0..50)
        .map(|i| {
            let items = ["a", "b"]
                .map(|field| item(Some(field), vec![text(Shape::Equals, &format!("{field}{i}"))]));
            rule(items.into(), Expr::And(vec![Expr::Item(ItemId(0)), Expr::Item(ItemId(1))]))
        })
        .collect();
    let values = |field: &str| (0..50).map(|i| format!("{field}{i}")).collect::<Vec<_>>();
    let events = (0..2_000).map(|i| match i / 25 % 2 {
        0 => json!({ "a": values("a") }),
        _ => json!({ "b": values("b") }),
    });
    let counted = tried(rules, events);
    let moves = counted.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(counted.iter().all(|(tried, hits)| matches!(tried, 0 | 50) && *hits == 0));
    assert!(moves <= 2_000 / 25 + 6, "{moves} changes");
}
