//! Blocks that are none of the pool: the node of another one would have addresses of them.

use super::*;

fn block(name: &str, pool: &str, first: &str, size: u32) -> String {
    let spec = json!({"pool": pool, "first": first, "size": size, "node": "g1", "lease": "a"});
    json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

#[test]
fn no_token_makes_a_block_with_addresses_of_another_one() {
    // Case 27
    let Some(server) = server() else { return };
    put_pool(&server, "grid", &json!({"ranges": [{"range": "10.48.0.0/20"}, {"range": "fd6d::/64"}]}));
    let own = token(&server, "g1").to_str().unwrap().to_owned();
    let create = |body: &str| {
        let words = ["--kubeconfig", own.as_str(), "create", "--dry-run=server", "-f", "-"];
        server.kubectl(&words, Some(body))
    };
    let larger = block("grid.0a300000", "grid", "10.48.0.0", 256);
    eventually("the sizes of the pool to be in force", || create(&larger).is_err());
    let in_grid = "a multiple of its size";
    for (name, pool, first, size, why) in [
        ("grid.0a300000", "grid", "10.48.0.0", 256, "blockSize of its pool"),
        ("grid.0a300000", "grid", "10.48.0.0", 1, "blockSize of its pool"),
        // 64 is the size of IPv6.
        ("grid.0a300000", "grid", "10.48.0.0", 64, "blockSize of its pool"),
        ("grid.0a300008", "grid", "10.48.0.8", 16, in_grid),
        ("grid.0a300000", "grid", "10.48.0.0", 12, "denied request"),
        ("other.0a300000", "grid", "10.48.0.0", 16, in_grid),
        ("grid.0a3000000", "rid", "10.48.0.0", 16, in_grid),
        ("grid.fd6d0000000000000000000000000020", "grid", "fd6d::20", 64, in_grid),
        ("whereabouts.default.0a300000", "whereabouts.default", "10.48.0.0", 16, "has one address"),
    ] {
        let said = create(&block(name, pool, first, size)).expect_err(name);
        assert!(said.contains(why), "{name} of {size}: {said}");
    }
    for (name, pool, first, size) in [
        ("grid.0a300010", "grid", "10.48.0.16", 16),
        ("grid.fd6d0000000000000000000000000040", "grid", "fd6d::40", 64),
        ("whereabouts.default.0a300001", "whereabouts.default", "10.48.0.1", 1),
    ] {
        create(&block(name, pool, first, size)).unwrap_or_else(|said| panic!("{name}: {said}"));
    }
}
