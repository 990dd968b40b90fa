//! What is remembered of addresses that were given back.

use super::*;

/// What the kubelet's runtime says of a pod.
fn of_pod(name: &str) -> String {
    format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={name};K8S_POD_UID=u-{name}")
}

#[test]
fn a_pod_of_the_same_name_has_its_former_address() {
    // Case 29, on one node.
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4", "10.0.0.6"], &[]);
    node.keep();
    let add = |container: &str, pod: &str| add_with(&node, container, &of_pod(pod)).unwrap().remove(0);
    let first = add("c0", "web-0");
    assert_eq!(node.files()["10.0.0.2"], "c0\r\nnet1\r\nnet\r\nns/web-0\r\nu-web-0");
    for turn in 1..20 {
        del(&node, &format!("c{}", turn - 1), "");
        node.pass(1);
        // Others come and go meanwhile, and get other addresses as long as there are any.
        let other = add(&format!("o{turn}"), &format!("job-{turn}"));
        assert_ne!(other, first);
        assert_eq!(add(&format!("c{turn}"), "web-0"), first);
        del(&node, &format!("o{turn}"), "");
    }
    // It is not kept from others if no other is free, and not for ever.
    del(&node, "c19", "");
    node.pass(50);
    let all: Vec<String> = (0..6).map(|n| add(&format!("x{n}"), &format!("x-{n}"))).collect();
    assert!(all.contains(&first) && all[0] != first, "{all:?}");
    assert_ne!(add_with(&node, "c20", &of_pod("web-0")).ok(), Some(vec![first]));
    (0..6).for_each(|n| del(&node, &format!("x{n}"), ""));
    node.pass(101);
    add("y", "y");
    let remembered = node.all_files().iter().filter(|name| name.starts_with("freed-")).count();
    assert_eq!(remembered, 0, "a time that is over is forgotten");
}

#[test]
fn what_was_given_back_a_moment_ago_is_not_given_to_another_pod() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[(4, "10.0.0.8")]);
    node.grant.lock().unwrap().as_mut().unwrap().times.cooldown = 30;
    node.keep();
    let add = |container: &str, pod: &str| add_with(&node, container, &of_pod(pod)).map(|mut all| all.remove(0));
    assert_eq!((add("a", "a").unwrap(), add("b", "b").unwrap()), ("10.0.0.2/24".into(), "10.0.0.3/24".into()));
    del(&node, "a", "");
    // Another block is leased first, and the pod itself need not wait.
    assert_eq!(add("c", "c").unwrap(), "10.0.0.8/24");
    assert_eq!(add("a2", "a").unwrap(), "10.0.0.2/24");
    del(&node, "a2", "");
    assert_eq!(add("d", "d").unwrap(), "10.0.0.9/24");
    // No block is free: better a young address than none.
    assert_eq!(add("e", "e").unwrap(), "10.0.0.2/24");
    assert!(add("f", "f").unwrap_err().starts_with("11 "));
    del(&node, "b", "");
    node.pass(31);
    let asked = node.asked.lock().unwrap().len();
    assert_eq!(add("g", "g").unwrap(), "10.0.0.3/24");
    assert_eq!(node.asked.lock().unwrap().len(), asked, "it is cool");
}

#[test]
fn the_history_has_who_had_an_address_when() {
    use crate::ipam::history::{Event, tenures};
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[]);
    node.keep();
    add_with(&node, "a", &of_pod("web-0")).unwrap();
    add(&node, "a").unwrap();
    node.pass(5);
    del(&node, "a", "");
    del(&node, "a", "");
    add(&node, "b").unwrap();
    node.pass(1);
    call(&node, "x", r#","cni.dev/valid-attachments":[]"#, "", Ipam::gc).unwrap();
    let history = node.folder.path().join("lan/history");
    let text = std::fs::read_to_string(&history).unwrap();
    let expected = [
        "50 taken 10.0.0.2 a net1 net ns/web-0 u-web-0",
        "55 released 10.0.0.2 a net1 net ns/web-0 u-web-0",
        "55 taken 10.0.0.3 b net1 net - -",
        "56 lost 10.0.0.3 b net1 net - -",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let events: Vec<Event> = text.lines().filter_map(Event::parse).collect();
    assert_eq!(tenures(&events, "10.0.0.3".parse().unwrap())[0].until, Some(56));
    // Case 46: bounded. A full one is moved aside; case 44: where that fails, addresses are taken and given back.
    std::fs::write(&history, "x".repeat((4 << 20) + 1)).unwrap();
    add(&node, "c").unwrap();
    assert_eq!(std::fs::read_to_string(&history).unwrap().lines().count(), 1);
    assert!(node.folder.path().join("lan/history.1").exists());
    std::fs::remove_file(&history).unwrap();
    std::fs::create_dir(&history).unwrap();
    del(&node, "c", "");
    add(&node, "d").unwrap();
    assert_eq!(node.names().len(), 1);
}

#[test]
fn pods_that_come_and_go_leave_no_files() {
    // Case 46, of bounded size: the folder does not grow with the pods that came and went.
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4", "10.0.0.6"], &[]);
    node.keep();
    for turn in 0..500 {
        let container = format!("c{turn}");
        add_with(&node, &container, &of_pod(&container)).unwrap();
        del(&node, &container, "");
    }
    let files = node.all_files();
    assert!(files.len() <= 6 + 2, "{files:?}");
}
