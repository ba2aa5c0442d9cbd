// What happened, newest first.

import type { ActivityRow } from '../lib/types';
import { secondsSince, full } from '../lib/time';
import { type Column, Table } from './table';
import { Ago, appPath, ClusterLink, Go, Sentence, Word } from './words';

/** The hub knew this much later than it happened: the cluster was away, or its clock is wrong. */
const LATE_SECONDS = 30;

const TIME: Column<ActivityRow> = {
  title: 'When',
  cell: (row) => {
    const late = secondsSince(row.at, Date.parse(row.receivedAt));
    return (
      <>
        <Ago at={row.at} />
        {late > LATE_SECONDS && (
          <span className="m-badge" title={`Happened ${full(row.at)}, known ${full(row.receivedAt)}`}>
            told late
          </span>
        )}
      </>
    );
  },
};
const REST: Column<ActivityRow>[] = [
  { title: 'What', cell: (row) => <Word word={row.reason} /> },
  {
    title: 'Object',
    cell: (row) => (
      <>
        <span className="m-faint">{row.kind} </span>
        {row.kind === 'Application' && row.object.includes('/') ? <Go to={`${appPath(row.object)}?cluster=${encodeURIComponent(row.cluster)}`}>{row.object}</Go> : row.object}
      </>
    ),
  },
  { title: 'Message', className: 'm-wide', cell: (row) => <span className="m-clamp" title={row.message}><Sentence text={row.message} /></span> },
];
const CLUSTER: Column<ActivityRow> = { title: 'Cluster', cell: (row) => <ClusterLink name={row.cluster} /> };

export function Events({ rows, isOneCluster = false }: { rows: ActivityRow[]; isOneCluster?: boolean }) {
  const columns = isOneCluster ? [TIME, ...REST] : [TIME, CLUSTER, ...REST];
  return <Table label="What happened" columns={columns} rows={rows} keyOf={(row) => [row.at, row.receivedAt, row.cluster, row.kind, row.object, row.reason].join()} />;
}
