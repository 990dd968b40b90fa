//! `plexusctl crd`: the CustomResourceDefinition.

use super::Error;
use super::output::Output;
use crate::cluster::crd::crd_yaml;

/// Prints the definition as YAML.
pub fn run(output: &mut Output) -> Result<(), Error> {
    output.text(&crd_yaml())
}
