//! The JSON Schema of a config, for editors. It is made from the types of
//! `raw`, so it knows what this version reads and nothing that is only planned.

use schemars::generate::SchemaSettings;

use super::raw::RawConfig;

/// The JSON Schema (draft 2020-12) of a config file.
///
/// It says what can be said field by field. Rules between fields, such as
/// "one body a request", are for [`super::Config::from_text`] to check.
#[must_use]
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawConfig>().to_value()
}
