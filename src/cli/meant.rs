//! What a person probably meant by a name that does not exist in the cluster.

use crate::cluster::Inquiry;
use crate::nad::NadRef;

/// The network of the cluster that is probably meant by `nad`, which does not exist.
pub fn network(inquiry: &Inquiry, nad: &NadRef) -> Option<NadRef> {
    let all: Vec<NadRef> = inquiry.definitions().ok()?.into_iter().map(|definition| definition.nad).collect();
    like(nad, &all).cloned()
}

/// Of `all` the one that is nearly `nad`; else one with the same name in another namespace.
fn like<'a>(nad: &NadRef, all: &'a [NadRef]) -> Option<&'a NadRef> {
    nad.nearest(all).or_else(|| all.iter().find(|other| other.name() == nad.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_recognised_and_one_of_another_namespace() {
        let nad = |namespace: &str, name: &str| NadRef::new(namespace, name).unwrap();
        let all = [nad("default", "lan"), nad("infra", "storage")];
        let like = |name: &str| like(&nad("default", name), &all);
        assert_eq!(like("lam"), Some(&all[0]));
        assert_eq!(like("storage"), Some(&all[1]));
        assert_eq!(like("other"), None);
        // The letters of the namespace make nothing near.
        let all = [nad("default", "v9"), nad("default", "mode"), nad("default", "lan")];
        for (name, meant) in [("m", None), ("gone", None), ("mods", Some(&all[1])), ("lam", Some(&all[2]))] {
            assert_eq!(super::like(&nad("default", name), &all), meant, "{name}");
        }
        assert_eq!(super::like(&nad("defalt", "lan"), &all), Some(&all[2]));
    }
}
