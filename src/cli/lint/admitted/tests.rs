use super::*;
use crate::cluster::addresses::pool_definition;

/// A keyword or a rule that is not understood would be accepted here, and refused there.
#[test]
fn all_of_the_schema_of_pools_is_judged() {
    const UNDERSTOOD: [&str; 14] = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "items",
        "maxLength",
        "maximum",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-validations",
    ];
    fn look(schema: &Value, understood: &[&str], seen: &mut usize) {
        for rule in rules(schema) {
            assert!(rule.expression.is_some(), "{}", rule.message);
            *seen += 1;
        }
        for keyword in schema.as_object().unwrap().keys().filter(|key| !understood.contains(&key.as_str())) {
            // The types of numbers have the limits that the schema has, too.
            assert!(keyword == "format" && schema["type"] == "integer" || keyword == "title", "{keyword}: {schema}");
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let children = properties.into_iter().flat_map(|properties| properties.values());
        let others = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
        let others: Vec<&Value> = others.filter(|other| other.is_object()).collect();
        // Rules about the elements of a list are not judged.
        assert!(others.iter().all(|other| rules(other).next().is_none()), "{schema}");
        children.chain(others).for_each(|child| look(child, understood, seen));
    }
    let mut schema = Kind::new(&pool_definition()).unwrap().schema;
    // Who creates an object gives it no status, and metadata has a shape of its own.
    let properties = schema["properties"].as_object_mut().unwrap();
    properties.remove("status");
    properties.remove("metadata");
    let mut seen = 0;
    look(&schema, &UNDERSTOOD, &mut seen);
    assert_eq!(seen, 3, "the rules about a new pool");
}
