//! Configurations by chance. One seed always makes the same one.

use crate::cases::{config, host_local};
use crate::optional::{IPVLAN, VLAN, VLANS_OF_PORTS};
use crate::plugin::Attachment;
use crate::world::CONTAINER;
use serde_json::{Map, Value, json};

/// Numbers that depend on the seed alone (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    fn pick(&mut self, values: &Value) -> Value {
        let values = values.as_array().unwrap();
        values[usize::try_from(self.next() % values.len() as u64).unwrap()].clone()
    }

    /// Sets `key` to one of `values`, once in `count` times.
    fn maybe(&mut self, object: &mut Map<String, Value>, count: u64, key: &str, values: &Value) {
        if self.one_in(count) {
            let value = self.pick(values);
            object.insert(key.to_owned(), value);
        }
    }

    /// One of `values`, or rarely of `wrong`: what is refused at once shows little.
    fn mostly(&mut self, values: &Value, wrong: &Value) -> Value {
        let is_wrong = self.one_in(15);
        self.pick(if is_wrong { wrong } else { values })
    }

    /// Some of `values`, in their order.
    fn some(&mut self, count: u64, values: &Value) -> Vec<Value> {
        values.as_array().unwrap().iter().filter(|_| self.one_in(count)).cloned().collect()
    }
}

/// An attachment, or two of one network in one container.
pub struct Case {
    pub config: Value,
    pub attachment: Attachment,
    pub second: Option<Attachment>,
    /// It has something that natives leave to programs.
    pub is_declined: bool,
}

impl Case {
    /// The case of `random`'s seed.
    pub fn new(random: &mut Random) -> Self {
        let old = json!(["0.1.0", "0.2.0", "0.3.0"]);
        let version = random.mostly(&json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0", "1.1.0"]), &old);
        let kinds = json!(["bridge", "bridge", "macvlan", "ipvlan", "ipvlan", "vlan", "ptp"]);
        let kind = random.mostly(&kinds, &json!(["loopback"]));
        let mut more = match kind.as_str().unwrap() {
            "bridge" => bridge(random),
            "macvlan" => macvlan(random),
            "ipvlan" => ipvlan(random),
            "vlan" => vlan(random),
            "ptp" => Map::new(),
            _ => Map::new(),
        };
        let is_loopback = kind == "loopback";
        if random.one_in(3) && !is_loopback {
            // The others take a negative one for none: see the list of differences.
            let refuses_negative = kind == "macvlan" || kind == "vlan";
            let odd = if refuses_negative { json!([576, 9000, -1]) } else { json!([576, 9000]) };
            more.insert("mtu".to_owned(), random.mostly(&json!([1400, 1280, 1500, 0]), &odd));
        }
        // Without addresses these are refused.
        let chance = if ["ipvlan", "vlan", "ptp"].iter().any(|needy| kind == *needy) { 30 } else { 6 };
        let keeps_down = more.get("disableContainerInterface") == Some(&json!(true));
        if !random.one_in(chance) && !keeps_down && !is_loopback {
            more.insert("ipam".to_owned(), if random.one_in(3) { static_(random) } else { pools(random) });
        }
        more_of_the_runtime(random, &mut more);
        let is_declined = random.one_in(25);
        if is_declined {
            let (key, value) = declined(random, kind.as_str().unwrap());
            more.insert(key, value);
        }
        let config = config(version.as_str().unwrap(), kind.as_str().unwrap(), Value::Object(more));
        let attachment = if is_loopback { loopback() } else { attachment(random, &config) };
        // A second one that asks for the same addresses would only be refused.
        let asks = config.to_string().contains("\"ips\":[\"") || attachment.args.contains("IP=");
        let second = (random.one_in(4) && !is_loopback && !asks)
            .then(|| Attachment { ifname: "net2".to_owned(), ..attachment.clone() });
        Case { config, attachment, second, is_declined }
    }

    /// What the kernel must be able to make, as a line for `ip`.
    pub fn needs(&self) -> Option<&'static str> {
        let trunk = self.config["vlanTrunk"].is_array();
        let vlan = self.config["vlan"].as_i64().is_some_and(|vlan| vlan != 0);
        match self.config["type"].as_str() {
            Some("ipvlan") => Some(IPVLAN),
            Some("vlan") => Some(VLAN),
            Some("bridge") if trunk || vlan => Some(VLANS_OF_PORTS),
            _ => None,
        }
    }

    /// Whether the link to sit on is in the container.
    pub fn needs_inner_link(&self) -> bool {
        self.config["linkInContainer"] == true
    }
}

/// What a native does not do.
fn declined(random: &mut Random, kind: &str) -> (String, Value) {
    let keys = match kind {
        "bridge" => json!([["ipMasq", true], ["macspoofchk", true], ["futureKey", 1]]),
        "ptp" => json!([["ipMasq", true], ["futureKey", 1]]),
        _ => json!([["futureKey", 1], ["Name", "twice"]]),
    };
    let key = random.pick(&keys);
    (key[0].as_str().unwrap().to_owned(), key[1].clone())
}

