// A stand-in for console and hub, for work on the pages alone: `npm run mock [clusters] [port]`. Not shipped.
// It serves what was built with the console's own headers, and a fleet that changes every second.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';

const COUNT = Number(process.argv[2] ?? 55);
/** Clusters that change at once, every `EVERY` ms. */
const BATCH = Number(process.env.BATCH ?? 1);
const PORT = Number(process.argv[3] ?? 5199);
const SITE = new URL('../../dist/site/', import.meta.url).pathname;
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
const iso = (secondsAgo) => new Date(Date.now() - secondsAgo * 1000).toISOString();
let seed = 7;
const random = () => ((seed = (seed * 48271) % 2147483647) / 2147483647);
const pick = (values) => values[Math.floor(random() * values.length)];

const REGIONS = ['us-central', 'us-east', 'us-west'];
const NAMES = ['edge/offers-api', 'edge/presence-engine', 'edge/offer-cache', 'edge/uplink', 'baseline/store-baseline', 'web/storefront'];
const OLD = '7f3c2a9be1d04c5f8a6b7c8d9e0f1a2b3c4d5e6f';
const NEW = 'b81d4f07aa3e4f6c9d2b1a0c8e7f6d5c4b3a2918';
const rows = Array.from({ length: COUNT }, (_, index) => {
  const isCloud = index >= COUNT - 5 && COUNT > 10;
  const name = isCloud ? ['web-us-east', 'web-us-west', 'data-us-east', 'dev-shared', 'store-sim-01'][index - (COUNT - 5)] : `store-${String(index + 1).padStart(4, '0')}`;
  const region = REGIONS[index % 3];
  const state = index % 19 === 6 ? 'Offline' : index % 17 === 4 ? 'Degraded' : index % 23 === 9 ? 'Progressing' : index === 11 ? 'Pending' : index === 12 ? 'Joining' : 'Ready';
  const set = isCloud ? (name.startsWith('web') ? 'cloud-web' : name.startsWith('data') ? 'cloud-data' : 'stores-dev') : `stores-${region}`;
  return { name, uid: `0b7e-${index}`, labels: { region, env: isCloud && name.includes('dev') ? 'dev' : 'prod', format: pick(['flagship', 'mall', 'outlet', 'kiosk']) }, set, region, state, isSimulated: true, kubernetesVersion: index % 9 === 5 ? 'v1.32.7' : 'v1.33.4', agentVersion: '0.1.0', seen: state === 'Offline' ? 600 + index * 1500 : 0 };
});
const REASON = {
  Ready: 'All 4 Applications are Synced and Healthy.',
  Degraded: 'Application edge/offers-api is Degraded for 12 min: its image cannot be pulled. Next: muster problems.',
  Offline: 'Not heard for a while: its link or its agent is down. It keeps running what it has. Next: muster describe cluster.',
  Progressing: 'Application edge/offers-api is being rolled out for 8 s. Nothing to do: it ends by itself.',
  Pending: 'Asks to join since 3 min and is not accepted. Next: muster accept store-0012.',
  Joining: 'Accepted 40 s ago and never heard. Next: wait, or look at the log of its agent.',
};
const seenSeconds = (row) => (row.state === 'Joining' || row.state === 'Pending' ? 0 : Math.floor(Date.now() / 1000 - (row.state === 'Offline' ? row.seen : random() * 8)));
const tile = (row) => [row.name, row.set, row.region, row.state, seenSeconds(row), row.state === 'Degraded' ? 'Degraded' : 'Ready'];
function clusterRow(row) {
  const seen = seenSeconds(row);
  const bad = row.state === 'Degraded' ? 1 : 0;
  return { ...row, stateReason: REASON[row.state], stateSince: iso(700), appState: bad ? 'Degraded' : 'Ready', isAccepted: row.state !== 'Pending', lastSeen: seen ? new Date(seen * 1000).toISOString() : undefined, isCurrent: !['Offline', 'Joining', 'Pending'].includes(row.state), nodes: 3, nodesReady: 3, appsCount: 5, appsSynced: 5, appsHealthy: 5 - bad, problems: bad };
}
const count = (list, key) => list.reduce((all, row) => ({ ...all, [row[key]]: (all[row[key]] ?? 0) + 1 }), {});
function counters() {
  const counts = count(rows, 'state');
  const current = COUNT - (counts.Offline ?? 0) - (counts.Joining ?? 0) - (counts.Pending ?? 0);
  return { clusters: COUNT, counts, onTarget: current - (counts.Progressing ?? 0), current, problems: problems().length, asOf: iso(0) };
}
function problems() {
  const of = (state) => rows.filter((row) => row.state === state).map((row) => row.name);
  const [bad, off] = [of('Degraded'), of('Offline')];
  const all = [
    { id: 'p1', kind: 'ImagePullBackOff', title: 'Image cannot be pulled: offers-api:2.4.1', reason: 'manifest for registry.retail.example/edge/offers-api:2.4.1 not found: manifest unknown', app: 'edge/offers-api', image: 'registry.retail.example/edge/offers-api:2.4.1', source: 'edge/apps/offers-api', revision: NEW, since: iso(740), clusters: bad.length, sample: bad.slice(0, 5), filter: 'problem=p1', stillServing: { yes: bad.length, of: bad.length }, severity: 'Warning', remedy: 'git revert b81d4f07 && git push' },
    { id: 'p2', kind: 'Offline', title: `${off.length} clusters are offline`, reason: 'no lease and no report for more than 5 minutes', since: iso(5400), clusters: off.length, sample: off.slice(0, 5), filter: 'problem=p2', severity: 'Warning', remedy: `muster describe cluster ${off[0]}` },
    { id: 'p3', kind: 'CrashLoop', title: 'presence-engine exits with 137', reason: 'container presence exits: OOMKilled, 6 restarts', app: 'edge/presence-engine', source: 'edge/apps/presence-engine', revision: OLD, since: iso(220), clusters: 1, sample: ['store-0005'], filter: 'problem=p3', stillServing: { yes: 0, of: 1 }, severity: 'Critical', remedy: 'muster app tree edge/presence-engine --cluster store-0005' },
  ];
  return all.filter((problem) => problem.clusters > 0).sort((a, b) => (a.severity < b.severity ? -1 : 1));
}
function appRow(row, name, index) {
  const [namespace, app] = name.split('/');
  const isNew = (row.labels.env === 'dev' || row.state === 'Degraded' || row.state === 'Progressing') && name === 'edge/offers-api';
  return { cluster: row.name, set: row.set, namespace, name: app, repo: 'http://127.0.0.1:7444/edge.git', path: `apps/${app}`, targetRevision: row.labels.env, revision: isNew ? NEW : OLD, version: isNew ? '2.4.1' : `2.${4 - (index % 3)}.0`, sync: row.state === 'Progressing' && isNew ? 'OutOfSync' : 'Synced', health: row.state === 'Degraded' && isNew ? 'Degraded' : 'Healthy', receivedAt: iso(14), syncedAt: iso(900), engine: 'native', message: row.state === 'Degraded' && isNew ? 'Deployment offers-api: image cannot be pulled' : '', resourcesCount: 7, resourcesOutOfSync: 0, resourcesDegraded: 0, isCurrent: row.state !== 'Offline' };
}
const appRows = (name) => rows.filter((row) => name.startsWith('web/') === row.set.startsWith('cloud')).map((row) => appRow(row, name, NAMES.indexOf(name)));
function versions(name) {
  const found = new Map();
  for (const row of appRows(name)) {
    const version = found.get(row.version) ?? { version: row.version, revision: row.revision, digest: `sha256:${row.revision}`, clusters: 0, sets: {} };
    found.set(row.version, version);
    const cell = (version.sets[row.set] ??= { clusters: 0, synced: 0, healthy: 0, health: {}, current: 0 });
    version.clusters++, cell.clusters++, (cell.synced += row.sync === 'Synced'), (cell.healthy += row.health === 'Healthy'), (cell.health[row.health] = (cell.health[row.health] ?? 0) + 1), (cell.current += row.isCurrent);
  }
  return [...found.values()].sort((a, b) => b.clusters - a.clusters);
}
const activity = Array.from({ length: 240 }, (_, index) => {
  const row = pick(rows);
  const reason = pick(['Synced', 'Synced', 'Healthy', 'Degraded', 'Offline', 'Ready', 'SyncFailed']);
  const isCluster = reason === 'Offline' || reason === 'Ready';
  return { at: iso(20 + index * 47 + (index % 13 === 5 ? 900 : 0)), receivedAt: iso(19 + index * 47), cluster: row.name, kind: isCluster ? 'ManagedCluster' : 'Application', reason, object: isCluster ? row.name : pick(NAMES), message: reason === 'Synced' ? `synced to ${OLD.slice(0, 8)}` : REASON[row.state] };
});
const RESOURCES = [['', 'Namespace', 'edge', -1], ['', 'ConfigMap', 'offers-api-config-8f2k', 0], ['', 'Service', 'offers-api', 0], ['apps', 'Deployment', 'offers-api', 0], ['policy', 'PodDisruptionBudget', 'offers-api', 0], ['autoscaling', 'HorizontalPodAutoscaler', 'offers-api', 0], ['batch', 'Job', 'migrate', 1]];

