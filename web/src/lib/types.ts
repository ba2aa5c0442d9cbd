// Answers of the hub's read model, as crates/api/src/hub/view.rs words them.

export type State = 'Ready' | 'Progressing' | 'Joining' | 'Pending' | 'Degraded' | 'Offline' | 'Unknown';

export interface Page<T> {
  items: T[];
  total: number;
  continue?: string;
  facets?: Record<string, Record<string, number>>;
  hidden?: number;
  asOf?: string;
}

export interface ClusterRow {
  name: string;
  uid: string;
  labels: Record<string, string>;
  set: string;
  region: string;
  state: State;
  stateReason: string;
  stateSince?: string;
  appState: State;
  isSimulated: boolean;
  isAccepted: boolean;
  lastSeen?: string;
  isCurrent: boolean;
  kubernetesVersion: string;
  agentVersion: string;
  nodes: number;
  nodesReady: number;
  appsCount: number;
  appsSynced: number;
  appsHealthy: number;
  problems: number;
  reportsLost?: number;
  clockSkewMs?: number;
}

export interface ConditionRow { type: string; status: string; reason: string; message: string; since?: string }
export interface StateAt { at: string; state: State; reason?: string }
export interface ImageRow { image: string; digest?: string }

export interface AppRow {
  cluster: string;
  set?: string;
  namespace: string;
  name: string;
  repo: string;
  path: string;
  targetRevision: string;
  revision: string;
  version: string;
  images?: ImageRow[];
  sync: string;
  health: string;
  trouble?: string;
  syncSince?: string;
  healthSince?: string;
  operation?: string;
  condition?: string;
  message?: string;
  syncedRevision?: string;
  syncedAt?: string;
  engine?: string;
  isManual?: boolean;
  behind?: Behind;
  resourcesCount: number;
  resourcesOutOfSync: number;
  resourcesDegraded: number;
  seenAt?: string;
  receivedAt?: string;
  isCurrent: boolean;
}

/** How far an Application that is synced by hand is behind its branch. */
export interface Behind {
  commits?: number;
  isMore?: boolean;
  since?: string;
  dueAt?: string;
}

export interface WorkloadRow {
  kind: string;
  namespace: string;
  name: string;
  ready: number;
  desired: number;
  health: string;
  message?: string;
  since?: string;
  images: ImageRow[];
  application?: string;
  podReason?: string;
  podMessage?: string;
}

export type Severity = 'Critical' | 'Warning' | 'Info';

export interface Problem {
  id: string;
  kind: string;
  title: string;
  reason: string;
  app?: string;
  image?: string;
  source?: string;
  revision?: string;
  since?: string;
  clusters: number;
  sample: string[];
  filter: string;
  stillServing?: { yes: number; of: number };
  severity: Severity;
  remedy: string;
}

export interface ActivityRow {
  at: string;
  receivedAt: string;
  cluster: string;
  kind: string;
  reason: string;
  object: string;
  message: string;
}

export interface ClusterDetail {
  row: ClusterRow;
  sets: string[];
  conditions: ConditionRow[];
  claims: Record<string, string>;
  capacity: Record<string, string>;
  apps: AppRow[];
  workloads: WorkloadRow[];
  problems: Problem[];
  events: ActivityRow[];
  history: StateAt[];
}

/** `[name, set, region, state, last seen in seconds since 1970 (0: never), state of its Applications]` */
export type Tile = [string, string, string, State, number, State];

export interface Group { set: string; region: string; clusters: number; counts: Partial<Record<State, number>>; oldestSeen: number }

export interface FleetCounters {
  clusters: number;
  counts: Partial<Record<State, number>>;
  onTarget: number;
  current: number;
  problems: number;
  asOf?: string;
}

export interface Fleet extends FleetCounters {
  tiles: Tile[];
  groups?: Group[];
  hidden?: number;
  hub?: { uid: string; epoch: number; version: string; startedAt: string };
}

export interface MatrixCell { clusters: number; synced: number; healthy: number; health: Record<string, number>; current: number }
export interface MatrixVersion { version: string; revision: string; digest?: string; clusters: number; sets: Record<string, MatrixCell> }
export interface MatrixApp { app: string; clusters: number; versions: MatrixVersion[] }
export interface SourceRow { repo: string; path: string; targetRevision: string; clusters: number }
export interface AppDetail { app: string; rows: Page<AppRow>; versions: MatrixVersion[]; sources: SourceRow[]; problems: Problem[] }

export interface ResourceRow {
  group?: string;
  kind: string;
  namespace?: string;
  name: string;
  sync: string;
  health: string;
  message?: string;
  wave: number;
  images?: ImageRow[];
}
export interface AppTree { row: AppRow; resources: ResourceRow[]; resourcesCut?: number }

export interface RowsChanged { isWhole?: boolean; rows?: ClusterRow[]; tiles?: Tile[]; gone?: string[] }
