//! What comes back of the least an object can say.

use apimachinery::gvk::GroupVersionKind;
use builtin::{default, find, prepare_create, prepare_update, validate};
use serde_json::{Value, json};

use crate::support::{gvk_of, testdata, yaml};

fn check(input: &str, expect: &str) {
    let mut object = yaml(input);
    let gvk = gvk_of(&object);
    default(&gvk, &mut object);
    let expect = yaml(expect);
    let ours = serde_json::to_string_pretty(&object).expect("plain data");
    let theirs = serde_json::to_string_pretty(&expect).expect("plain data");
    similar(&ours, &theirs);
    let mut again = object.clone();
    default(&gvk, &mut again);
    assert_eq!(again, object, "defaulting twice changes something");
}

fn similar(ours: &str, theirs: &str) {
    assert!(ours == theirs, "got\n{ours}\nexpected\n{theirs}");
}

#[test]
fn a_deployment_comes_back_as_from_a_real_server() {
    check(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, creationTimestamp: null}
spec:
  selector: {matchLabels: {app: web}}
  strategy: {}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      serviceAccountName: runner
      containers:
      - name: web
        image: nginx
        ports: [{containerPort: 80}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: 0.5}}
        env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
        readinessProbe: {httpGet: {port: 80}}
      volumes: [{name: a, configMap: {name: a}}, {name: b}]
status: {}
",
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  progressDeadlineSeconds: 600
  replicas: 1
  revisionHistoryLimit: 10
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      serviceAccount: runner
      serviceAccountName: runner
      terminationGracePeriodSeconds: 30
      containers:
      - name: web
        image: nginx
        imagePullPolicy: Always
        ports: [{containerPort: 80, protocol: TCP}]
        resources: {limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}
        env: [{name: IP, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}}]
        readinessProbe:
          {httpGet: {port: 80, path: /, scheme: HTTP}, failureThreshold: 3, periodSeconds: 10, successThreshold: 1, timeoutSeconds: 1}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      volumes: [{name: a, configMap: {name: a, defaultMode: 420}}, {name: b, emptyDir: {}}]
status: {}
",
    );
}

#[test]
fn image_tags_decide_the_pull_policy() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:aa", "IfNotPresent"),
    ] {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": image}]}});
        default(&gvk_of(&pod), &mut pod);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn only_pods_take_requests_from_limits() {
    check(
        "
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: 'a:1', resources: {limits: {cpu: 1}}}]}
",
        "
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  terminationGracePeriodSeconds: 30
  containers:
  - name: a
    image: 'a:1'
    imagePullPolicy: IfNotPresent
    resources: {limits: {cpu: '1'}, requests: {cpu: '1'}}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
",
    );
}

#[test]
fn services_get_ports_policies_and_families() {
    check(
        "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {type: LoadBalancer, ports: [{port: 80}, {port: 81, targetPort: web, protocol: UDP}], selector: {a: b}}
",
        "
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  allocateLoadBalancerNodePorts: true
  externalTrafficPolicy: Cluster
  internalTrafficPolicy: Cluster
  ipFamilies: [IPv4]
  ipFamilyPolicy: SingleStack
  ports: [{port: 80, protocol: TCP, targetPort: 80}, {port: 81, protocol: UDP, targetPort: web}]
  selector: {a: b}
  sessionAffinity: None
  type: LoadBalancer
status: {loadBalancer: {}}
",
    );
    check(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ExternalName, externalName: a.example.org}}",
        "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {type: ExternalName, externalName: a.example.org, sessionAffinity: None}
status: {loadBalancer: {}}
",
    );
}

#[test]
fn a_job_counts_unless_it_is_a_work_queue() {
    let spec = |text: &str| {
        let mut job = yaml(&format!("{{apiVersion: batch/v1, kind: Job, metadata: {{name: a, uid: u1}}, spec: {text}}}"));
        default(&gvk_of(&job), &mut job);
        prepare_create(&gvk_of(&job), &mut job);
        job["spec"].clone()
    };
    let plain = spec("{template: {spec: {restartPolicy: Never}}}");
    assert_eq!((&plain["completions"], &plain["parallelism"], &plain["backoffLimit"]), (&json!(1), &json!(1), &json!(6)));
    assert_eq!(plain["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}));
    assert_eq!(plain["template"]["metadata"]["labels"]["job-name"], "a");
    let queue = spec("{parallelism: 3, template: {}}");
    assert_eq!((&queue["completions"], &queue["parallelism"]), (&Value::Null, &json!(3)));
    let manual = spec("{manualSelector: true, selector: {matchLabels: {a: b}}, template: {}}");
    assert_eq!(manual["selector"], json!({"matchLabels": {"a": "b"}}));
}

#[test]
fn stateful_sets_default_their_claims() {
    check(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a}
spec:
  serviceName: a
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}}]
",
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a}
spec:
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  podManagementPolicy: OrderedReady
  replicas: 1
  revisionHistoryLimit: 10
  serviceName: a
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}
  volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, volumeMode: Filesystem}
    status: {phase: Pending}
",
    );
}

#[test]
fn configuration_kinds_are_completed() {
    check(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: a}
roleRef: {kind: Role, name: a}
subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: n}]
",
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: a}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: n}]
",
    );
    check(
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: YQ==, b: Yg==}, stringData: {b: x}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: Opaque, data: {a: YQ==, b: eA==}}",
    );
    check(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {kubernetes.io/metadata.name: a}}, status: {phase: Active}}",
    );
    check(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: null}, data: {a: null}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: ''}}",
    );
    check(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec: {group: example.org, scope: Namespaced, names: {plural: widgets, kind: Widget}}
",
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  conversion: {strategy: None}
  group: example.org
  scope: Namespaced
  names: {plural: widgets, kind: Widget, singular: widget, listKind: WidgetList}
",
    );
    check(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: a}}
