//! The JSON Schema of the document, for editors.

use schemars::generate::SchemaSettings;

use crate::document::Document;

/// The JSON Schema (draft 2020-12) of `sealgate.yaml`. What it accepts may still be refused, for a
/// schema knows no names and no addresses; what it refuses is refused.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<Document>().to_value()
}
