//! docs/log-types.md lists the log types that come with the program. `UPDATE=1` rewrites its table.

use std::path::PathBuf;

use event::Tag;
use normalize::{Catalog, Mapping};

const HEAD: &str =
    "| log type | what it is | product | category | service |\n|---|---|---|---|---|\n";

fn tag(tag: &Tag) -> String {
    match tag {
        Tag::Is(one) => format!("`{one}`"),
        Tag::AnyOf(all) => all.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", "),
        Tag::None | Tag::Unknown => String::new(),
    }
}

fn line(mapping: &Mapping) -> String {
    let source = mapping.log_source();
    let (product, category, service) =
        (tag(&source.product), tag(&source.category), tag(&source.service));
    let (name, what) = (mapping.log_type(), mapping.description().trim());
    format!("| `{name}` | {what} | {product} | {category} | {service} |\n")
}

#[test]
fn the_page_lists_every_log_type() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/log-types.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(HEAD).expect("the table");
    let (have, after) = rest.split_once("\n## ").expect("what follows the table");
    let wanted: String = Catalog::builtin().by_name().map(|mapping| line(mapping)).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{before}{HEAD}{wanted}\n## {after}")).unwrap();
        return;
    }
    assert_eq!(have, wanted, "UPDATE=1 rewrites it");
}
