//! Configurations through a whole life: ADD, CHECK, ADD again, DEL, DEL again.

use crate::intended::{is_needless, is_other_shape};
use crate::look::{is_settling, moving, questions, standing};
use crate::normal::Normaliser;
use crate::optional::is_complete_kernel;
use crate::plugin::{Attachment, Who};
use crate::plugins;
use crate::world::{POOLS, World, inside, make_inner_link, remove_container};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long two worlds may take to look alike and settle: carriers and IPv6 need a moment.
const PATIENCE: Duration = Duration::from_secs(60);
/// An emulated processor that others use too needs many moments, and its slowness is no difference.
const PATIENCE_EMULATED: Duration = Duration::from_secs(1800);
/// What plugins answer that have waited in vain for the kernel: natives, then reference plugins.
const WAITED_IN_VAIN: [&str; 4] = ["did not come up", "still tentative", "in error state", "has tentative addresses"];
/// How often an ADD is made again that has waited in vain.
const ADD_TRIES: usize = 10;
/// Between two looks at two worlds that do not look alike yet.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Two worlds in which the same is done.
pub struct Twins {
    pub sides: [(Who, World); 2],
}

impl Twins {
    pub fn new() -> Option<Self> {
        Self::of(World::new)
    }

    /// As [`Twins::new`], see [`World::quick`].
    pub fn quick() -> Option<Self> {
        Self::of(World::quick)
    }

    fn of(world: impl Fn() -> World) -> Option<Self> {
        let plugins = plugins()?;
        Some(Twins { sides: [(Who::Native, world()), (Who::Reference(plugins), world())] })
    }

    /// Gives both containers a link of their own, see [`make_inner_link`].
    pub fn make_inner_links(&self) {
        self.sides.iter().for_each(|(_, world)| world.run(|| inside(make_inner_link)));
    }

    /// Calls `verb` on both sides.
    pub fn call_each(&self, verb: &'static str, config: &Value, attachment: &Attachment) -> [Result<Value, String>; 2] {
        self.sides.each_ref().map(|(who, world)| {
            let (who, config, attachment) = (who.clone(), config.clone(), attachment.clone());
            world.run(move || who.call(verb, &config, &attachment))
        })
    }

    /// Calls `verb` on both sides. Both must succeed with the same answer, or both must fail.
    pub fn call(
        &self,
        case: &str,
        verb: &'static str,
        config: &Value,
        attachment: &Attachment,
    ) -> [Result<Value, String>; 2] {
        let mut answers = self.call_each(verb, config, attachment);
        for _ in 1..ADD_TRIES {
            if verb != "ADD" || !answers.iter().any(has_waited_in_vain) {
                break;
            }
            // The machine was slow: that says nothing about either of them.
            let _ = self.call_each("DEL", config, attachment);
            answers = self.call_each(verb, config, attachment);
        }
        let even = answers
            .each_ref()
            .map(|answer| answer.as_ref().ok().map(|value| Normaliser::default().even_out(value.clone())));
        if even.iter().any(Option::is_none) || !is_other_shape(verb, config) {
            assert_eq!(even[0], even[1], "{case}: {verb}: {answers:?}");
        }
        answers
    }

