//! What a LocalStorage asks for, in the form that the rest works with. Everything that the schema already refuses is checked
//! again: an object can be older than its rules.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use workspacefs_api::{LocalStorage, quantity};

use crate::filesystem::plan::CAPACITY_PLACEHOLDER;

/// What each workspace's volume is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The node group, for messages.
    pub node_group: String,
    /// The size to write where one must be written: the quota, or a placeholder.
    pub size: Quantity,
}

impl Wanted {
    /// Reads a LocalStorage.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(storage: &LocalStorage) -> Result<Self, String> {
        let spec = &storage.spec;
        if spec.source.directory.is_some() == spec.source.devices.is_some() {
            return Err("source takes exactly one of: directory, devices".into());
        }
        let size = match &spec.per_workspace_quota {
            None => Quantity(CAPACITY_PLACEHOLDER.into()),
            Some(quota) if quantity::milli(&quota.0).is_some_and(|size| size > 0) => quota.clone(),
            Some(quota) => {
                return Err(format!("perWorkspaceQuota {:?} is not a quantity above zero", quota.0));
            }
        };
        Ok(Self { node_group: spec.node_group.clone(), size })
    }

    /// The size of a volume whose claim asks for `request`, if there is one: a claim asks for no less than it once did.
    pub fn size_for(&self, request: Option<&Quantity>) -> Quantity {
        let larger = request.filter(|asks| quantity::milli(&asks.0) > quantity::milli(&self.size.0));
        larger.unwrap_or(&self.size).clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(spec: serde_json::Value) -> Result<Wanted, String> {
        Wanted::of(&LocalStorage::new("fast", serde_json::from_value(spec).unwrap()))
    }

    #[test]
    fn objects_older_than_their_rules_are_invalid_and_say_why() {
        let directory = json!({"directory": {"path": "/mnt"}});
        for (spec, word) in [
            (json!({"nodeGroup": "g", "source": {}}), "exactly one"),
            (
                json!({"nodeGroup": "g", "source": {"directory": {"path": "/mnt"}, "devices": {}}}),
                "exactly one",
            ),
            (json!({"nodeGroup": "g", "source": directory, "perWorkspaceQuota": "0"}), "perWorkspaceQuota"),
            (
                json!({"nodeGroup": "g", "source": directory, "perWorkspaceQuota": "much"}),
                "perWorkspaceQuota",
            ),
        ] {
            let refusal = wanted(spec.clone()).expect_err(word);
            assert!(refusal.contains(word), "{spec}: {refusal}");
        }
    }

    #[test]
    fn a_size_is_the_quota_and_no_less_than_the_claim_asks_for() {
        let spec = |quota| json!({"nodeGroup": "g", "source": {"devices": {}}, "perWorkspaceQuota": quota});
        let ten = wanted(spec("10Gi")).unwrap();
        let asks = |text: &str| Some(Quantity(text.into()));
        for (request, size) in
            [(None, "10Gi"), (asks("1Gi"), "10Gi"), (asks("10240Mi"), "10Gi"), (asks("1Ti"), "1Ti")]
        {
            assert_eq!(ten.size_for(request.as_ref()).0, size);
        }
        let none = wanted(json!({"nodeGroup": "g", "source": {"devices": {}}})).unwrap();
        assert_eq!(none.size.0, CAPACITY_PLACEHOLDER);
    }
}
