//! One cluster of the index: what was told of it, and what is shown of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cluster::{ManagedCluster, claim_name, condition, label};
use api::conditions::{self, FALSE};
use api::hub::{AppRow, Behind, ClusterRow, ImageRow};
use api::report::{Application, ClusterInfo, Kind, Workload};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use overview::activity::{self, Happened};
use overview::state::Verdict;
use overview::{Judged, Lag, Link, Seen, Symptom, Trouble, gap, symptoms, versions};
use records::Row;

use super::images::Images;
use super::lags::Lags;
use super::sets::labelled;
use crate::approval::recorded_uid;

/// Labels that name a region, first one first; then the claim.
const REGION_LABELS: [&str; 2] = ["region", "topology.kubernetes.io/region"];
const REGION_CLAIM: &str = "region.open-cluster-management.io";
/// Of one cluster; what it tells beyond is not shown. An agent keeps to less.
const APPS_MAX: usize = 2_000;
const WORKLOADS_MAX: usize = 10_000;
/// A value that is longer counts as unreadable.
const VALUE_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
pub struct Entry {
    pub cluster: Option<Arc<ManagedCluster>>,
    /// All that it is in, by name.
    pub sets: Vec<String>,
    pub apps: BTreeMap<String, App>,
    workloads: BTreeMap<String, Known>,
    info: Option<(String, ClusterInfo)>,
    pub lost: u64,
    /// Applications whose workloads changed since images were summed up.
    unsummed: BTreeSet<String>,
    /// As decided; what changes by itself (last seen, is current) is filled in when somebody asks.
    pub row: ClusterRow,
    pub symptoms: Vec<Symptom>,
    /// Of the index when it changed last.
    pub version: u64,
}

/// An Application as a cluster tells it.
pub struct App {
    cluster_uid: String,
    pub told: Application,
    pub observed_at: Timestamp,
    pub received_at: Timestamp,
    /// Of its workloads.
    pub images: Arc<[ImageRow]>,
    pub version: String,
    pub behind: Option<Behind>,
    /// What keeps a pod of it from running; empty for nothing.
    trouble: String,
}

/// What is kept of a workload.
struct Known {
    cluster_uid: String,
    /// The key of its Application; empty for none.
    app: String,
    images: Arc<[ImageRow]>,
    trouble: Option<Box<Trouble>>,
}