    /// Runs `job` in both worlds.
    fn in_each<T: Send + 'static>(&self, job: impl Fn() -> T + Send + Copy + 'static) -> [T; 2] {
        self.sides.each_ref().map(|(_, world)| world.run(job))
    }

    /// Both worlds must look alike once they have settled, at the latest after a while.
    pub fn compare(&self, case: &str, has_container: bool) {
        let deadline = Instant::now() + if is_complete_kernel() { PATIENCE_EMULATED } else { PATIENCE };
        loop {
            let looks = self.in_each(move || moving(has_container));
            let is_settling = looks.iter().any(is_settling);
            let [native, reference] = looks.map(|look| Normaliser::default().even_out(look));
            if native == reference && !is_settling {
                break;
            }
            let different = differences("", &native, &reference);
            assert!(Instant::now() < deadline, "{case}: settling: {is_settling}\n{different}");
            self.pause(has_container);
        }
        let [native, reference] =
            self.in_each(move || standing(has_container)).map(|look| Normaliser::default().even_out(look));
        assert!(native == reference, "{case}:\n{}", differences("", &native, &reference));
    }

    /// Waits until IPv6 knows of one more address whether it is alone, or a little: to look at everything costs more.
    fn pause(&self, has_container: bool) {
        let questions = || self.in_each(move || questions(has_container));
        let (before, end) = (questions(), Instant::now() + LONGEST_PAUSE);
        while questions() == before && Instant::now() < end {
            std::thread::sleep(SHORTEST_PAUSE);
        }
    }

    /// Calls `verb` on both sides, which must succeed.
    pub fn succeed(&self, case: &str, verb: &'static str, config: &Value, attachment: &Attachment) -> [Value; 2] {
        self.call(case, verb, config, attachment).map(|answer| answer.unwrap_or_else(|e| panic!("{case}: {verb}: {e}")))
    }

    /// DEL, which must succeed; of the reference only where it does not fail without need.
    pub fn delete(&self, case: &str, config: &Value, attachment: &Attachment) {
        let [native, reference] = self.call_each("DEL", config, attachment);
        native.unwrap_or_else(|e| panic!("{case}: DEL: {e}"));
        if let Err(e) = reference {
            assert!(is_needless("DEL", &e), "{case}: DEL of the reference: {e}");
        }
    }

    /// CHECK after ADD answered `added`.
    pub fn check_each(&self, config: &Value, attachment: &Attachment, added: [Value; 2]) -> [Result<Value, String>; 2] {
        let [native, reference] = added.map(|result| {
            let mut config = config.clone();
            config["prevResult"] = result;
            config
        });
        let call = |(who, world): &(Who, World), config: Value| {
            let (who, attachment) = (who.clone(), attachment.clone());
            world.run(move || who.call("CHECK", &config, &attachment))
        };
        [call(&self.sides[0], native), call(&self.sides[1], reference)]
    }

    /// CHECK, which must succeed; of the reference only where it does not fail without need.
    fn check(&self, case: &str, config: &Value, attachment: &Attachment, added: [Value; 2]) {
        let [native, reference] = self.check_each(config, attachment, added);
        native.unwrap_or_else(|e| panic!("{case}: CHECK: {e}"));
        if let Err(e) = reference {
            assert!(is_needless("CHECK", &e), "{case}: CHECK of the reference: {e}");
        }
    }

    /// A whole life.
    pub fn live(&self, case: &str, config: &Value, attachment: &Attachment) {
        let added = self.succeed(case, "ADD", config, attachment);
        self.live_on(case, config, attachment, added);
    }

    /// The rest of it, after ADD answered `added`.
    pub fn live_on(&self, case: &str, config: &Value, attachment: &Attachment, added: [Value; 2]) {
        self.compare(&format!("{case}: after ADD"), true);
        if !matches!(config["cniVersion"].as_str().unwrap(), "0.1.0" | "0.2.0" | "0.3.0" | "0.3.1") {
            self.check(case, config, attachment, added);
        }
        self.delete(case, config, attachment);
        self.compare(&format!("{case}: after DEL"), true);
        self.delete(case, config, attachment);
        self.delete(case, config, &Attachment { netns: None, ..attachment.clone() });
        self.sides.iter().for_each(|(_, world)| world.run(remove_container));
        self.delete(case, config, attachment);
        self.compare(&format!("{case}: at the end"), false);
        self.sides.iter().for_each(|(_, world)| world.make_container());
    }
}

fn has_waited_in_vain(answer: &Result<Value, String>) -> bool {
    answer.as_ref().is_err_and(|error| WAITED_IN_VAIN.iter().any(|text| error.contains(text)))
}

