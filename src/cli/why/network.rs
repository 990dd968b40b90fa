//! The pod's networks, as the API server has them. Pure.

use crate::cli::address_pools::NoAddress;
use crate::cli::diagnosis::{Check, Fault};
use crate::cli::natives::DEFAULTS;
use crate::cli::why::facts::Look;
use crate::cni::{NetworkConfig, spelling};
use crate::engine::Settings;
use crate::engine::planning::networks;
use crate::engine::planning::refusals::recursion;
use crate::nad::Definition;

/// What to do without the CRD of networks.
const INSTALL_CRD: &str = "Apply the CRD, then create the network: `plexusctl crd | kubectl apply --server-side -f -`.";

/// The check of the network `name`, which a pod selects. What `is_attached` lacks nothing until the pod is made again.
pub fn check(name: &str, look: &Look, is_attached: bool) -> Check {
    let severe = |fault, finding| {
        let check = if is_attached { Check::warning } else { Check::bad };
        check("network", fault, finding).of_network(name)
    };
    match look {
        Look::Absent(meant) => {
            let hint = spelling::hint(meant.as_ref());
            let finding = format!("the NetworkAttachmentDefinition {name} does not exist{hint}");
            severe(Fault::NetworkMissing, finding)
        }
        Look::NoCrd => {
            let finding = format!("the CRD NetworkAttachmentDefinition is not installed: network {name} cannot exist");
            severe(Fault::CrdMissing, finding).remedied_by(INSTALL_CRD)
        }
        Look::Unseen(why) => Check::unseen("network", why.as_str()),
        Look::Found(definition) => match (broken(definition), parsed(definition)) {
            (Some(why), _) => severe(Fault::NetworkBroken, format!("network {name}: {why}")),
            (None, Some(Ok(network))) => {
                Check::good("network", format!("{name} is readable; plugins: {}", network.kinds()))
            }
            // Only the node knows that.
            (None, _) => Check::unseen(
                "network",
                format!("{name} has no configuration: whether a file of the node with its name gives one was not seen"),
            ),
        },
    }
}

/// The check of the network `name`, whose AddressPool gives the pod no address.
pub fn without_pool(name: &str, pool: &NoAddress, is_attached: bool) -> Check {
    let check = if is_attached { Check::warning } else { Check::bad };
    let found = check("network", Fault::AddressPool, format!("network {name}: {}", pool.why));
    found.of_network(name).remedied_by(pool.remedy)
}

fn parsed(definition: &Definition) -> Option<Result<NetworkConfig, String>> {
    definition.config.as_ref()?;
    let settings = Settings::parse(DEFAULTS).ok()?;
    Some(networks::of_definition(&settings, definition))
}

/// Why a NAD cannot be used anywhere. What only a node knows is not looked at.
pub fn broken(definition: &Definition) -> Option<String> {
    match parsed(definition)? {
        Err(why) => Some(why),
        Ok(network) => recursion::names_itself(&network)
            .map(|kind| format!("it delegates to {kind}, which would call Plexus again")),
    }
}
