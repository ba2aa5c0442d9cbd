//! What is refused, and in which words.

use builtin::{default, validate};
use serde_json::{Value, json};

use crate::support::{gvk_of, yaml};

/// Checks that an object, defaulted, has exactly these causes: `field: beginning of the message`.
fn check(input: &str, expect: &[&str]) {
    let mut object = yaml(input);
    default(&gvk_of(&object), &mut object);
    compare(&object, None, expect);
}

/// Checks the causes of changing an object by setting a field to a value.
fn change(input: &str, pointer: &str, value: Value, expect: &[&str]) {
    let mut old = yaml(input);
    let gvk = gvk_of(&old);
    default(&gvk, &mut old);
    let mut new = old.clone();
    match pointer.rsplit_once('/') {
        Some((parent, field)) => {
            let parent = new.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
            parent.as_object_mut().expect("an object").insert(field.to_owned(), value);
        }
        None => panic!("a pointer has a slash"),
    }
    default(&gvk, &mut new);
    compare(&new, Some(&old), expect);
}

fn compare(object: &Value, old: Option<&Value>, expect: &[&str]) {
    let causes: Vec<String> = validate(&gvk_of(object), object, old).iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
    let fits = causes.len() == expect.len() && causes.iter().zip(expect).all(|(cause, start)| cause.starts_with(start));
    assert!(fits, "got {causes:#?}\nexpected {expect:#?}");
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'nginx:1'}]}
";

#[test]
fn plain_objects_are_accepted() {
    check(DEPLOYMENT, &[]);
    check("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a.b-c_D: x}}", &[]);
    check("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: web}], selector: {a: b}}}", &[]);
    check("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None, selector: {a: b}}}", &[]);
    check(
        "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}",
        &[],
    );
    change(DEPLOYMENT, "/spec/replicas", json!(3), &[]);
}

#[test]
fn selectors_match_and_stay() {
    check(
        &DEPLOYMENT.replace("labels: {app: web}", "labels: {app: other}"),
        &["spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"],
    );
    check(
        &DEPLOYMENT.replace("selector: {matchLabels: {app: web}}", "selector: {}"),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        &DEPLOYMENT.replace("selector: {matchLabels: {app: web}}", "selector: {matchExpressions: [{key: app, operator: In}]}"),
        &["spec.selector.matchExpressions[0].values: Required value", "spec.template.metadata.labels: Invalid value"],
    );
    change(
        DEPLOYMENT,
        "/spec/selector",
        json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        &["spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}: field is immutable"],
    );
}

#[test]
fn strategies_make_progress() {
    check(
        &DEPLOYMENT.replace("  template:", "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}\n  template:"),
        &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"],
    );
    check(
        &DEPLOYMENT.replace("  template:", "  strategy: {type: Recreate, rollingUpdate: {maxSurge: x}}\n  template:"),
        &["spec.strategy.rollingUpdate: Forbidden"],
    );
    check(
        &DEPLOYMENT.replace("  template:", "  replicas: -1\n  template:"),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
}

#[test]
fn containers_are_named_and_have_images() {
    let pod = |spec: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {spec}}}");
    for (spec, expect) in [
        ("{containers: []}", &["spec.containers: Required value"][..]),
        ("{containers: [{name: a}]}", &["spec.containers[0].image: Required value"]),
        ("{containers: [{name: A, image: a}]}", &["spec.containers[0].name: Invalid value: \"A\""]),
        ("{containers: [{name: a, image: a}, {name: a, image: a}]}", &["spec.containers[1].name: Duplicate value: \"a\""]),
        (
            "{containers: [{name: a, image: a, ports: [{containerPort: 0}]}]}",
            &["spec.containers[0].ports[0].containerPort: Required value"],
        ),
        (
            "{containers: [{name: a, image: a, ports: [{containerPort: 1, name: x}, {containerPort: 2, name: x}]}]}",
            &["spec.containers[0].ports[1].name: Duplicate value: \"x\""],
        ),
        (
            "{containers: [{name: a, image: a, volumeMounts: [{name: v, mountPath: /v}]}]}",
            &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
        ),
        ("{containers: [{name: a, image: a, imagePullPolicy: Now}]}", &["spec.containers[0].imagePullPolicy: Unsupported value: \"Now\""]),
        (
            "{containers: [{name: a, image: a, readinessProbe: {}}]}",
            &["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
        ),
        (
            "{containers: [{name: a, image: a, resources: {requests: {cpu: 2}, limits: {cpu: 1500m}}}]}",
            &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1500m"],
        ),
        (
            "{containers: [{name: a, image: a, resources: {limits: {cpu: much}}}]}",
            &[
                "spec.containers[0].resources.limits[cpu]: Invalid value: \"much\"",
                "spec.containers[0].resources.requests[cpu]: Invalid value: \"much\"",
            ],
        ),
        ("{containers: [{name: a, image: a}], volumes: [{name: v, emptyDir: {}, hostPath: {path: /}}]}", &["spec.volumes[0]: Forbidden"]),
    ] {
        check(&pod(spec), expect);
    }
}

#[test]
fn a_running_pod_changes_only_its_image() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n, containers: [{name: a, image: 'a:1'}]}}";
    let mut old = yaml(pod);
    default(&gvk_of(&old), &mut old);
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = json!("a:2");
    compare(&new, Some(&old), &[]);
    new["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    compare(&new, Some(&old), &[]);
    new["spec"]["containers"][0]["command"] = json!(["x"]);
    compare(&new, Some(&old), &["spec: Forbidden: pod updates may not change fields other than"]);
    change(pod, "/spec/nodeName", json!("m"), &["spec: Forbidden"]);
    change(&pod.replace("nodeName: n, ", ""), "/spec/nodeName", json!("m"), &[]);
}

