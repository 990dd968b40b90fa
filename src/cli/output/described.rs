//! The JSON documents of commands, and their schemas.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};

/// A JSON document that a command prints. Members are added, never changed or removed.
pub trait Described: Serialize + JsonSchema {
    /// The name of its schema in `docs/reference/schemas`, without `.json`: the command, and what differs if it has several
    /// documents.
    const NAME: &'static str;
}

/// Name and JSON Schema of a document.
pub fn schema<T: Described>() -> (&'static str, Value) {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(format!("plexusctl {}", T::NAME.replace('-', " "))));
    (T::NAME, schema.into())
}
