//! `resolv.conf`, as far as a result can say it.

use crate::cni::result::Dns;
use crate::delegate::failure::Failure;
use crate::sys::files;
use std::path::Path;

const LIMIT: usize = 1 << 20;

/// Reads the name servers and so on from the file at `path`.
pub(super) fn read(path: &Path) -> Result<Dns, Failure> {
    let failed = |source| Failure::Io { what: format!("read resolvConf {}", path.display()), source };
    let text = files::read_bounded(path, LIMIT).map_err(failed)?;
    text.map(|text| parse(&text))
        .ok_or_else(|| Failure::Config(format!("resolvConf {}: there is no such file", path.display())))
}

fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (keyword, Some(value)) = (words.next(), words.next()) else { continue };
        match keyword.as_deref() {
            Some("nameserver") => dns.nameservers.push(value),
            Some("domain") => dns.domain = value,
            Some("search") => dns.search.extend(std::iter::once(value).chain(words)),
            Some("options") => dns.options.extend(std::iter::once(value).chain(words)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_result_can_say() {
        let dns = parse(
            "# c\n; c\nnameserver 10.0.0.1 x\nnameserver\n domain a.b\nsearch a b\nsearch c\noptions ndots:5\nsortlist 1\n",
        );
        assert_eq!(dns.nameservers, ["10.0.0.1"]);
        assert_eq!((dns.domain.as_str(), dns.search.join(" ").as_str()), ("a.b", "a b c"));
        assert_eq!(dns.options, ["ndots:5"]);
        assert!(read(Path::new("/nowhere")).is_err());
    }
}