#[test]
fn jobs_end_and_keep_their_template() {
    let job = "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}";
    check(
        &job.replace("restartPolicy: Never, ", ""),
        &["spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""],
    );
    change(job, "/spec/template/spec/restartPolicy", json!("OnFailure"), &["spec.template: Invalid value"]);
    change(job, "/spec/parallelism", json!(4), &[]);
    change(job, "/spec/completions", json!(4), &["spec.completions: Invalid value: 4: field is immutable"]);
    let cron = |schedule: &str| {
        format!(
            "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: a}}, spec: {{schedule: {schedule:?}, jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}}}}}}}}}}}"
        )
    };
    check(&cron("*/5 * * * MON-FRI"), &[]);
    check(&cron("@hourly"), &[]);
    check(&cron("often"), &["spec.schedule: Invalid value: \"often\""]);
}

#[test]
fn stateful_sets_keep_all_but_a_few_fields() {
    let set = DEPLOYMENT.replace("kind: Deployment", "kind: StatefulSet");
    change(&set, "/spec/replicas", json!(2), &[]);
    change(
        &set,
        "/spec/serviceName",
        json!("b"),
        &["spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
           'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"],
    );
}

#[test]
fn keys_and_sizes_of_data_are_limited() {
    check("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a/b: x}}", &["data[a/b]: Invalid value: \"a/b\""]);
    check("{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {..x: x}}", &["data[..x]: Invalid value"]);
    check(
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls, data: {tls.crt: YQ==}}",
        &["data[tls.key]: Required value"],
    );
    let just = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x".repeat(1024 * 1024)}});
    compare(&just, None, &[]);
    let over = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x".repeat(1024 * 1024), "b": "x"}});
    compare(&over, None, &[": Too long"]);
    change("{apiVersion: v1, kind: Secret, metadata: {name: a}}", "/type", json!("x"), &["type: Invalid value: \"x\": field is immutable"]);
    change(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, immutable: true, data: {a: x}}",
        "/data",
        json!({"a": "y"}),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
}

#[test]
fn services_have_sound_ports() {
    let service = |spec: &str| format!("{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {spec}}}");
    check(&service("{selector: {a: b}}"), &["spec.ports: Required value"]);
    check(&service("{type: ExternalName}"), &["spec.externalName: Required value"]);
    check(
        &service("{ports: [{port: 70000}]}"),
        &["spec.ports[0].port: Invalid value: 70000", "spec.ports[0].targetPort: Invalid value: 70000"],
    );
    check(&service("{ports: [{port: 1, name: a}, {port: 2}]}"), &["spec.ports[1].name: Required value"]);
    check(&service("{ports: [{port: 1, name: a}, {port: 1, name: b}]}"), &["spec.ports[1]: Duplicate value"]);
    check(&service("{type: Cluster, ports: [{port: 1}]}"), &["spec.type: Unsupported value: \"Cluster\""]);
    change(
        &service("{clusterIP: 10.0.0.1, ports: [{port: 1}]}"),
        "/spec/clusterIP",
        json!("10.0.0.2"),
        &["spec.clusterIPs[0]: Invalid value: \"10.0.0.2\": may not change once set"],
    );
}

#[test]
fn claims_grow_when_bound() {
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, status: {phase: Bound},
        spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 2Gi}}}}";
    check(claim, &[]);
    change(claim, "/spec/resources", json!({"requests": {"storage": "3Gi"}}), &[]);
    change(claim, "/spec/resources", json!({"requests": {"storage": "1Gi"}}), &["spec.resources.requests.storage: Forbidden"]);
    change(claim, "/spec/volumeName", json!("w"), &["spec: Forbidden: spec is immutable after creation"]);
    change(&claim.replace("volumeName: v, ", ""), "/spec/volumeName", json!("w"), &[]);
    change(&claim.replace("Bound", "Pending"), "/spec/resources", json!({"requests": {"storage": "3Gi"}}), &["spec: Forbidden"]);
}

#[test]
fn rbac_says_who_and_what() {
    let binding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a},
        roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: s, namespace: n}]}";
    check(binding, &[]);
    check(&binding.replace(", namespace: n", ""), &["subjects[0].namespace: Required value"]);
    check(&binding.replace("kind: Role,", "kind: Rule,"), &["roleRef.kind: Unsupported value: \"Rule\""]);
    change(binding, "/roleRef", json!({"kind": "Role", "name": "x"}), &["roleRef: Invalid value: {\"apiGroup\""]);
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]}";
    check(role, &[]);
    check(&role.replace(", resources: [pods]", ""), &["rules[0].resources: Required value"]);
    check(&role.replace("apiGroups: [''], resources: [pods]", "nonResourceURLs: [/x]"), &["rules[0].nonResourceURLs: Invalid value"]);
}

#[test]
fn other_kinds_have_their_rules() {
    check(
        "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a}, spec: {minReplicas: 5, maxReplicas: 3, scaleTargetRef: {kind: D, name: a}}}",
        &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
    );
    check(
        "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a}, spec: {minAvailable: 1, maxUnavailable: 1}}",
        &["spec: Invalid value"],
    );
    check(
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {}}",
        &["spec: Invalid value: []: either `defaultBackend` or `rules`"],
    );
    check(
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: a}, spec: {leaseDurationSeconds: 0}}",
        &["spec.leaseDurationSeconds: Invalid value: 0"],
    );
}
