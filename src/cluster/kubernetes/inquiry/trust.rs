//! What of the cluster is Plexus' own, by what no tenant can make: objects without a namespace.

use super::{DAEMON_NAMESPACE, Inquiry, Unanswered};
use crate::cluster::manifests::yaml;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation,
};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::ListParams;
use serde::Deserialize;

/// The binding of the daemon's account, and the policies that guard its token.
const NAME: &str = "plexus";
/// The policies of this release.
const SHIPPED: &str = include_str!("../../../../conf/base/admission-policy.yaml");

/// A document of [`SHIPPED`].
#[derive(Debug, Deserialize)]
struct Document {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

/// What is compared of a policy; a binding has none of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    match_conditions: Vec<Expression>,
    validations: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
struct Expression {
    expression: String,
}

/// An admission policy that a binding lets deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPolicy {
    /// Its name.
    pub name: String,
    /// It is as this release has it, or stricter.
    pub is_as_shipped: bool,
}

impl Inquiry {
    /// The namespace of Plexus' pods: that of the account which the ClusterRoleBinding `plexus` names. A tenant cannot make
    /// one. Where it cannot be read, it is the namespace of the manifests.
    pub(super) fn daemon_namespace(&self) -> String {
        let api: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        let binding = self.answer("the ClusterRoleBinding plexus", api.get_opt(NAME)).ok().flatten();
        let subjects = binding.and_then(|binding| binding.subjects).into_iter().flatten();
        let accounts = subjects.filter(|subject| subject.kind == "ServiceAccount");
        accounts.filter_map(|account| account.namespace).next().unwrap_or_else(|| DAEMON_NAMESPACE.to_owned())
    }

    /// The policies that are in force: a binding lets them deny.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn policies(&self) -> Result<Vec<SeenPolicy>, Unanswered> {
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        let bindings = self.list(&bindings, ListParams::default(), "the bindings of admission policies")?;
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let policies = self.list(&policies, ListParams::default(), "the admission policies")?;
        let denies = |name: &str| {
            bindings.iter().any(|binding| {
                let is_deny = |action: &String| action == "Deny";
                binding.spec.policy_name == name && binding.spec.validation_actions.iter().any(is_deny)
            })
        };
        let in_force = policies.into_iter().filter_map(|policy| {
            let name = policy.metadata.name?;
            let spec = policy.spec?;
            let conditions: Vec<MatchCondition> = spec.match_conditions.unwrap_or_default();
            let is_as_shipped = is_as_shipped(&name, &conditions, &spec.validations.unwrap_or_default());
            denies(&name).then_some(SeenPolicy { name, is_as_shipped })
        });
        Ok(in_force.collect())
    }
}

/// Whether a policy has all validations of the shipped one, and no condition that the shipped one has not.
fn is_as_shipped(name: &str, conditions: &[MatchCondition], validations: &[Validation]) -> bool {
    let shipped = yaml::parse::<Document>(SHIPPED).unwrap_or_default().into_iter().flatten();
    let policy = shipped.filter(|one| one.metadata.name == name).find(|one| !one.spec.validations.is_empty());
    let Some(Document { spec, .. }) = policy else { return false };
    let has = |wanted: &Expression| validations.iter().any(|one| same(&one.expression, &wanted.expression));
    let is_known =
        |one: &MatchCondition| spec.match_conditions.iter().any(|own| same(&own.expression, &one.expression));
    spec.validations.iter().all(has) && conditions.iter().all(is_known)
}

/// Line breaks are the writer's.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_was_weakened_is_not_in_force() {
        let shipped = yaml::parse::<Document>(SHIPPED).unwrap().into_iter().flatten();
        let policy = shipped.filter(|one| !one.spec.validations.is_empty()).find(|one| one.metadata.name == "plexus");
        let Spec { match_conditions, validations } = policy.unwrap().spec;
        let condition = |text: &str| MatchCondition { expression: text.to_owned(), name: "x".to_owned() };
        let validation = |text: &str| Validation { expression: text.to_owned(), ..Validation::default() };
        let conditions: Vec<_> = match_conditions.iter().map(|one| condition(&one.expression)).collect();
        let mut rules: Vec<_> = validations.iter().map(|one| validation(&one.expression)).collect();
        assert!(is_as_shipped("plexus", &conditions, &rules) && rules.len() > 3);
        rules.push(validation("false"));
        assert!(is_as_shipped("plexus", &conditions, &rules));
        let with_false = [conditions.clone(), vec![condition("false")]].concat();
        assert!(!is_as_shipped("plexus", &with_false, &rules));
        rules[0] = validation("true");
        assert!(!is_as_shipped("plexus", &conditions, &rules) && !is_as_shipped("another", &[], &rules));
    }
}