impl Entry {
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.workloads.is_empty() && self.info.is_none()
    }

    /// Takes a record; returns what happened.
    pub fn set_row(&mut self, kind: &Kind, row: &Row, images: &mut Images) -> Vec<Happened> {
        match kind {
            Kind::ClusterInfo => {
                match parse::<ClusterInfo>(row) {
                    Some(info) => self.info = Some((row.cluster_uid.clone(), info)),
                    None if self.info.as_ref().is_some_and(|(uid, _)| *uid == row.cluster_uid) => self.info = None,
                    None => {}
                }
                Vec::new()
            }
            Kind::Application => self.set_app(row, images),
            Kind::Workload => {
                self.set_workload(row, images);
                Vec::new()
            }
            Kind::Resources | Kind::Event | Kind::Other(_) => Vec::new(),
        }
    }

    fn set_app(&mut self, row: &Row, images: &mut Images) -> Vec<Happened> {
        let Some(mut told) = parse::<Application>(row) else {
            // A cluster that had the name before may still be on its way out.
            return match self.apps.get(&row.key) {
                Some(known) if known.cluster_uid == row.cluster_uid => {
                    let gone = self.apps.remove(&row.key);
                    activity::of_app(gone.as_ref().map(|app| &app.told), None)
                }
                _ => Vec::new(),
            };
        };
        // What cannot be read shows as an application nothing is known of: it is not hidden.
        if let (true, Some((namespace, name))) = (told.name.is_empty(), row.key.split_once('/')) {
            (told.namespace, told.name) = (namespace.to_owned(), name.to_owned());
        }
        let happened = activity::of_app(self.apps.get(&row.key).map(|app| &app.told), Some(&told));
        if self.apps.len() >= APPS_MAX && !self.apps.contains_key(&row.key) {
            tracing::warn!(cluster = row.cluster, application = row.key, "more than {APPS_MAX} Applications: it is not shown");
            return Vec::new();
        }
        let app = App {
            cluster_uid: row.cluster_uid.clone(),
            told,
            observed_at: row.source.observed_at,
            received_at: row.source.received_at,
            images: images.share(Vec::new()),
            version: String::new(),
            behind: None,
            trouble: String::new(),
        };
        self.apps.insert(row.key.clone(), app);
        self.unsummed.insert(row.key.clone());
        happened
    }

    fn set_workload(&mut self, row: &Row, images: &mut Images) {
        let before = self.workloads.get(&row.key).map(|known| (known.app.clone(), known.cluster_uid == row.cluster_uid));
        let is_full = self.workloads.len() >= WORKLOADS_MAX && before.is_none();
        let app = match parse::<Workload>(row) {
            Some(_) if is_full => return,
            Some(workload) => {
                let trouble = symptoms::trouble(&workload).map(Box::new);
                let app = workload.application.clone().unwrap_or_default();
                let list = images.share(image_rows(&workload));
                let known = Known { cluster_uid: row.cluster_uid.clone(), app: app.clone(), images: list, trouble };
                self.workloads.insert(row.key.clone(), known);
                Some(app)
            }
            None => {
                if before.as_ref().is_some_and(|(_, is_same)| *is_same) {
                    self.workloads.remove(&row.key);
                }
                None
            }
        };
        self.unsummed.extend(before.map(|(app, _)| app).into_iter().chain(app).filter(|app| !app.is_empty()));
    }

    /// Gathers the images of Applications from their workloads.
    fn sum_images(&mut self, images: &mut Images) {
        let unsummed = std::mem::take(&mut self.unsummed);
        let mut all: BTreeMap<&str, BTreeSet<ImageRow>> = unsummed.iter().map(|key| (key.as_str(), BTreeSet::new())).collect();
        for known in self.workloads.values() {
            if let Some(of_app) = all.get_mut(known.app.as_str()) {
                of_app.extend(known.images.iter().cloned());
            }
        }
        for (key, of_app) in all {
            let Some(app) = self.apps.get_mut(key) else { continue };
            app.images = images.share(of_app.into_iter().collect());
            app.version = versions::name(&app.told.name, &app.told.revision, &app.images);
        }
    }

    /// Says of each Application what keeps a pod of it from running, the first by name of its workloads.
    fn find_trouble(&mut self) {
        self.apps.values_mut().for_each(|app| app.trouble.clear());
        for trouble in self.workloads.values().filter_map(|known| known.trouble.as_deref()).filter(|trouble| !trouble.is_passing) {
            if let Some(app) = self.apps.get_mut(&trouble.app).filter(|app| app.trouble.is_empty()) {
                app.trouble.clone_from(&trouble.kind);
            }
        }
    }

    /// Forgets what another cluster told that had the name before.
    fn keep_only(&mut self, uid: &str) {
        self.apps.retain(|_, app| app.cluster_uid == uid);
        self.workloads.retain(|_, known| known.cluster_uid == uid);
        self.info.take_if(|(told_by, _)| told_by != uid);
    }

    /// Decides what is shown; nothing for what is no cluster (any more).
    pub fn refresh(&mut self, name: &str, images: &mut Images, lags: &Lags) -> Option<Verdict> {
        let cluster = self.cluster.clone()?;
        if let Some(uid) = recorded_uid(&cluster) {
            self.keep_only(uid);
        }
        self.sum_images(images);
        let mut counted: BTreeMap<String, Lag> = BTreeMap::new();
        for (key, app) in &mut self.apps {
            let lag = gap::span(&app.told).and_then(|span| lags.get(&span));
            app.behind = gap::behind(&app.told, lag);
            counted.extend(lag.map(|lag| (key.clone(), lag.clone())));
        }
        self.find_trouble();
        let mut row = facts(name, &cluster);
        row.set = overview::sets::shown(labelled(&cluster), &self.sets).to_owned();
        let link = link(&cluster);
        let info = self.info.as_ref().map(|(_, info)| info.clone()).unwrap_or_default();
        let troubles: Vec<&Trouble> = self.workloads.values().filter_map(|known| known.trouble.as_deref()).collect();
        let apps: Vec<&Application> = self.apps.values().map(|app| &app.told).collect();
        let seen = Seen {
            name,
            region: &row.region,
            link: &link,
            apps: &apps,
            lags: &counted,
            troubles: &troubles,
            nodes: info.nodes,
            nodes_ready: info.nodes_ready,
            reports_lost: self.lost,
        };
        let verdict = overview::state::of(&seen);
        self.symptoms = symptoms::of(&seen);
        let count = |is: &dyn Fn(&Application) -> bool| u32::try_from(apps.iter().filter(|app| is(app)).count()).unwrap_or(u32::MAX);
        row.apps_count = count(&|_| true);
        row.apps_synced = count(&|app| app.sync == "Synced");
        row.apps_healthy = count(&|app| app.health == "Healthy");
        row.state = verdict.state;
        row.state_reason = verdict.reason.clone();
        row.state_since = verdict.since;
        row.app_state = verdict.app_state;
        row.nodes = info.nodes;
        row.nodes_ready = info.nodes_ready;
        row.clock_skew_ms = info.clock_skew_ms;
        row.reports_lost = self.lost;
        if row.kubernetes_version.is_empty() {
            row.kubernetes_version = info.kubernetes_version;
        }
        if row.agent_version.is_empty() {
            row.agent_version = info.agent_version;
        }
        self.row = row;
        Some(verdict)
    }

    /// Returns the row of one Application.
    pub fn app_row(&self, app: &App, is_current: bool) -> AppRow {
        let told = app.told.clone();
        AppRow {
            cluster: self.row.name.clone(),
            set: self.row.set.clone(),
            namespace: told.namespace,
            name: told.name,
            repo: told.repo,
            path: told.path,
            target_revision: told.target_revision,
            revision: told.revision,
            version: app.version.clone(),
            images: app.images.to_vec(),
            sync: told.sync,
            health: told.health,
            trouble: app.trouble.clone(),
            sync_since: told.sync_since,
            health_since: told.health_since,
            operation: told.operation,
            order: told.order,
            condition: told.condition,
            message: told.message,
            synced_revision: told.synced_revision,
            synced_at: told.synced_at,
            engine: told.engine,
            is_manual: told.is_manual,
            behind: app.behind.clone(),
            resources_count: told.resources,
            resources_out_of_sync: told.resources_out_of_sync,
            resources_degraded: told.resources_degraded,
            seen_at: Some(app.observed_at),
            received_at: Some(app.received_at),
            is_current,
        }
    }
}

