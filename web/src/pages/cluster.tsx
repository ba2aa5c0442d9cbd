// One cluster: how it is and was, what runs on it, what happened.

import '@patternfly/react-styles/css/components/Tabs/tabs.css';
import { Alert } from '@patternfly/react-core/dist/esm/components/Alert';
import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { Modal, ModalBody, ModalFooter, ModalHeader } from '@patternfly/react-core/dist/esm/components/Modal';
import { useState } from 'react';
import { KUBERNETES, patch, Refusal } from '../lib/api';
import { useData, useThrottled } from '../lib/data';
import { useChanges } from '../lib/live';
import { isNamed } from '../lib/matrix';
import { follow } from '../lib/router';
import { STATES, stateOf } from '../lib/states';
import type { ActivityRow, AppRow, ClusterDetail, ClusterRow, ConditionRow, WorkloadRow } from '../lib/types';
import { Card, Command, Facts, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Events } from '../parts/events';
import { ProblemCard } from '../parts/problem';
import { Ribbon } from '../parts/ribbon';
import { type Column, Table } from '../parts/table';
import { Ago, appPath, Bar, Commit, Go, Health, Sentence, StateLabel, Version, Word } from '../parts/words';

const RELOAD_MS = 1000;

export function ClusterPage({ name, tab }: { name: string; tab: string }) {
  const { data, error, reload } = useData<ClusterDetail>(`/clusters/${encodeURIComponent(name)}`);
  useChanges(data ? `?names=${encodeURIComponent(name)}` : null, { onRows: useThrottled(reload, RELOAD_MS) });
  const before = (
    <p className="m-crumbs">
      <Go to="/clusters">Clusters</Go> <span aria-hidden="true">/</span>
    </p>
  );
  if (!data) {
    return (
      <>
        <Heading before={before} title={name} />
        {error ? <Failure error={error} onRetry={reload} /> : <Loading />}
      </>
    );
  }
  const { row } = data;
  const base = `/clusters/${encodeURIComponent(name)}`;
  const tabs: [string, string, number | undefined][] = [
    ['apps', 'Applications', data.apps.length],
    ['workloads', 'Workloads', data.workloads.length],
    ['events', 'Events', data.events.length],
    ['details', 'Details', undefined],
  ];
  return (
    <>
      <Heading
        before={before}
        title={
          <>
            {row.name} <StateLabel state={row.state} isCompact={false} />
            {row.isSimulated && <span className="m-badge" title="Its API server and workloads are simulated; its agent is the real one">simulated</span>}
          </>
        }
        aside={!row.isAccepted ? <Accept row={row} onDone={reload} /> : undefined}
      >
        <Sentence text={row.stateReason || `${STATES[stateOf(row.state)].meaning} ${STATES[stateOf(row.state)].next}`} />
      </Heading>
      {!row.isCurrent && row.lastSeen && (
        <Alert isInline variant="warning" title={<>What you see is old: last heard <Ago at={row.lastSeen} /></>} className="m-alert">
          The cluster keeps running what it has. Everything below is as it was told last.
        </Alert>
      )}
      <Card className="m-gap">
        <Ribbon history={data.history} />
        <Facts
          facts={[
            ['Last heard', <Ago key="a" at={row.lastSeen} fallback="never" />],
            ['Set', row.set && <Sets key="s" shown={row.set} all={data.sets} />],
            ['Region', row.region && <Go key="r" to={`/clusters?region=${encodeURIComponent(row.region)}`}>{row.region}</Go>],
            ['Kubernetes', row.kubernetesVersion],
            ['Agent', row.agentVersion],
            ['Nodes', row.nodes > 0 ? `${row.nodesReady} of ${row.nodes} ready` : ''],
            ['Applications', `${row.appsSynced}/${row.appsCount} synced, ${row.appsHealthy}/${row.appsCount} healthy`],
            ['Clock', row.clockSkewMs === undefined ? '' : Math.abs(row.clockSkewMs) < 1000 ? 'right' : `${(row.clockSkewMs / 1000).toFixed(0)} s off`],
          ]}
        />
      </Card>
      {data.problems.length > 0 && (
        <div className="m-problems" aria-label="Problems of this cluster">
          {data.problems.map((problem) => (
            <ProblemCard key={problem.id} problem={problem} isHere={problem.clusters === 1} />
          ))}
        </div>
      )}
      <nav className="pf-v6-c-tabs m-tabs" aria-label="Of this cluster">
        <ul className="pf-v6-c-tabs__list">
          {tabs.map(([key, title, count]) => (
            <li key={key} className={`pf-v6-c-tabs__item ${tab === key ? 'pf-m-current' : ''}`}>
              <a className="pf-v6-c-tabs__link" href={`${base}/${key}`} aria-current={tab === key ? 'page' : undefined} onClick={(event) => follow(event, `${base}/${key}`)}>
                <span className="pf-v6-c-tabs__item-text">
                  {title} {count !== undefined && <span className="m-count">{count}</span>}
                </span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      {tab === 'apps' && <Apps rows={data.apps} />}
      {tab === 'workloads' && <Workloads rows={data.workloads} />}
      {tab === 'events' && <ClusterEvents rows={data.events} cluster={name} />}
      {tab === 'details' && <Details data={data} />}
      {!tabs.some(([key]) => key === tab) && <Nothing title="There is no such tab" />}
    </>
  );
}

/** The set that it is shown in, then the others that tell something. */
function Sets({ shown, all }: { shown: string; all: string[] }) {
  const others = all.filter((set) => set !== shown && set !== 'default' && set !== 'global');
  return (
    <span className="m-sample">
      {[shown, ...others].map((set) => (
        <Go key={set} to={`/clusters?set=${encodeURIComponent(set)}`}>
          {set}
        </Go>
      ))}
    </span>
  );
}

const APPS: Column<AppRow>[] = [
  { title: 'Application', cell: (row) => <Go to={`${appPath(`${row.namespace}/${row.name}`)}?cluster=${encodeURIComponent(row.cluster)}`}>{row.name}</Go> },
  { title: 'Sync', cell: (row) => <Word word={row.sync} isOld={!row.isCurrent} /> },
  { title: 'Health', cell: (row) => <Health row={row} /> },
  { title: 'Version', has: isNamed, cell: (row) => <Version {...row} /> },
  { title: 'Commit', cell: (row) => <Commit revision={row.revision} /> },
  { title: 'Follows', cell: (row) => <span title={row.repo}>{row.targetRevision} · {row.path}</span> },
  { title: 'Told', cell: (row) => <Ago at={row.receivedAt} /> },
  { title: 'Message', className: 'm-wide', has: (row) => !!row.message, cell: (row) => <span className="m-clamp" title={row.message}>{row.message}</span> },
];

function Apps({ rows }: { rows: AppRow[] }) {
  if (rows.length === 0) return <Nothing title="No Applications">Its agent has told of none. A placement that selects this cluster brings them.</Nothing>;
  return (
    <Card isFlush>
      <Table label="Applications" columns={APPS} rows={rows} keyOf={(row) => `${row.namespace}/${row.name}`} />
    </Card>
  );
}

const WORKLOADS: Column<WorkloadRow>[] = [
  { title: 'Kind', cell: (row) => row.kind },
  { title: 'Name', cell: (row) => <span><span className="m-faint">{row.namespace}/</span>{row.name}</span> },
  { title: 'Ready', cell: (row) => <Bar ready={row.ready} desired={row.desired} isBad={row.health === 'Degraded'} /> },
  { title: 'Health', cell: (row) => <Word word={row.health} /> },
  {
    title: 'Image and what runs',
    className: 'm-wider',
    cell: (row) =>
      row.images.map((image) => (
        <div key={image.image} className="m-mono m-image" title={image.digest}>
          {image.image}
          {image.digest && <span className="m-faint"> {image.digest.replace('sha256:', '').slice(0, 12)}</span>}
        </div>
      )),
  },
  { title: 'Application', cell: (row) => (row.application ? <Go to={appPath(row.application)}>{row.application.split('/').pop()}</Go> : <span className="m-faint">–</span>) },
  { title: 'Says', className: 'm-wide', has: (row) => !!(row.podReason || row.message), cell: (row) => <span className="m-clamp" title={row.podMessage || row.message}>{row.podReason || row.message}</span> },
];

function Workloads({ rows }: { rows: WorkloadRow[] }) {
  if (rows.length === 0) return <Nothing title="No workloads">Its agent has told of none.</Nothing>;
  return (
    <Card isFlush>
      <Table label="Workloads" columns={WORKLOADS} rows={rows} keyOf={(row) => `${row.kind}/${row.namespace}/${row.name}`} />
    </Card>
  );
}

function ClusterEvents({ rows, cluster }: { rows: ActivityRow[]; cluster: string }) {
  if (rows.length === 0) return <Nothing title="Nothing happened yet">What changes on this cluster is listed here.</Nothing>;
  return (
    <Card isFlush>
      <Events rows={rows} isOneCluster />
      <p className="m-after">
        <Go to={`/activity?cluster=${encodeURIComponent(cluster)}`}>All activity of this cluster</Go>
      </p>
    </Card>
  );
}

const CONDITIONS: Column<ConditionRow>[] = [
  { title: 'Condition', cell: (row) => row.type },
  { title: 'Status', cell: (row) => row.status },
  { title: 'Reason', cell: (row) => row.reason },
  { title: 'Since', cell: (row) => <Ago at={row.since} /> },
  { title: 'Message', className: 'm-wide', cell: (row) => row.message },
];

function Details({ data }: { data: ClusterDetail }) {
  const text = (values: Record<string, string>) => Object.entries(values).map(([name, value]): [string, string] => [name, value]);
  return (
    <>
      <Card title="Conditions" isFlush className="m-gap">
        <Table label="Conditions" columns={CONDITIONS} rows={data.conditions} keyOf={(row) => row.type} />
      </Card>
      <div className="m-columns">
        <Card title="Labels">
          <Facts facts={text(data.row.labels)} />
        </Card>
        <Card title="Claims">
          <Facts facts={text(data.claims)} />
        </Card>
        <Card title="Capacity">
          <Facts facts={[...text(data.capacity), ['cluster UID', data.row.uid]]} />
        </Card>
      </div>
      <Card title="The same on a terminal">
        <Command text={`muster get managedclusters ${data.row.name} -o yaml`} />
      </Card>
    </>
  );
}

/** Lets a cluster in that asks to join. It says first what that means. */
function Accept({ row, onDone }: { row: ClusterRow; onDone: () => void }) {
  const [isOpen, setOpen] = useState(false);
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const accept = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await patch(`${KUBERNETES}/apis/cluster.open-cluster-management.io/v1/managedclusters/${encodeURIComponent(row.name)}`, { spec: { hubAcceptsClient: true } });
      setOpen(false);
      onDone();
    } catch (refused) {
      setError(refused instanceof Refusal ? refused.message : String(refused));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button onClick={() => setOpen(true)}>Accept…</Button>
      <Modal variant="small" isOpen={isOpen} onClose={() => setOpen(false)} aria-labelledby="accept">
        <ModalHeader title={`Accept ${row.name}?`} labelId="accept" />
        <ModalBody>
          <p>The cluster gets a namespace and rights of its own on this hub. Every placement that selects it brings its Applications and works there.</p>
          <p>If its agent still waits for a certificate, approve that on a terminal, where the request is checked first:</p>
          <Command label="Accepts the cluster, and approves its certificate" text={`muster accept ${row.name}`} />
          {error && <Alert isInline variant="danger" title="It was not accepted">{error}</Alert>}
        </ModalBody>
        <ModalFooter>
          <Button onClick={() => void accept()} isLoading={isBusy} isDisabled={isBusy}>
            Accept
          </Button>
          <Button variant="link" onClick={() => setOpen(false)}>
            Cancel
          </Button>
        </ModalFooter>
      </Modal>
    </>
  );
}