/// Where two values differ, one line each.
fn differences(path: &str, native: &Value, reference: &Value) -> String {
    match (native, reference) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            keys.into_iter()
                .map(|key| {
                    differences(
                        &format!("{path}.{key}"),
                        native.get(key).unwrap_or(&Value::Null),
                        reference.get(key).unwrap_or(&Value::Null),
                    )
                })
                .collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().map(|(i, (a, b))| differences(&format!("{path}[{i}]"), a, b)).collect()
        }
        (a, b) if a == b => String::new(),
        (Value::String(a), Value::String(b)) if a.lines().count() == b.lines().count() && a.contains('\n') => {
            a.lines().zip(b.lines()).map(|(a, b)| differences(path, &json!(a), &json!(b))).collect()
        }
        (a, b) => format!("{path}:\n  native    {a}\n  reference {b}\n"),
    }
}

pub fn host_local(more: Value) -> Value {
    let mut ipam = json!({"type": "host-local", "dataDir": POOLS});
    ipam.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ipam
}

pub fn config(version: &str, kind: &str, more: Value) -> Value {
    let mut config = json!({"cniVersion": version, "name": "mynet", "type": kind});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// The ranges of both families.
fn dual() -> Value {
    host_local(json!({
        "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
        "routes": [{"dst": "10.99.0.0/16"}, {"dst": "fd99::/64"}],
    }))
}

fn bridges() -> Vec<(&'static str, Value)> {
    let v4 = || host_local(json!({"subnet": "10.7.0.0/24"}));
    vec![
        ("layer 2", json!({"bridge": "br0"})),
        ("default name", json!({})),
        ("IPv4", json!({"bridge": "br0", "ipam": v4()})),
        ("both families", json!({"bridge": "br0", "ipam": dual()})),
        ("gateway", json!({"bridge": "br0", "isGateway": true, "ipam": dual()})),
        ("default gateway", json!({"bridge": "br0", "isDefaultGateway": true, "mtu": 1400, "ipam": dual()})),
        (
            "IPv6 with DAD",
            json!({"bridge": "br0", "enabledad": true, "ipam": host_local(json!({"subnet": "fd00:8::/64"}))}),
        ),
        ("hairpin and isolation", json!({"bridge": "br0", "hairpinMode": true, "portIsolation": true, "ipam": v4()})),
        ("promiscuous", json!({"bridge": "br0", "promiscMode": true, "ipam": v4()})),
        ("left down", json!({"bridge": "br0", "disableContainerInterface": true})),
        (
            "mac of the runtime",
            json!({"bridge": "br0", "runtimeConfig": {"mac": "0a:58:00:00:00:01"}, "args": {"cni": {"mac": "0a:58:00:00:00:02"}}}),
        ),
        ("own dns", json!({"bridge": "br0", "dns": {"nameservers": ["10.0.0.53"], "search": ["x"]}, "ipam": v4()})),
        (
            "routes with everything",
            json!({"bridge": "br0", "ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.7.0.9"}, {"dst": "10.8.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 7},
            {"dst": "10.9.0.0/16", "scope": 253, "gw": "0.0.0.0"}]}))}),
        ),
        (
            "static",
            json!({"bridge": "br0", "ipam": {"type": "static", "addresses": [
            {"address": "10.7.0.5/24", "gateway": "10.7.0.1"}, {"address": "10.7.1.5/32"}, {"address": "fd00:7::5/64"}],
            "routes": [{"dst": "0.0.0.0/0"}], "dns": {"domain": "d", "options": ["o"]}}}),
        ),
        (
            "static of the runtime",
            json!({"bridge": "br0", "runtimeConfig": {"ips": ["10.7.0.6/24"]}, "args": {"cni": {"ips": ["10.7.0.7/24"]}},
            "ipam": {"type": "static", "addresses": [{"address": "10.7.0.5/24", "gateway": "10.7.0.1"}]}}),
        ),
        ("requested", json!({"bridge": "br0", "runtimeConfig": {"ips": ["10.7.0.66/24"]}, "ipam": v4()})),
        (
            "keys in another case",
            json!({"BRIDGE": "br9", "IsGateway": true, "IPAM": {"Type": "host-local", "DataDir": POOLS, "SubNet": "10.7.0.0/24"}}),
        ),
    ]
}

