use arrow::array::{ListBuilder, StringArray};

use super::*;

fn list(rows: &[Option<&[&str]>]) -> ArrayRef {
    let mut list = ListBuilder::new(StringBuilder::new());
    for row in rows {
        let items = row.map(|items| items.iter().map(|item| Some(*item)));
        list.append_option(items);
    }
    Arc::new(list.finish())
}

#[test]
fn every_column_that_holds_words_is_blotted_and_everything_else_stays() {
    let text: ArrayRef =
        Arc::new(StringArray::from(vec![Some("eve"), Some("eve bob"), None, Some("x")]));
    let other: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(4711), Some(4711)]));
    let names = list(&[Some(&["a", "b"]), None, Some(&["c", "bob", "bob"]), Some(&[])]);
    let bytes: &[Option<&[u8]>] = &[Some(b"\xff bob \xfe\xff"), Some(b"\xff"), None, Some(b"boob")];
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(bytes.to_vec()));
    let columns =
        [("text", text), ("other", other), ("number", number), ("names", names), ("bytes", bytes)];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).unwrap();
    let person = Person::new(["bob", "4711"]).unwrap();

    let (blotted, found) = blot(&person, &batch);
    let expected = [("bytes", 1), ("names", 1), ("number", 2), ("text", 1)];
    assert_eq!(found.columns, expected.map(|(c, n)| (c.to_owned(), n)).into());
    assert_eq!(found.rows, 4);
    let text: Vec<_> = blotted["text"].as_string::<i32>().iter().collect();
    assert_eq!(text, [Some("eve"), Some("eve [erased]"), None, Some("x")]);
    assert_eq!(&blotted["other"], &batch["other"]);
    let number: Vec<_> = blotted["number"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(number, [Some(1), None, None, None]);
    let erased = list(&[Some(&["a", "b"]), None, Some(&["c", "[erased]", "[erased]"]), Some(&[])]);
    assert_eq!(blotted["names"].as_list::<i32>().values(), erased.as_list::<i32>().values());
    let bytes: Vec<_> = blotted["bytes"].as_binary::<i32>().iter().collect();
    assert_eq!(bytes, [Some(&b"\xff [erased] \xfe\xff"[..]), Some(b"\xff"), None, Some(b"boob")]);

    // Of a part of the rows, too.
    let (part, found) = blot(&person, &batch.slice(2, 2));
    assert_eq!(part, blotted.slice(2, 2));
    assert_eq!(found.rows, 2);
    let (same, found) = blot(&person, &batch.slice(0, 0));
    assert_eq!((same, found), (batch.slice(0, 0), Found::default()));
    assert_eq!(blot(&person, &blotted), (blotted.clone(), Found::default()), "it is gone");
}