fn parse<T: serde::de::DeserializeOwned + Default>(row: &Row) -> Option<T> {
    let read = |text: &str| if text.len() > VALUE_BYTES_MAX { T::default() } else { serde_json::from_str(text).unwrap_or_default() };
    row.value.as_ref().map(|value| read(value.get()))
}

pub fn image_rows(workload: &Workload) -> Vec<ImageRow> {
    let digest = |image: &String| workload.digests.get(image).cloned().unwrap_or_default();
    workload.images.iter().map(|image| ImageRow { image: image.clone(), digest: digest(image) }).collect()
}

fn judged(condition: &Condition) -> Judged {
    Judged {
        is_true: condition.status == conditions::TRUE,
        since: Some(condition.last_transition_time.0),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

fn link(cluster: &ManagedCluster) -> Link {
    let find = |type_| conditions::find(cluster.conditions(), type_);
    let is_false = |type_| find(type_).filter(|c| c.status == FALSE).map(judged);
    Link {
        is_accepted: cluster.spec.hub_accepts_client,
        created_at: cluster.metadata.creation_timestamp.as_ref().map(|t| t.0),
        available: find(condition::AVAILABLE).map(judged),
        conflict: is_false(condition::IDENTITY_UNIQUE),
        clock: is_false(condition::CLOCK_SYNCED),
        has_spoken: recorded_uid(cluster).is_some()
            || cluster.status.as_ref().is_some_and(|s| !s.cluster_claims.is_empty() || s.version.is_some()),
    }
}

/// Returns what the ManagedCluster itself says.
fn facts(name: &str, cluster: &ManagedCluster) -> ClusterRow {
    let labels = cluster.metadata.labels.clone().unwrap_or_default();
    let of_labels = REGION_LABELS.iter().find_map(|key| labels.get(*key));
    let claim = |key: &str| cluster.claim(key).unwrap_or_default().to_owned();
    // Two clusters under one name: what the lease says may be the other one's.
    let claimed = conditions::find(cluster.conditions(), condition::IDENTITY_UNIQUE).filter(|c| c.status == FALSE);
    let available = claimed.or(conditions::find(cluster.conditions(), condition::AVAILABLE));
    ClusterRow {
        name: name.to_owned(),
        uid: recorded_uid(cluster).unwrap_or_default().to_owned(),
        region: of_labels.cloned().unwrap_or_else(|| claim(REGION_CLAIM)),
        is_simulated: labels.get(label::SIMULATED).is_some_and(|value| value == "true"),
        is_accepted: cluster.spec.hub_accepts_client,
        available: if claimed.is_some() { "Unknown".to_owned() } else { available.map(|c| c.status.clone()).unwrap_or_default() },
        available_since: available.map(|c| c.last_transition_time.0),
        available_reason: available.map(|c| c.reason.clone()).unwrap_or_default(),
        kubernetes_version: cluster.status.as_ref().and_then(|s| s.version.as_ref()).map(|v| v.kubernetes.clone()).unwrap_or_default(),
        agent_version: claim(claim_name::AGENT_VERSION),
        labels,
        ..ClusterRow::default()
    }
}