#[test]
fn bridge() {
    for (case, more) in bridges() {
        let Some(twins) = Twins::new() else { return };
        twins.live(&format!("bridge: {case}"), &config("1.1.0", "bridge", more), &Attachment::default());
    }
}

#[test]
fn every_version() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let Some(twins) = Twins::new() else { return };
        for kind in ["bridge", "macvlan"] {
            let config =
                config(version, kind, json!({"isGateway": kind == "bridge", "master": "master0", "ipam": dual()}));
            let mut config = config;
            config.as_object_mut().unwrap().remove(if kind == "bridge" { "master" } else { "isGateway" });
            twins.live(&format!("{kind} {version}"), &config, &Attachment::default());
        }
    }
}

#[test]
fn macvlan() {
    let v4 = || host_local(json!({"subnet": "10.7.0.0/24"}));
    for (case, more) in [
        ("layer 2", json!({"master": "master0"})),
        ("default route's link", json!({"ipam": v4()})),
        ("both families", json!({"master": "master0", "mode": "private", "mtu": 1400, "ipam": dual()})),
        (
            "own mac and queue",
            json!({"master": "master0", "mode": "vepa", "mac": "0a:58:00:00:00:03", "bcqueuelen": 500, "dns": {"domain": "d"}}),
        ),
        ("passthru", json!({"master": "master0", "mode": "passthru", "ipam": v4()})),
        ("static", json!({"master": "master0", "ipam": {"type": "static", "addresses": [{"address": "10.7.0.5/24"}]}})),
    ] {
        let Some(twins) = Twins::new() else { return };
        twins.live(&format!("macvlan: {case}"), &config("1.1.0", "macvlan", more), &Attachment::default());
    }
}

#[test]
fn ptp() {
    let v4 = || host_local(json!({"subnet": "10.7.0.0/24"}));
    let alone = json!({"address": "10.7.2.5/32", "gateway": "10.7.2.1"});
    for (case, more) in [
        ("IPv4", json!({"ipam": v4()})),
        ("both families", json!({"mtu": 1400, "ipam": dual(), "dns": {"nameservers": ["10.0.0.53"]}})),
        (
            "default route",
            json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}))}),
        ),
        (
            "static",
            json!({"ipam": {"type": "static", "addresses": [{"address": "10.7.0.5/24", "gateway": "10.7.0.1"},
            {"address": "fd00:7::5/64", "gateway": "fd00:7::1"}], "routes": [{"dst": "::/0"}], "dns": {"domain": "d"}}}),
        ),
    ] {
        let Some(twins) = Twins::new() else { return };
        twins.live(&format!("ptp: {case}"), &config("1.1.0", "ptp", more), &Attachment::default());
    }
    for addresses in [json!([alone]), json!([{"address": "10.7.0.5/24"}])] {
        let Some(twins) = Twins::new() else { return };
        let config = config("1.1.0", "ptp", json!({"ipam": {"type": "static", "addresses": addresses}}));
        assert!(twins.call("ptp", "ADD", &config, &Attachment::default())[0].is_err(), "{addresses}");
    }
}

#[test]
fn the_arguments_of_the_call() {
    let Some(twins) = Twins::new() else { return };
    let ipam = json!({"type": "static"});
    let config = config("1.1.0", "macvlan", json!({"master": "master0", "ipam": ipam}));
    let args =
        "IgnoreUnknown=1;K8S_POD_NAME=p;MAC=0a:58:00:00:00:04;IP=10.7.0.5/24,fd00:7::5/64;GATEWAY=10.7.0.1,fd00:7::1";
    twins.live("CNI_ARGS", &config, &Attachment { args: args.to_owned(), ..Attachment::default() });
}

#[test]
fn loopback() {
    let Some(twins) = Twins::new() else { return };
    twins.live(
        "loopback",
        &config("1.1.0", "loopback", json!({})),
        &Attachment { ifname: "lo".into(), ..Attachment::default() },
    );
}