function page(list, params, facets = []) {
  const limit = Number(params.get('limit') ?? 500);
  const start = Number(params.get('continue') ?? 0);
  return { items: list.slice(start, start + limit), total: list.length, continue: start + limit < list.length ? String(start + limit) : undefined, facets: Object.fromEntries(facets.map((facet) => [facet, count(list, facet === 'status' ? 'state' : facet === 'version' ? (list[0]?.kubernetesVersion ? 'kubernetesVersion' : 'version') : facet)])), asOf: iso(0) };
}
function filtered(list, params) {
  const keys = { status: 'state', set: 'set', region: 'region', sync: 'sync', health: 'health', reason: 'reason', kind: 'kind', cluster: 'cluster' };
  const q = params.get('q') ?? '';
  let found = list.filter((row) => (row.name ?? row.object).includes(q) || (row.cluster ?? '').includes(q));
  for (const [name, key] of Object.entries(keys)) {
    const values = params.get(name)?.split(',').filter(Boolean);
    if (values?.length) found = found.filter((row) => values.includes(row[key]));
  }
  const version = params.get('version')?.split(',');
  if (version) found = found.filter((row) => version.includes(row.kubernetesVersion ?? row.version));
  if (params.get('problem')) found = found.filter((row) => row.state === (params.get('problem') === 'p2' ? 'Offline' : 'Degraded'));
  const sort = params.get('sort');
  if (sort) {
    const key = { status: 'state', version: 'kubernetesVersion' }[sort.replace('-', '')] ?? sort.replace('-', '');
    found = [...found].sort((a, b) => ((a[key] ?? '') < (b[key] ?? '') ? -1 : 1) * (sort.startsWith('-') ? -1 : 1));
  }
  return found;
}

