//! Text on its way into a column: no longer, and no more of it, than a column takes.

use event::Rows;

use crate::columns::at;

/// More different items than this in one list are left out: they are in `raw`, and looking for
/// repetitions must not become quadratic in what an attacker sends.
pub(crate) const ITEMS_MAX: usize = 256;
/// Longer text is cut, so that memory does not grow with the columns that it stands in.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The same for each item of a list.
const ITEM_BYTES_MAX: usize = 16 << 10;

#[inline]
pub(crate) fn set_text(rows: &mut Rows, column: usize, text: &str) {
    let text = cut(text, TEXT_BYTES_MAX, rows);
    rows.text(column, text);
}

pub(crate) fn add_item(rows: &mut Rows, column: usize, text: &str) {
    let text = cut(text, ITEM_BYTES_MAX, rows);
    if rows.open_items(column) < ITEMS_MAX && !rows.has_item(column, text) {
        rows.item(column, text);
    }
}

/// As much of a text as is kept; when that is not all, the row says so.
#[inline]
fn cut<'t>(text: &'t str, bytes_max: usize, rows: &mut Rows) -> &'t str {
    if text.len() <= bytes_max {
        return text;
    }
    rows.text(const { at("parse_error") }, "a long text is cut in its column: raw has all of it");
    &text[..text.floor_char_boundary(bytes_max)]
}
