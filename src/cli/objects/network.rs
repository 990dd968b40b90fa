//! A NetworkAttachmentDefinition and its configuration.

use super::object::Object;
use super::source::{self, Place, Source};
use crate::cluster::manifests::tree::{self, Node, Tree};
use crate::cni::json::InvalidJson;
use crate::cni::{NetworkConfig, PluginConfig};
use crate::nad::{Definition, NadRef};

/// A NetworkAttachmentDefinition.
#[derive(Clone, Debug)]
pub struct Network {
    /// Which one.
    pub nad: NadRef,
    /// Which object it is.
    pub object: usize,
    /// As the plugin gets it.
    pub definition: Definition,
    /// `spec.config`; none where it is empty: a file on the node gives the configuration then.
    pub config: Option<Config>,
    /// The configuration, as ADD reads it; none without `spec.config`.
    pub parsed: Option<Result<NetworkConfig, String>>,
}

/// The text of `spec.config`, and where it stands.
#[derive(Clone, Debug)]
pub struct Config {
    /// The text.
    pub text: String,
    /// The text as JSON, or its first error: what, line and column.
    pub tree: Result<Node, (String, (usize, usize))>,
    begin: Place,
}

impl Network {
    /// Reads `object`, which is the one with the number `number`; none where it has a name that no object can have.
    pub fn read(number: usize, object: &Object) -> Option<Self> {
        let nad = NadRef::new(&object.namespace, &object.name).ok()?;
        let node = object.root.below(&["spec", "config"]);
        let annotation = |key: &str| object.root.below(&["metadata", "annotations"])?.get(key)?.text();
        let text = node.and_then(Node::text).map(str::to_owned);
        let definition = Definition::new(nad.clone(), text, annotation);
        let config = definition.config.clone().zip(node).map(|(text, node)| Config::read(text, object.place(node)));
        let parse = |config: &Config| NetworkConfig::parse(&config.text, Some(nad.name())).map_err(|e| e.to_string());
        Some(Network { parsed: config.as_ref().map(parse), nad, object: number, definition, config })
    }

    /// Its plugins, as far as they can be read, each with its place in the configuration.
    pub fn plugins(&self) -> Vec<(&PluginConfig, &Node)> {
        let (Some(Ok(network)), Some(Ok(tree))) = (&self.parsed, self.config.as_ref().map(|config| &config.tree))
        else {
            return Vec::new();
        };
        let nodes: Vec<&Node> = match tree.find("plugins") {
            Some(list) if tree.find("type").and_then(Node::text).is_none_or(str::is_empty) => {
                list.items().iter().collect()
            }
            _ => vec![tree],
        };
        network.plugins.iter().zip(nodes).collect()
    }
}

impl Config {
    fn read(text: String, begin: Place) -> Self {
        let told = |e: InvalidJson| (e.to_string(), e.place());
        Config { tree: tree::read_json(&text).map_err(told), text, begin }
    }

    /// The place in `sources` of the byte `at` of the configuration.
    pub fn place(&self, sources: &[Source], at: usize) -> Place {
        let source = self.begin.source;
        let text = sources.get(source).map_or("", |source| source.text.as_str());
        Place { source, at: source::within(text, self.begin.at, &self.text, at) }
    }

    /// The byte at `line` and `column`.
    pub fn byte_at(&self, (line, column): (usize, usize)) -> usize {
        let begin: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        (begin + column.saturating_sub(1)).min(self.text.len().saturating_sub(1))
    }
}

/// The plugin's section `ipam`.
pub fn ipam(plugin: &Node) -> Option<&Node> {
    plugin.find("ipam").filter(|ipam| matches!(ipam.value, Tree::Map(_)))
}
