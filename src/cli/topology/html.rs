//! The tree as one page that works offline: a box to search in, and the tree with everything that does not match hidden.

use crate::cli::topology::model::{Branch, Kind};
use crate::cli::topology::svg::escaped;
use crate::sys::printable;

const BEGIN: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Networks of pods</title>
<style>
  body { font: 14px/1.5 ui-sans-serif, system-ui, sans-serif; margin: 1.5rem; color: #1f2328; background: #fff; }
  input { font: inherit; width: 24rem; max-width: 100%; padding: .3rem .6rem; border: 1px solid #8c959f; border-radius: 5px; }
  ul { list-style: none; margin: 0; padding-left: 1.4rem; border-left: 1px solid #d0d7de; }
  body > ul { padding-left: 0; border: 0; }
  li[hidden] { display: none; }
  /* Interfaces side by side: a node of 500 pods is a few screens. */
  ul.interfaces { columns: 25rem; column-gap: 1rem; }
  ul.interfaces > li { break-inside: avoid; }
  span { display: inline-block; max-width: 100%; box-sizing: border-box; overflow-wrap: anywhere; margin: .15rem 0; padding: 0 .5rem; border: 1px solid #57606a; border-radius: 5px; background: #f6f8fa; }
  .node { background: #ddf4ff; border-color: #0969da; }
  .link { background: #fff8c5; border-color: #9a6700; }
  .network { background: #dafbe1; border-color: #1a7f37; }
  small { color: #57606a; }
</style>
<h1>Networks of pods</h1>
<p><input id="search" type="search" placeholder="pod, network, address or interface" aria-label="Search"> <small id="count"></small></p>
"#;
const END: &str = r#"<script>
  const search = document.getElementById("search"), count = document.getElementById("count");
  // An interface is shown if all words are in its own text, or in what it hangs on. So is a pod whose interfaces are not known.
  function show(item, words, above) {
    const text = above + " " + item.firstElementChild.textContent.toLowerCase();
    const children = item.querySelectorAll(":scope > ul > li");
    let shown = !children.length && words.every(word => text.includes(word));
    for (const child of children) shown = show(child, words, text) || shown;
    item.hidden = !shown;
    return shown;
  }
  const interfaces = document.querySelectorAll("span.interface"), all = interfaces.length;
  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of document.querySelectorAll("body > ul > li")) show(item, words, "");
    const shown = [...interfaces].filter(one => !one.parentElement.hidden).length;
    count.textContent = (words.length ? shown + " of " : "") + all + (all === 1 ? " interface" : " interfaces");
  }
  search.addEventListener("input", update);
  update();
</script>
</html>
"#;

/// The page.
pub fn html(nodes: &[Branch]) -> String {
    let mut text = BEGIN.to_owned();
    list(nodes, &mut text);
    text.push_str(END);
    text
}

fn list(branches: &[Branch], text: &mut String) {
    if branches.is_empty() {
        return;
    }
    let are_leaves = branches.iter().all(|branch| matches!(branch.kind, Kind::Interface | Kind::Pod));
    text.push_str(if are_leaves { "<ul class=\"interfaces\">\n" } else { "<ul>\n" });
    for branch in branches {
        let class = format!("{:?}", branch.kind).to_lowercase();
        let name = escaped(&printable::line(&branch.name));
        let detail = escaped(&printable::line(&branch.told()));
        let detail = if detail.is_empty() { detail } else { format!(" <small>{detail}</small>") };
        text.push_str(&format!("<li><span class=\"{class}\">{name}{detail}</span>{}\n", count(branch)));
        list(&branch.children, text);
        text.push_str("</li>\n");
    }
    text.push_str("</ul>\n");
}

/// How many interfaces hang on it; empty for an interface, and for a pod whose interfaces are not known.
fn count(branch: &Branch) -> String {
    match (branch.kind, branch.interfaces()) {
        (Kind::Interface | Kind::Pod, _) => String::new(),
        (_, 1) => " <small>1 interface</small>".to_owned(),
        (_, count) => format!(" <small>{count} interfaces</small>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::topology::model::{Leaf, tree};

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = html(&tree(&[Leaf { pod: "<b>".into(), addresses: vec!["10.0.0.1".into()], ..Leaf::default() }]));
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;") && page.contains("10.0.0.1"), "{page}");
        assert!(page.contains(" <small>1 interface</small>"), "{page}");
        assert!(!page.contains("http") && !page.contains("src="), "{page}");
    }

    #[test]
    fn a_pod_whose_interfaces_are_not_known_is_not_counted() {
        let unread = Leaf { pod: "x/web".into(), is_unread: true, ..Leaf::default() };
        let page = html(&tree(&[unread, Leaf { pod: "x/db".into(), ..Leaf::default() }]));
        assert!(page.contains("<span class=\"pod\">x/web</span>\n"), "{page}");
        assert!(page.contains(" <small>1 interface</small>") && !page.contains("2 interfaces"), "{page}");
    }
}