function answer(path, params) {
  if (path === '/fleet') return { ...counters(), tiles: COUNT <= 5000 ? rows.map(tile) : [], groups: COUNT > 5000 ? REGIONS.map((region) => ({ set: `stores-${region}`, region, clusters: rows.filter((row) => row.region === region).length, counts: count(rows.filter((row) => row.region === region), 'state'), oldestSeen: 0 })) : [], hub: { uid: 'u', epoch: 1, version: '0.1.0', startedAt: iso(9000) } };
  if (path === '/problems') return { items: problems(), total: problems().length };
  if (path === '/clusters') return page(filtered(rows.map(clusterRow), params), params, ['status', 'set', 'region', 'version']);
  if (path === '/activity') return page(filtered(activity, params), params, ['reason', 'kind']);
  if (path === '/apps/matrix') return { items: NAMES.map((app) => ({ app, clusters: appRows(app).length, versions: versions(app) })), total: NAMES.length };
  const [, kind, first, second, third] = path.split('/');
  if (kind === 'clusters') {
    const row = rows.find((row) => row.name === first);
    if (!row) return undefined;
    const mine = problems().filter((problem) => problem.sample.includes(row.name));
    return {
      row: clusterRow(row), sets: ['default', 'global', row.set], problems: mine, apps: NAMES.slice(0, 5).map((name, index) => appRow(row, name, index)),
      conditions: [{ type: 'ManagedClusterConditionAvailable', status: row.state === 'Offline' ? 'Unknown' : 'True', reason: 'ManagedClusterAvailable', message: 'Managed cluster is available', since: iso(7000) }, { type: 'HubAcceptedManagedCluster', status: 'True', reason: 'HubClusterAdminAccepted', message: 'Accepted by hub cluster admin', since: iso(9000) }],
      claims: { 'id.k8s.io': row.uid, 'kubeversion.open-cluster-management.io': row.kubernetesVersion, 'region.muster.dev': row.region }, capacity: { cpu: '12', memory: '48Gi', pods: '330' },
      workloads: NAMES.slice(0, 4).map((name, index) => ({ kind: index === 2 ? 'StatefulSet' : 'Deployment', namespace: name.split('/')[0], name: name.split('/')[1], ready: row.state === 'Degraded' && index === 0 ? 1 : 2, desired: 2, health: row.state === 'Degraded' && index === 0 ? 'Degraded' : 'Healthy', images: [{ image: `registry.retail.example/edge/${name.split('/')[1]}:2.4.0`, digest: `sha256:${OLD}` }], application: name, podReason: row.state === 'Degraded' && index === 0 ? 'ImagePullBackOff' : '' })),
      events: activity.slice(0, 30).map((event) => ({ ...event, cluster: row.name })),
      history: [{ at: iso(30000), state: 'Joining' }, { at: iso(29000), state: 'Progressing' }, { at: iso(28000), state: 'Ready' }, { at: iso(12000), state: 'Offline', reason: 'link lost' }, { at: iso(9000), state: 'Ready' }, { at: iso(740), state: row.state, reason: REASON[row.state] }],
    };
  }
  if (kind === 'apps' && third === 'tree') {
    const row = rows.find((row) => row.name === params.get('cluster'));
    if (!row) return undefined;
    const bad = row.state === 'Degraded';
    return { row: appRow(row, `${first}/${second}`, 0), resources: RESOURCES.map(([group, kind, name, wave]) => ({ group, kind, namespace: kind === 'Namespace' ? '' : 'edge', name, sync: 'Synced', health: kind === 'Deployment' && bad ? 'Degraded' : ['Deployment', 'Service', 'Job'].includes(kind) ? 'Healthy' : '', message: kind === 'Deployment' && bad ? 'ImagePullBackOff: manifest unknown' : '', wave, images: kind === 'Deployment' ? [{ image: 'registry.retail.example/edge/offers-api:2.4.1', digest: '' }] : [] })) };
  }
  if (kind === 'apps' && NAMES.includes(`${first}/${second}`)) {
    const list = filtered(appRows(`${first}/${second}`), params);
    return { app: `${first}/${second}`, rows: page(list, params, ['sync', 'health', 'version', 'set']), versions: versions(`${first}/${second}`), sources: ['prod', 'dev'].map((branch, index) => ({ repo: 'http://127.0.0.1:7444/edge.git', path: `apps/${second}`, targetRevision: branch, clusters: index ? 2 : COUNT - 5 })), problems: problems().filter((problem) => problem.app === `${first}/${second}`) };
  }
  return undefined;
}

