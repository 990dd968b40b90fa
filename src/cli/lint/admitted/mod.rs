//! What the API server refuses of an object, by its CustomResourceDefinition. `lint` has no limits of its own.

mod expression;
mod refused;
mod value;

pub use refused::Refused;

use crate::cluster::manifests::tree::{Node, Tree};
use expression::Expression;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use value::{Place, Walk};

/// A kind of objects, as the API server judges it.
#[derive(Debug)]
pub struct Kind {
    group: String,
    versions: Vec<String>,
    schema: Value,
}

impl Kind {
    /// What `definition` defines; none where it has no schema.
    pub fn new(definition: &CustomResourceDefinition) -> Option<Self> {
        let versions = &definition.spec.versions;
        let schema = versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()?;
        let mut schema = serde_json::to_value(schema).ok()?;
        let properties = schema.get_mut("properties")?.as_object_mut()?;
        let text = json!({"type": "string"});
        properties.extend([("apiVersion".to_owned(), text.clone()), ("kind".to_owned(), text)]);
        properties.insert("metadata".to_owned(), metadata());
        Some(Kind {
            group: definition.spec.group.clone(),
            versions: versions.iter().filter(|version| version.served).map(|version| version.name.clone()).collect(),
            schema,
        })
    }

    /// What is refused of the object `root` in `text`, which gets the name `name`; empty where it has none.
    pub fn refusals(&self, root: &Node, name: &str, text: &str) -> Vec<Refused> {
        let mut walk = Walk::new(text);
        walk.value(root, &self.schema, &Place::default());
        let mut found = walk.found;
        found.extend(self.strange_version(root));
        found.extend(unnamed(root, name));
        // A value beyond its limits breaks rules, too.
        let known: Vec<usize> = found.iter().map(|one| one.at).collect();
        found.extend(self.broken_rules(root, name).into_iter().filter(|one| !known.contains(&one.at)));
        found
    }

    /// The elements of a typed list have no `apiVersion`.
    fn strange_version(&self, root: &Node) -> Option<Refused> {
        let node = root.get("apiVersion")?;
        let version = node.text()?.rsplit('/').next()?;
        let known = self.versions.iter().map(|version| format!("\"{}/{version}\"", self.group));
        let is_strange = !self.versions.iter().any(|known| known == version);
        is_strange.then(|| Refused {
            at: node.at,
            text: format!("apiVersion is {:?}: allowed is {}", node.text().unwrap_or_default(), value::list(known)),
        })
    }

    fn broken_rules(&self, root: &Node, name: &str) -> Vec<Refused> {
        let mut own = root.to_json();
        if let Some(metadata) = own.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !name.is_empty()) {
            metadata.insert("name".to_owned(), name.into());
        }
        let mut found = Vec::new();
        rules_of(&value::completed(own, &self.schema), &self.schema, &mut Vec::new(), &mut |path, message| {
            let text = format!("{}: the API server requires that {message}", path.join("."));
            found.push(Refused { at: nearest(root, path).at, text });
        });
        found
    }
}

/// The metadata of each object. Of its parts without a known shape, such as the fields of managers, nothing is judged.
fn metadata() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<ObjectMeta>().into()
}

fn unnamed(root: &Node, name: &str) -> Option<Refused> {
    let metadata = root.get("metadata");
    let is_given = metadata.is_some_and(|metadata| {
        ["name", "generateName"].iter().any(|key| metadata.get(key).is_some_and(|name| name.value != Tree::Null))
    });
    (name.is_empty() && !is_given).then(|| Refused {
        at: metadata.unwrap_or(root).at,
        text: "metadata has neither name nor generateName".to_owned(),
    })
}

/// The part of `root` below `path`, as far as it is written.
fn nearest<'a>(root: &'a Node, path: &[String]) -> &'a Node {
    let mut node = root;
    for key in path {
        let Some(value) = node.get(key) else { break };
        node = value;
    }
    node
}

/// Tells `broken` of each rule in `schema` that does not hold for `own`: the value it is about, and its message. A rule about
/// changes does not concern a new object.
fn rules_of(own: &Value, schema: &Value, path: &mut Vec<String>, broken: &mut impl FnMut(&[String], &str)) {
    for rule in rules(schema) {
        let Some(part) = rule.expression.as_ref().and_then(|rule| rule.broken(own)) else { continue };
        let place: Vec<String> = path.iter().chain(part.path()).cloned().collect();
        broken(&place, rule.message);
    }
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(own) = own.get(key) {
            path.push(key.clone());
            rules_of(own, schema, path, broken);
            path.pop();
        }
    }
}

struct Rule<'a> {
    message: &'a str,
    /// None where it is not understood.
    expression: Option<Expression>,
}

/// The rules of `schema` itself that concern a new object.
fn rules(schema: &Value) -> impl Iterator<Item = Rule<'_>> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| {
        let text = rule.get("rule")?.as_str().filter(|text| !text.contains("oldSelf"))?;
        let message = rule.get("message").and_then(Value::as_str).unwrap_or(text);
        Some(Rule { message, expression: Expression::read(text) })
    })
}

#[cfg(test)]
mod tests;
