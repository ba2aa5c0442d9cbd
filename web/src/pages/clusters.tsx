// Clusters as a list: filtered, sorted and counted by the hub, page by page.

import { READ } from '../lib/api';
import { useData, useThrottled } from '../lib/data';
import { useChanges } from '../lib/live';
import { only, usePlace, withParams } from '../lib/router';
import { age, secondsSince } from '../lib/time';
import type { ClusterRow, Page } from '../lib/types';
import { Card, ExportCsv, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Chips, type Column, Facets, Filters, Pager, Search, Table } from '../parts/table';
import { Ago, Bar, ClusterLink, Go, Sentence, StateLabel, useClock } from '../parts/words';

const PAGE = 50;
const FILTERS = { q: 'Name', status: 'State', set: 'Set', region: 'Region', version: 'Kubernetes', labelSelector: 'Labels', problem: 'Problem' };
/** Facets and totals are asked for again after changes, not more often than this. */
const COUNTS_MS = 4000;

const COLUMNS: Column<ClusterRow>[] = [
  { title: 'Name', sort: 'name', cell: (row) => <ClusterLink name={row.name} /> },
  { title: 'State', sort: 'state', cell: (row) => <StateLabel state={row.state} /> },
  { title: 'Why', className: 'm-wide', cell: (row) => <Why row={row} /> },
  { title: 'Set', sort: 'set', cell: (row) => row.set || <span className="m-faint">–</span> },
  {
    title: 'Applications',
    cell: (row) => (
      <span title={`${row.appsSynced} of ${row.appsCount} Synced, ${row.appsHealthy} Healthy${row.isCurrent ? '' : ', as last told'}`} className={row.isCurrent ? '' : 'm-faint'}>
        <Bar ready={Math.min(row.appsSynced, row.appsHealthy)} desired={row.appsCount} isBad={row.state === 'Degraded'} />
      </span>
    ),
  },
  { title: 'Kubernetes', sort: 'version', cell: (row) => row.kubernetesVersion || <span className="m-faint">–</span> },
  { title: 'Last heard', sort: 'lastSeen', cell: (row) => <Ago at={row.lastSeen} fallback="never" /> },
];

/** Of what is well it is enough to know since when. */
function Why({ row }: { row: ClusterRow }) {
  const now = useClock();
  if (row.state !== 'Ready' || !row.stateSince) return <span className="m-clamp" title={row.stateReason}><Sentence text={row.stateReason} /></span>;
  return (
    <span className="m-faint" title={row.stateReason}>
      For {age(secondsSince(row.stateSince, now))}
    </span>
  );
}

export function ClustersPage() {
  const { params } = usePlace();
  const asked = only(params, [...Object.keys(FILTERS), 'sort', 'continue']);
  const { data, error, isStale, reload, change } = useData<Page<ClusterRow>>(`/clusters${withParams(asked, { limit: String(PAGE) })}`);
  const names = data?.items.map((row) => row.name) ?? [];
  const reloadCounts = useThrottled(reload, COUNTS_MS);
  useChanges(names.length > 0 && !isStale ? `?names=${names.map(encodeURIComponent).join(',')}` : null, {
    onFleet: reloadCounts,
    onRows: ({ rows, gone }) => {
      const changed = new Map((rows ?? []).map((row) => [row.name, row]));
      change((page) => ({ ...page, items: page.items.filter((row) => !gone?.includes(row.name)).map((row) => changed.get(row.name) ?? row) }));
    },
  });
  const csv = `${READ}/clusters${withParams(asked, { continue: undefined, format: 'csv' })}`;
  return (
    <>
      <Heading
        title="Clusters"
        aside={<ExportCsv href={csv} name="clusters" />}
      >
        {data ? `${data.total} ${data.total === 1 ? 'cluster matches' : 'clusters match'}` : ' '}
      </Heading>
      <div className="m-split">
        <Filters>
          <Search label="Name contains" />
          <Facets
            facets={data?.facets}
            shown={[
              ['status', 'State'],
              ['region', 'Region'],
              ['set', 'Set'],
              ['version', 'Kubernetes'],
            ]}
          />
        </Filters>
        <div>
          <Chips names={FILTERS} />
          {error && !data && <Failure error={error} onRetry={reload} />}
          {!data && !error && <Loading rows={12} />}
          {data && data.items.length === 0 && (
            <Card>
              <Nothing title="No cluster matches">
                <p>
                  {data.total === 0 && params.size === 0 ? 'None has asked to join yet.' : 'Remove a filter, or '}
                  {params.size > 0 && <Go to="/clusters">show all</Go>}
                </p>
              </Nothing>
            </Card>
          )}
          {data && data.items.length > 0 && (
            <Card isFlush className={isStale ? 'm-stale' : ''}>
              <Table label="Clusters" columns={COLUMNS} rows={data.items} keyOf={(row) => row.name} isBusy={isStale} />
              <Pager shown={data.items.length} total={data.total} next={data.continue} noun={data.total === 1 ? 'cluster' : 'clusters'} />
            </Card>
          )}
        </div>
      </div>
    </>
  );
}
