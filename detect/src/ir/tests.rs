use super::*;

fn item(n: u32) -> Expr {
    Expr::Item(ItemId(n))
}

#[test]
fn joins_are_flat_and_constants_decide() {
    let both = Expr::all(vec![item(0), Expr::all(vec![item(1), item(2)])]);
    assert_eq!(both, Expr::And(vec![item(0), item(1), item(2)]));
    assert_eq!(Expr::all(vec![item(0), Expr::False]), Expr::False);
    assert_eq!(Expr::all(vec![item(0), Expr::True]), item(0));
    assert_eq!(Expr::any(vec![item(0), Expr::True]), Expr::True);
    assert_eq!(Expr::any(vec![]), Expr::False);
    assert_eq!(Expr::all(vec![]), Expr::True);
    assert_eq!(item(0).negate().negate(), item(0));
    let mixed = Expr::any(vec![Expr::all(vec![item(0), item(1)]), item(2)]);
    assert_eq!(mixed, Expr::Or(vec![Expr::And(vec![item(0), item(1)]), item(2)]));
}
