//! SQL functions that read the vendor's own record: `json_get(raw, 'userIdentity.arn')` and its
//! likes. A path names a field as rules do: nested, flat or half flat, and arrays are looked through.
//! What is no JSON, absent, null or of another type is null: a question never fails because of one
//! record.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringArray,
    StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use event::{Doc, FieldId, Fields, FieldsBuilder, NodeId, Parser, Slots, Value};

/// Every function, for a session.
pub(crate) fn functions() -> impl Iterator<Item = ScalarUDF> {
    [Gives::Text, Gives::Int, Gives::Float, Gives::Bool, Gives::All].into_iter().map(|gives| {
        ScalarUDF::from(JsonGet { gives, signature: Signature::string(2, Volatility::Immutable) })
    })
}

/// What a function makes of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gives {
    /// The first value as text; an object as its JSON.
    Text,
    /// The first value as a whole number, also when the record has it as text.
    Int,
    Float,
    Bool,
    /// Every value as text, in order.
    All,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonGet {
    gives: Gives,
    signature: Signature,
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        match self.gives {
            Gives::Text => "json_get",
            Gives::Int => "json_get_int",
            Gives::Float => "json_get_float",
            Gives::Bool => "json_get_bool",
            Gives::All => "json_get_all",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.gives {
            Gives::Text => DataType::Utf8,
            Gives::Int => DataType::Int64,
            Gives::Float => DataType::Float64,
            Gives::Bool => DataType::Boolean,
            Gives::All => DataType::List(element()),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [json, paths] = arrays.as_slice() else {
            return exec_err!("{} takes a record and a path", self.name());
        };
        let (json, paths) = (cast(json, &DataType::Utf8)?, cast(paths, &DataType::Utf8)?);
        let text = |array: &ArrayRef| array.as_any().downcast_ref::<StringArray>().cloned();
        let (Some(json), Some(paths)) = (text(&json), text(&paths)) else {
            return exec_err!("{} takes text", self.name());
        };
        Ok(ColumnarValue::Array(self.gives.read(&json, &paths)))
    }
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

impl Gives {
    fn read(self, json: &StringArray, paths: &StringArray) -> ArrayRef {
        match self {
            Self::Text => {
                let mut out = StringBuilder::new();
                each(json, paths, |found| out.append_option(found.first(text)));
                Arc::new(out.finish())
            }
            Self::Int => {
                let mut out = Int64Builder::new();
                each(json, paths, |found| out.append_option(found.first(int)));
                Arc::new(out.finish())
            }
            Self::Float => {
                let mut out = Float64Builder::new();
                each(json, paths, |found| out.append_option(found.first(float)));
                Arc::new(out.finish())
            }
            Self::Bool => {
                let mut out = BooleanBuilder::new();
                each(json, paths, |found| out.append_option(found.first(boolean)));
                Arc::new(out.finish())
            }
            Self::All => {
                let mut out = ListBuilder::new(StringBuilder::new()).with_field(element());
                each(json, paths, |found| match found.all() {
                    Some(texts) => out.append_value(texts.into_iter().map(Some)),
                    None => out.append_null(),
                });
                Arc::new(out.finish())
            }
        }
    }
}

/// The field of one record: nothing when there is no record or path, or the record is no JSON.
struct Found<'f, 'a>(Option<(&'f Doc<'a>, &'f Slots, FieldId)>);

impl Found<'_, '_> {
    fn first<T>(&self, read: impl Fn(&Doc<'_>, NodeId) -> Option<T>) -> Option<T> {
        let (doc, slots, field) = self.0?;
        read(doc, slots.nodes(field).next()?)
    }

    fn all(&self) -> Option<Vec<String>> {
        let (doc, slots, field) = self.0?;
        let texts = || slots.nodes(field).filter_map(|node| text(doc, node)).collect();
        slots.present(field).then(texts)
    }
}

/// Hands over the field of each record. Paths are nearly always one constant, and are compiled when
/// they change.
fn each(json: &StringArray, paths: &StringArray, mut take: impl FnMut(Found<'_, '_>)) {
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let mut compiled: Option<(&str, Fields, FieldId)> = None;
    for row in 0..json.len() {
        if json.is_null(row) || paths.is_null(row) {
            take(Found(None));
            continue;
        }
        let path = paths.value(row);
        let (_, fields, field) = match &mut compiled {
            Some(known) if known.0 == path => known,
            other => other.insert(compile(path)),
        };
        match parser.json(json.value(row).as_bytes()) {
            Ok(doc) => {
                slots.fill(fields, &doc);
                take(Found(Some((&doc, &slots, *field))));
            }
            Err(_) => take(Found(None)),
        }
    }
}

fn compile(path: &str) -> (&str, Fields, FieldId) {
    let mut builder = FieldsBuilder::default();
    let field = builder.field(&[path]);
    (path, builder.build(), field)
}

fn text(doc: &Doc<'_>, node: NodeId) -> Option<String> {
    match doc.value(node) {
        Value::Null => None,
        Value::Str(text) => Some(text.to_owned()),
        _ => {
            let mut json = Vec::new();
            doc.write_json(node, &mut json);
            String::from_utf8(json).ok()
        }
    }
}

fn int(doc: &Doc<'_>, node: NodeId) -> Option<i64> {
    // Beyond it a double does not say which whole number it is.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match doc.value(node) {
        Value::F64(n) if n.fract() == 0.0 && n.abs() <= EXACT_MAX => Some(n as i64),
        Value::Str(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}

fn float(doc: &Doc<'_>, node: NodeId) -> Option<f64> {
    let value = match doc.value(node) {
        Value::F64(n) => n,
        Value::I64(n) => n as f64,
        Value::U64(n) => n as f64,
        Value::Str(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}

fn boolean(doc: &Doc<'_>, node: NodeId) -> Option<bool> {
    match doc.value(node) {
        Value::Bool(value) => Some(value),
        Value::Str(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Str(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