fn loopback() -> Attachment {
    Attachment { ifname: "lo".to_owned(), ..Attachment::default() }
}

fn bridge(random: &mut Random) -> Map<String, Value> {
    let mut keys = Map::new();
    random.maybe(&mut keys, 2, "bridge", &json!(["br0"]));
    random.maybe(&mut keys, 3, "isGateway", &json!([true, true, false]));
    random.maybe(&mut keys, 4, "isDefaultGateway", &json!([true, true, false]));
    let vlan = random.mostly(&json!([100, 1, 4094, 0]), &json!([4095, -1]));
    random.maybe(&mut keys, 5, "vlan", &json!([vlan]));
    random.maybe(&mut keys, 5, "preserveDefaultVlan", &json!([true, false]));
    let trunks = json!([
        [], [{}], [{"id": 7}], [{"minID": 200, "maxID": 203}, {"id": 300}], [{"id": 100}, {"minID": 99, "maxID": 101}],
        [{"minID": 5, "maxID": 5, "id": 5}], [{"id": 1}, {"id": 2}]
    ]);
    let trunk =
        random.mostly(&trunks, &json!([[{"minID": 9, "maxID": 8}], [{"id": 4095}], [{"minID": 1}], [{"id": 0}]]));
    random.maybe(&mut keys, 5, "vlanTrunk", &json!([trunk]));
    for key in ["forceAddress", "hairpinMode", "promiscMode", "portIsolation", "enabledad"] {
        random.maybe(&mut keys, 7, key, &json!([true, true, false]));
    }
    random.maybe(&mut keys, 15, "disableContainerInterface", &json!([true, false]));
    keys
}

/// `master` and `linkInContainer`, in all combinations that find a link and some that do not.
fn parent(random: &mut Random) -> Map<String, Value> {
    let mut keys = Map::new();
    random.maybe(&mut keys, 3, "linkInContainer", &json!([true, true, false]));
    let in_container = keys.get("linkInContainer") == Some(&json!(true));
    let master = if in_container { "inner0" } else { "master0" };
    if !random.one_in(4) {
        keys.insert("master".to_owned(), random.mostly(&json!([master, master, ""]), &json!(["lost"])));
    }
    keys
}

fn macvlan(random: &mut Random) -> Map<String, Value> {
    let mut keys = parent(random);
    let mode = random.mostly(&json!(["bridge", "private", "vepa", "passthru", ""]), &json!(["l2", "source"]));
    random.maybe(&mut keys, 2, "mode", &json!([mode]));
    let mac = random.mostly(&json!(["0a:58:00:00:00:03", ""]), &json!(["nonsense", "01:00:5e:00:00:01"]));
    random.maybe(&mut keys, 5, "mac", &json!([mac]));
    random.maybe(&mut keys, 5, "bcqueuelen", &json!([0, 1, 500]));
    keys
}

fn ipvlan(random: &mut Random) -> Map<String, Value> {
    let mut keys = parent(random);
    keys.insert("mode".to_owned(), random.mostly(&json!(["l2", "l3", "l3s"]), &json!(["", "bridge"])));
    keys
}

fn vlan(random: &mut Random) -> Map<String, Value> {
    let mut keys = parent(random);
    let is_named = keys.contains_key("master");
    if !is_named {
        let master = if keys.get("linkInContainer") == Some(&json!(true)) { "inner0" } else { "master0" };
        keys.insert("master".to_owned(), json!(master));
    }
    keys.insert("vlanId".to_owned(), random.mostly(&json!([100, 1, 4094, 0]), &json!([4095, -1])));
    keys
}