function stream(response, params) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const names = params.has('names') ? (params.get('names') ?? '').split(',').filter(Boolean) : undefined;
  const send = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  const rowsOf = (list) => (names ? { rows: list.filter((row) => names.includes(row.name)).map(clusterRow) } : { tiles: list.map(tile) });
  send('fleet', counters());
  send('rows', rowsOf(rows));
  const timer = setInterval(() => {
    const changed = Array.from({ length: BATCH }, () => rows[13 + Math.floor(random() * (rows.length - 13))]);
    for (const row of changed) {
      row.state = row.state === 'Ready' ? pick(['Progressing', 'Degraded', 'Offline']) : 'Ready';
      row.seen = 200;
    }
    send('rows', rowsOf(changed));
    send('fleet', counters());
  }, Number(process.env.EVERY ?? 1500));
  const seen = setInterval(() => send('seen', rows.filter((row) => row.state !== 'Offline').map((row) => [row.name, seenSeconds(row)])), 15_000);
  response.on('close', () => (clearInterval(timer), clearInterval(seen)));
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://x');
  response.setHeader('content-security-policy', POLICY);
  if (url.pathname === '/api/session') return void response.end(JSON.stringify({ csrf: 'word' }));
  if (url.pathname.startsWith('/api/k8s/')) return void response.end('{}');
  if (url.pathname.startsWith('/api/muster/v1/')) {
    const path = decodeURIComponent(url.pathname.slice('/api/muster/v1'.length));
    if (path === '/changes') return stream(response, url.searchParams);
    const found = answer(path, url.searchParams);
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify(found ?? { message: `there is nothing at ${path}` }));
  }
  const file = join(SITE, url.pathname);
  const path = url.pathname !== '/' && existsSync(file) ? file : join(SITE, 'index.html');
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' });
  createReadStream(path).pipe(response);
});
server.listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port} with ${COUNT} clusters`));
