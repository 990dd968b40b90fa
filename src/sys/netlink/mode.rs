//! The modes of links that sit on another link.

use netlink_packet_route::link;

macro_rules! mode {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $text:literal / $kernel:ident),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// The mode that configurations call `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some($name::$variant),)+
                    _ => None,
                }
            }

            /// What configurations call it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }

            pub(super) fn from_kernel(mode: link::$name) -> Option<Self> {
                match mode {
                    $(link::$name::$kernel => Some($name::$variant),)+
                    _ => None,
                }
            }

            pub(super) fn to_kernel(self) -> link::$name {
                match self {
                    $($name::$variant => link::$name::$kernel,)+
                }
            }
        }
    };
}

mode!(
    /// Who may talk to whom among the macvlans of a link.
    MacVlanMode:
    /// All.
    Bridge = "bridge" / Bridge,
    /// None.
    Private = "private" / Private,
    /// Those between whom the switch outside forwards.
    Vepa = "vepa" / Vepa,
    /// There is only one, with the parent's own address.
    Passthru = "passthru" / Passthrough
);

mode!(
    /// How an ipvlan forwards.
    IpVlanMode:
    /// As a switch.
    L2 = "l2" / L2,
    /// As a router.
    L3 = "l3" / L3,
    /// As a router, through the parent's netfilter.
    L3s = "l3s" / L3S
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_spelled_as_in_configurations() {
        assert_eq!(MacVlanMode::parse("passthru").map(MacVlanMode::as_str), Some("passthru"));
        assert_eq!(MacVlanMode::parse("source"), None);
        assert_eq!(IpVlanMode::from_kernel(link::IpVlanMode::L3S), IpVlanMode::parse("l3s"));
    }
}