/// What the container is to reach, mostly of the families that `addresses` has.
fn routes(random: &mut Random, addresses: &Value) -> Vec<Value> {
    let is_v6 = |value: &Value| value.to_string().contains("fd") || value.to_string().contains("::/0");
    let has_v4 = addresses.to_string().contains("10.");
    let has_v6 = is_v6(addresses);
    let mut routes = random.some(6, &json!([
        {"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": "10.7.0.9"}, {"dst": "::/0"}, {"dst": "::/0", "gw": "fd00:7::9"},
        {"dst": "10.8.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.7.0.9"}, {"dst": "fd99::/64"}, {"dst": "fd98::/64", "gw": "fd00:7::9"},
        {"dst": "10.10.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 7}, {"dst": "fd97::/64", "mtu": 1300, "priority": 7},
        {"dst": "10.11.0.1/32", "scope": 253, "gw": "0.0.0.0"}, {"dst": "10.12.0.0/16", "table": 100}, {"dst": "fd96::/64", "table": 100},
        {"dst": "10.13.0.0/16", "scope": 0, "priority": 0, "table": 0},
    ]));
    let keeps_all = random.one_in(15);
    routes.retain(|route| keeps_all || if is_v6(route) { has_v6 } else { has_v4 });
    routes
}

/// A `host-local` section: one family, or both.
fn pools(random: &mut Random) -> Value {
    let v4 = random.mostly(&json!([
        [{"subnet": "10.7.0.0/24"}], [{"subnet": "10.7.0.0/24", "gateway": "10.7.0.9"}], [{"subnet": "10.7.0.0/28", "rangeStart": "10.7.0.3", "rangeEnd": "10.7.0.4"}],
        [{"subnet": "10.7.0.0/28", "rangeStart": "10.7.0.2", "rangeEnd": "10.7.0.2"}, {"subnet": "10.17.0.0/16"}]
    ]), &json!([[{"subnet": "10.7.0.0/31"}], [{"subnet": "10.7.0.5/24"}], [{"subnet": "10.7.0.0/24", "rangeEnd": "10.8.0.1"}]]));
    let v6 = random.pick(&json!([
        [{"subnet": "fd00:7::/64"}], [{"subnet": "fd00:7::/64", "gateway": "fd00:7::9"}], [{"subnet": "fd00:7::/112", "rangeStart": "fd00:7::f0", "rangeEnd": "fd00:7::ff"}]
    ]));
    let mut section = match random.pick(&json!(["v4", "v6", "46", "64", "subnet"])).as_str().unwrap() {
        "v4" => host_local(json!({"ranges": [v4]})),
        "v6" => host_local(json!({"ranges": [v6]})),
        "46" => host_local(json!({"ranges": [v4, v6]})),
        "64" => host_local(json!({"ranges": [v6, v4]})),
        _ => host_local(json!({"subnet": "10.7.0.0/24", "rangeStart": "10.7.0.20", "gateway": "10.7.0.19"})),
    };
    section["routes"] = routes(random, &section).into();
    if random.one_in(4) {
        // Then it is the default folder.
        section.as_object_mut().unwrap().remove("dataDir");
    }
    section
}

fn static_(random: &mut Random) -> Value {
    let addresses = random.some(
        2,
        &json!([
            {"address": "10.7.0.5/24"}, {"address": "10.7.1.5/24", "gateway": "10.7.1.1"}, {"address": "10.7.2.5/32"},
            {"address": "fd00:7::5/64"}, {"address": "fd00:8::5/64", "gateway": "fd00:8::1"}
        ]),
    );
    let routes = routes(random, &json!(addresses));
    let mut section = json!({"type": "static", "addresses": addresses, "routes": routes});
    if random.one_in(4) {
        section["dns"] = json!({"domain": "d", "options": ["o"]});
    }
    section
}

/// What a runtime adds, and `dns`.
fn more_of_the_runtime(random: &mut Random, keys: &mut Map<String, Value>) {
    random.maybe(keys, 8, "capabilities", &json!([{"mac": true, "ips": true}, {"ips": false}, {}]));
    random.maybe(keys, 6, "dns", &json!([{"nameservers": ["10.0.0.53"], "search": ["x"]}, {"domain": "e"}, {}]));
    let ips = random.mostly(
        &json!([["10.7.0.4/24"], ["10.7.0.4/24", "fd00:7::f4/64"], ["fd00:7::f5/64"], []]),
        &json!([["10.7.0.1"], ["nonsense"]]),
    );
    let ips = json!([ips]);
    let mut of_runtime = Map::new();
    random.maybe(&mut of_runtime, 10, "ips", &ips);
    random.maybe(&mut of_runtime, 8, "mac", &json!(["0a:58:00:00:00:01", ""]));
    if !of_runtime.is_empty() {
        keys.insert("runtimeConfig".to_owned(), Value::Object(of_runtime));
    }
    let mut of_args = Map::new();
    random.maybe(&mut of_args, 12, "ips", &ips);
    random.maybe(&mut of_args, 10, "mac", &json!(["0a:58:00:00:00:02", ""]));
    if !of_args.is_empty() {
        keys.insert("args".to_owned(), json!({"cni": of_args}));
    }
}

fn attachment(random: &mut Random, config: &Value) -> Attachment {
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let unknown = json!([
        "",
        "",
        "",
        "IgnoreUnknown=1;K8S_POD_NAME=p",
        "IgnoreUnknown=1;MAC=0a:58:00:00:00:04",
        "IgnoreUnknown=1;IP=10.7.0.4/24;GATEWAY=10.7.0.1"
    ]);
    let mut args =
        random.mostly(&unknown, &json!(["MAC=0a:58:00:00:00:05", "IP=10.7.0.4/24,fd00:7::f5/64", "K8S_POD_NAME=p"]));
    if config["ipam"]["type"] == "host-local" && args.to_string().contains(',') {
        // The native takes several addresses: see the list of differences.
        args = json!("");
    }
    Attachment {
        container: "cid0".to_owned(),
        ifname: text(random.pick(&json!(["net1", "net1", "net1", "master1", "eth0"]))),
        netns: Some(CONTAINER),
        args: text(args),
    }
}
