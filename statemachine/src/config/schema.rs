//! The JSON Schema of a config, for editors. It is made from the types of
//! `raw`, so it knows what this version reads and nothing that is only planned.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::{Value, json};

use super::raw::RawConfig;

/// The JSON Schema (draft 2020-12) of a config file.
///
/// It says what can be said field by field. Rules between fields, such as
/// "one body a request", are for [`super::Config::from_text`] to check.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawConfig>();
    tidy(&mut schema);
    schema.to_value()
}

/// An optional field may be absent and not `null`; a description is one
/// paragraph; and sizes of Rust's numbers mean nothing to an author.
fn tidy(schema: &mut Schema) {
    transform_subschemas(&mut tidy, schema);
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("format");
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_slice()
            && let Some(reference) = only.get("$ref").cloned()
        {
            fields.remove("anyOf");
            fields.insert("$ref".to_owned(), reference);
        }
    }
}
