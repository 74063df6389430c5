use super::*;

fn rows() -> Rows {
    let column =
        |name: &str, column_type| ColumnDef { name: name.into(), column_type, doc: String::new() };
    let columns = vec![
        column("a", ColumnType::Text),
        column("n", ColumnType::Int),
        column("l", ColumnType::TextList),
    ];
    Rows::new(Arc::new(TableSchema { table: "t".into(), columns }))
}

#[test]
fn unset_cells_are_null_and_the_first_value_stays() {
    let mut rows = rows();
    rows.text(0, "x");
    rows.text(0, "y");
    rows.end_row();
    rows.int(1, 7);
    rows.item(2, "p");
    rows.item(2, "q");
    assert!(rows.has_item(2, "q") && !rows.has_item(2, "x"));
    assert_eq!(rows.open_items(2), 2);
    rows.end_row();
    rows.text(0, "");
    rows.end_row();
    assert_eq!(serde_json::Value::from(rows.json(0)), serde_json::json!({"a": "x"}));
    let second = serde_json::json!({"n": 7, "l": ["p", "q"]});
    assert_eq!(serde_json::Value::from(rows.json(1)), second);
    assert_eq!(rows.cell(2, 0), Cell::Text(""), "empty is not null");
    assert!(!rows.has_item(2, "p") && rows.open_items(2) == 0, "the items of an earlier row");
}

#[test]
fn an_abandoned_row_leaves_no_trace() {
    let mut rows = rows();
    rows.text(0, "kept");
    rows.item(2, "i");
    rows.end_row();
    rows.text(0, "dropped");
    rows.int(1, 1);
    rows.item(2, "j");
    rows.abandon_row();
    rows.int(1, 2);
    rows.end_row();
    assert_eq!(rows.len(), 2);
    assert_eq!(serde_json::Value::from(rows.json(1)), serde_json::json!({"n": 2}));
}

/// A column is touched only by rows that set it: nothing moves to a neighbour row, whatever is set when.
#[test]
fn sparse_cells_stay_in_their_rows() {
    let mut rows = rows();
    for row in 0..200_i64 {
        if row % 7 == 3 {
            rows.text(0, &row.to_string());
        }
        if row % 11 == 5 {
            rows.int(1, row);
        }
        for item in 0..row % 3 {
            rows.item(2, &format!("{row}.{item}"));
        }
        if row % 5 == 4 {
            rows.abandon_row();
        }
        rows.end_row();
    }
    assert_eq!(rows.len(), 200);
    for row in 0..200_usize {
        let dropped = row % 5 == 4;
        let text = (row % 7 == 3 && !dropped).then(|| row.to_string());
        assert_eq!(rows.cell(row, 0), text.as_deref().map_or(Cell::Null, Cell::Text));
        let int = (row % 11 == 5 && !dropped).then_some(row as i64);
        assert_eq!(rows.cell(row, 1), int.map_or(Cell::Null, Cell::Int));
        let items: Vec<String> =
            (0..if dropped { 0 } else { row % 3 }).map(|i| format!("{row}.{i}")).collect();
        let have = rows.cell(row, 2).json();
        assert_eq!(have, (!items.is_empty()).then(|| items.clone().into()), "row {row}");
        assert_eq!(rows.column(2).text_len(row), items.concat().len());
    }
    rows.clear();
    assert!(rows.is_empty() && rows.column(0).is_blank() && rows.column(2).is_blank());
    rows.end_row();
    assert_eq!(rows.cell(0, 2), Cell::Null);
}
