//! Values that are nearly another.

use event::Value;

use crate::ip;
use crate::ir::TimePart;
use crate::time_part::part_of;
use crate::value::Seen;

use super::sample::{Sample, address};
use super::solve::State;

/// Values close to those of a field, the most telling first.
pub(super) fn close_to(state: Option<&State>) -> Vec<Sample> {
    state.map_or(&[][..], |state| &state.values).iter().flat_map(close).collect()
}

fn close(sample: &Sample) -> Vec<Sample> {
    match sample {
        Sample::Bool(b) => vec![Sample::Bool(!b)],
        Sample::Int(n) => {
            let beside = [1, -1, 1000, -1000].map(|step| n.saturating_add(step));
            beside.map(Sample::Int).into()
        }
        Sample::Text(text) => close_texts(text).into_iter().map(Sample::Text).collect(),
    }
}

fn close_texts(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (len, middle) = (chars.len(), chars.len() / 2);
    let some = |part: &[char]| part.iter().collect::<String>();
    let mut all = Vec::new();
    if let Some(bits) = ip::address(text) {
        // Outside of ever larger networks.
        all.extend([0, 8, 16, 24, 31, 64, 96].map(|bit| address(bits ^ (1 << bit))));
    }
    let is_time = part_of(&Seen::new(Value::Str(text)), TimePart::Year).is_some();
    if is_time {
        all.extend(["2001-01-01T00:00:00Z".to_owned(), "2002-12-31T23:59:00Z".to_owned()]);
    }
    if len > 0 {
        all.push(some(&chars[..len - 1]));
        all.push(some(&chars[1..]));
        let other = if chars[middle] == 'q' { 'z' } else { 'q' };
        all.push(format!("{}{other}{}", some(&chars[..middle]), some(&chars[middle + 1..])));
        all.push(format!("{}{}", some(&chars[..middle]), some(&chars[middle + 1..])));
    }
    all.push(format!("{text}q"));
    all.push(format!("q{text}"));
    all.extend(["quiet".to_owned(), String::new()]);
    all
}