",
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  maxReplicas: 3
  minReplicas: 1
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
  scaleTargetRef: {kind: Deployment, name: a}
",
    );
}

#[test]
fn webhooks_are_completed() {
    let mut hooks = yaml(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
webhooks: [{name: a.b.c, clientConfig: {service: {name: a, namespace: b}}, rules: [{operations: [CREATE]}]}]
",
    );
    default(&gvk_of(&hooks), &mut hooks);
    let hook = &hooks["webhooks"][0];
    for (field, value) in [("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("reinvocationPolicy", "Never")] {
        assert_eq!(hook[field], value);
    }
    assert_eq!((&hook["timeoutSeconds"], &hook["rules"][0]["scope"], &hook["namespaceSelector"]), (&json!(10), &json!("*"), &json!({})));
    assert_eq!(hook["clientConfig"]["service"]["port"], 443);
}

#[test]
fn pods_are_classed_when_created() {
    for (resources, class) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}), "Burstable"),
    ] {
        let mut pod =
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": "a", "resources": resources}]}});
        let gvk = gvk_of(&pod);
        default(&gvk, &mut pod);
        prepare_create(&gvk, &mut pod);
        assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": class}), "{resources}");
    }
}

#[test]
fn a_replaced_service_keeps_its_address_and_ports() {
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}});
    let mut new = yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, ports: [{port: 80, protocol: TCP}, {port: 81, protocol: TCP}]}}",
    );
    prepare_update(&GroupVersionKind::from_api_version("v1", "Service"), &mut new, &old);
    assert_eq!(new["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(new["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 81, "protocol": "TCP"}]));
}

#[test]
fn complete_objects_stay_as_they_are_but_for_quantities() {
    let Some(folder) = testdata("api-roundtrip") else { return };
    // Its values are field names, of which the defaults decide nothing.
    for file in std::fs::read_dir(folder).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|e| e == "json") {
            let object: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
            let mut defaulted = object.clone();
            default(&gvk_of(&object), &mut defaulted);
            lost(&object, &defaulted, &path.display().to_string());
        }
    }
}

/// Fails where a field that was there is gone or different.
fn lost(before: &Value, after: &Value, place: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                // Written by the client only, or replaced by what the name says.
                if ["stringData", "labels", "sessionAffinityConfig"].contains(&key.as_str()) || value.is_null() {
                    continue;
                }
                lost(value, after.get(key).unwrap_or(&Value::Null), &format!("{place}.{key}"));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).enumerate().for_each(|(i, (b, a))| lost(b, a, &format!("{place}[{i}]")));
        }
        _ => assert!(before == after || *before == json!(0), "{place}: {before} became {after}"),
    }
}

#[test]
fn a_partial_status_is_completed_as_go_would() {
    let mut set = yaml("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, status: {numberReady: 2, conditions: [{type: A}]}}");
    default(&gvk_of(&set), &mut set);
    let expect = "
conditions: [{type: A, status: ''}]
currentNumberScheduled: 0
desiredNumberScheduled: 0
numberMisscheduled: 0
numberReady: 2
";
    assert_eq!(set["status"], yaml(expect));
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {a: b}}
spec:
  serviceAccountName: a
  initContainers: [{name: i, image: a}]
  containers:
  - name: a
    image: a
    ports: [{containerPort: 1, name: a}]
    env: [{name: a, valueFrom: {fieldRef: {fieldPath: a}}}]
    resources: {limits: {cpu: 1}, requests: {cpu: 1}}
    readinessProbe: {httpGet: {port: 1}}
    lifecycle: {preStop: {exec: {command: [a]}}}
    volumeMounts: [{name: a, mountPath: /a}]
  tolerations: [{operator: Exists}]
  volumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: a}}]}}]
";

#[test]
fn malformed_objects_are_left_to_validation() {
    robust(&yaml(POD), 12, &[json!("x"), json!(null), json!([1, null, {}]), json!({"a": 1})]);
    let Some(folder) = testdata("api-roundtrip") else { return };
    for file in std::fs::read_dir(folder).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|e| e == "json") {
            let object: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
            let gvk = gvk_of(&object);
            // Below, objects with pods are large and alike.
            if find(&gvk.group, &gvk.version, &gvk.kind).is_some() {
                robust(&object, 2, &[json!("x")]);
            }
        }
    }
}

/// Puts something else in every place down to a depth, and expects no panic.
fn robust(object: &Value, depth: usize, wrong: &[Value]) {
    let gvk = gvk_of(object);
    for wrong in wrong {
        broken(object, wrong, depth, &mut |mut copy| {
            default(&gvk, &mut copy);
            prepare_create(&gvk, &mut copy);
            validate(&gvk, &copy, Some(object));
            validate(&gvk, object, Some(&copy));
            prepare_update(&gvk, &mut copy, object);
        });
    }
}

/// Calls with a copy of an object for each place, where something else stands.
fn broken(object: &Value, wrong: &Value, depth: usize, call: &mut impl FnMut(Value)) {
    fn places(value: &Value, at: String, into: &mut Vec<String>) {
        into.push(at.clone());
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(k, v)| places(v, format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")), into))
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, format!("{at}/{i}"), into)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    places(object, String::new(), &mut all);
    for place in all.iter().filter(|place| place.matches('/').count() <= depth) {
        let mut copy = object.clone();
        *copy.pointer_mut(place).expect("it is a place of the object") = wrong.clone();
        call(copy);
    }
}
