//! CSV: where rows end.

use super::*;

fn csv(input: &str, expected: &[&str]) {
    check(&options(Format::Csv), input, expected);
}

#[test]
fn rows_refer_to_the_names_above_them() {
    csv("a,b\n1,2\n3,4", &["=1,2 <a,b>", "=3,4 <a,b>"]);
    csv("a,b\r\n1,2\r\n\r\n3,4\r\n", &["=1,2 <a,b>", "=3,4 <a,b>"]);
    csv("\u{feff}a,b\n1,2\n", &["=1,2 <a,b>"]);
    csv("a,b\n", &[]);
    csv("", &[]);
    // One file behind another, each with its names; other names would be a row of this table.
    csv("a,b\n1,2\na,b\n3,4\n", &["=1,2 <a,b>", "=3,4 <a,b>"]);
    // Ragged rows are rows: their reader refuses them, alone.
    csv("a,b\n1\n1,2,3\n1,2\n", &["=1 <a,b>", "=1,2,3 <a,b>", "=1,2 <a,b>"]);
}

#[test]
fn quoted_values_hold_line_breaks() {
    csv("a,b\n\"x\ny\",2\n3,4\n", &["=\"x\ny\",2 <a,b>", "=3,4 <a,b>"]);
    csv("\"a\nb\",c\n1,\"x\r\n\"\n2,3\n", &["=1,\"x\r\n\" <\"a\nb\",c>", "=2,3 <\"a\nb\",c>"]);
    csv("a\n\"say \"\"x\"\"\n\"\n1\n", &["=\"say \"\"x\"\"\n\" <a>", "=1 <a>"]);
    csv("a,b\n\"\",\"\"\"\"\n1,2\n", &["=\"\",\"\"\"\" <a,b>", "=1,2 <a,b>"]);
    // A quote inside of a value is text, and so is one that no comma follows.
    csv("a,b\n5\" disk,x\n1,2\n", &["=5\" disk,x <a,b>", "=1,2 <a,b>"]);
    csv("a,b\n\"q\"x\n\",y\n1,2\n", &["=\"q\"x\n\",y <a,b>", "=1,2 <a,b>"]);
    csv("a,b\n\"open,2\n3,4\n", &["!a quote is never closed: \"open,2\n3,4\n"]);
}

#[test]
fn a_row_that_is_too_long_costs_itself() {
    let long = format!("a\n\"{}\n{}\"\n1\n", "x".repeat(62), "y".repeat(70));
    let first = format!("!part 1, record longer than 64 bytes: \"{}\n", "x".repeat(62));
    let second = format!("!part 2, record longer than 64 bytes: {}", "y".repeat(64));
    let third = "!part 3, record longer than 64 bytes: yyyyyy\"";
    csv(&long, &[&first, &second, third, "=1 <a>"]);
}

#[test]
fn tables_are_found_out_where_vendors_export_them() {
    let auto =
        |log_type: &str| Options { record_bytes_max: 64, ..Options::new(Format::Auto, log_type) };
    for log_type in ["salesforce.event", "snowflake.login_history"] {
        check(&auto(log_type), "\u{feff}\"A\",B\n\"x\ny\",2\n", &["=\"x\ny\",2 <\"A\",B>"]);
        check(&auto(log_type), "{\"A\":1}\n{\"A\":2}\n", &["={\"A\":1}", "={\"A\":2}"]);
        check(&auto(log_type), "\n[{\"A\":1},\n{\"A\":2}]\n", &["={\"A\":1}", "={\"A\":2}"]);
    }
    check(&auto("okta.system"), "A,B\n1,2\n", &["=A,B", "=1,2"]);
}

proptest! {
    /// However they are quoted, as many rows come out as went in, and they say the same.
    #[test]
    fn rows_come_back(
        rows in prop::collection::vec(prop::collection::vec("[a-c,\"\n\r ]{0,6}", 3), 1..8),
        chunk in 1_usize..9,
    ) {
        let quote = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quote).collect::<Vec<_>>().join(",");
        let lines: Vec<String> = rows.iter().map(line).collect();
        let text = format!("p,q,r\n{}\n", lines.join("\n"));
        let expected: Vec<String> = lines.iter().map(|line| format!("={line} <p,q,r>")).collect();
        prop_assert_eq!(frame(&options(Format::Csv), text.as_bytes(), chunk), expected);
    }
}
