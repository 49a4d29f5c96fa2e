//! A recommendation in the words of those who carry it out: AWS Application Auto
//! Scaling, and Kubernetes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long AWS waits between removing instances, in seconds: its own default
/// for ECS.
const SCALE_IN_COOLDOWN: u64 = 300;

/// A request of `PutScalingPolicy`. See
/// <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScalingPolicy.html>.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScalingPolicy {
    /// Any name.
    pub policy_name: String,
    /// Here always `ecs`.
    pub service_namespace: String,
    /// The service that scales.
    pub resource_id: String,
    /// What of it scales.
    pub scalable_dimension: String,
    /// Here always `TargetTrackingScaling`.
    pub policy_type: String,
    /// The target.
    pub target_tracking_scaling_policy_configuration: TargetTracking,
}

/// A metric, and the value at which to keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetTracking {
    /// In the metric's unit.
    pub target_value: f64,
    /// A metric that ECS has, of CPU or memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predefined_metric_specification: Option<PredefinedMetric>,
    /// Any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customized_metric_specification: Option<CustomMetric>,
    /// Seconds to wait for new instances before adding more.
    pub scale_out_cooldown: u64,
    /// Seconds to wait between removing instances.
    pub scale_in_cooldown: u64,
}

/// A metric that ECS has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PredefinedMetric {
    /// Its name.
    pub predefined_metric_type: String,
}

/// A metric that someone publishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CustomMetric {
    /// Its name.
    pub metric_name: String,
    /// Where it is published.
    pub namespace: String,
    /// Over the instances.
    pub statistic: String,
}

/// What to scale on.
pub(super) struct Target<'a> {
    /// The metric, as its source calls it.
    pub(super) name: &'a str,
    /// Of its capacity, in whole percents.
    pub(super) percent: f64,
    /// The same in the resource's unit.
    pub(super) level: f64,
    pub(super) smallest: u32,
    pub(super) largest: u32,
    pub(super) scale_out_delay: Duration,
}

impl Target<'_> {
    pub(super) fn policy(&self) -> ScalingPolicy {
        let predefined = match self.name {
            "cpu" => Some("ECSServiceAverageCPUUtilization"),
            "memory" => Some("ECSServiceAverageMemoryUtilization"),
            _ => None,
        };
        let custom = predefined.is_none().then(|| CustomMetric {
            metric_name: self.name.to_owned(),
            namespace: "NAMESPACE".to_owned(),
            statistic: "Average".to_owned(),
        });
        let delay = self.scale_out_delay;
        ScalingPolicy {
            policy_name: format!("scale-on-{}", self.name),
            service_namespace: "ecs".to_owned(),
            resource_id: "service/CLUSTER/SERVICE".to_owned(),
            scalable_dimension: "ecs:service:DesiredCount".to_owned(),
            policy_type: "TargetTrackingScaling".to_owned(),
            target_tracking_scaling_policy_configuration: TargetTracking {
                target_value: if predefined.is_some() { self.percent } else { self.level },
                predefined_metric_specification: predefined
                    .map(|name| PredefinedMetric { predefined_metric_type: name.to_owned() }),
                customized_metric_specification: custom,
                scale_out_cooldown: delay.as_secs() + u64::from(delay.subsec_nanos() > 0),
                scale_in_cooldown: SCALE_IN_COOLDOWN,
            },
        }
    }

    /// See <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/>.
    pub(super) fn hpa(&self) -> String {
        let Self { name, percent, level, smallest, largest, .. } = self;
        let (about, metric) = if matches!(*name, "cpu" | "memory") {
            (
                format!(
                    "# In percent of what a pod requests. Where its limit is higher, and the load was\n# measured against that, multiply {percent} by limit ÷ request.\n"
                ),
                format!(
                    "    - type: Resource\n      resource:\n        name: {name}\n        target:\n          type: Utilization\n          averageUtilization: {percent}\n"
                ),
            )
        } else {
            // Whatever its name holds, JSON's quotes are YAML's, too. A quantity
            // has no decimals, but thousandths.
            let name = serde_json::Value::from(*name);
            let value = format!("{:.0}m", (level * 1000.0).floor());
            (
                "# A metric of pods, which an adapter for custom metrics must serve.\n".to_owned(),
                format!(
                    "    - type: Pods\n      pods:\n        metric:\n          name: {name}\n        target:\n          type: AverageValue\n          averageValue: {value}\n"
                ),
            )
        };
        format!(
            "{about}apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: NAME\nspec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: NAME\n  minReplicas: {smallest}\n  maxReplicas: {largest}\n  metrics:\n{metric}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target<'_> {
        Target {
            name,
            percent: 58.0,
            level: 594.5,
            smallest: 2,
            largest: 9,
            scale_out_delay: Duration::from_millis(60_500),
        }
    }

    #[test]
    fn the_policy_is_a_request_of_put_scaling_policy() {
        assert_eq!(
            serde_json::to_value(target("cpu").policy()).unwrap(),
            serde_json::json!({
                "PolicyName": "scale-on-cpu",
                "ServiceNamespace": "ecs",
                "ResourceId": "service/CLUSTER/SERVICE",
                "ScalableDimension": "ecs:service:DesiredCount",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 58.0,
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "ECSServiceAverageCPUUtilization",
                    },
                    "ScaleOutCooldown": 61,
                    "ScaleInCooldown": 300,
                },
            })
        );
    }

    #[test]
    fn a_resource_that_ecs_does_not_know_is_a_metric_of_ones_own() {
        let policy = serde_json::to_value(target("descriptors").policy()).unwrap();
        assert_eq!(
            policy["TargetTrackingScalingPolicyConfiguration"],
            serde_json::json!({
                "TargetValue": 594.5,
                "CustomizedMetricSpecification": {
                    "MetricName": "descriptors", "Namespace": "NAMESPACE", "Statistic": "Average",
                },
                "ScaleOutCooldown": 61,
                "ScaleInCooldown": 300,
            })
        );
    }

    #[test]
    fn the_manifest_is_yaml() {
        let yaml = target("cpu").hpa();
        assert!(yaml.contains("multiply 58 by limit ÷ request"));
        let manifest: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(
            manifest,
            serde_json::json!({
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": { "name": "NAME" },
                "spec": {
                    "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "NAME" },
                    "minReplicas": 2,
                    "maxReplicas": 9,
                    "metrics": [{
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": { "type": "Utilization", "averageUtilization": 58 },
                        },
                    }],
                },
            })
        );
    }

    #[test]
    fn a_metric_of_any_name_stays_one_string() {
        let name = "fds: \"open\"\n  kind: Secret";
        let manifest: serde_json::Value = serde_saphyr::from_str(&target(name).hpa()).unwrap();
        assert_eq!(
            manifest["spec"]["metrics"],
            serde_json::json!([{
                "type": "Pods",
                "pods": {
                    "metric": { "name": name },
                    "target": { "type": "AverageValue", "averageValue": "594500m" },
                },
            }])
        );
    }
}
