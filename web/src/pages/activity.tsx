// Activity: what changed in the fleet, and when.

import { READ } from '../lib/api';
import { useData, useThrottled } from '../lib/data';
import { NO_ROWS, useChanges } from '../lib/live';
import { navigate, only, usePlace, withParams } from '../lib/router';
import type { ActivityRow, Page } from '../lib/types';
import { Card, ExportCsv, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Events } from '../parts/events';
import { Chips, Facets, Filters, Pager, Search } from '../parts/table';
import { Go } from '../parts/words';

const PAGE = 100;
const RELOAD_MS = 2000;
const FILTERS = { q: 'Contains', cluster: 'Cluster', app: 'Application', reason: 'What', kind: 'Kind', since: 'Since' };
const SPANS: [string, number][] = [
  ['Last hour', 3600],
  ['Last day', 86_400],
];

export function ActivityPage() {
  const { path, params } = usePlace();
  const asked = only(params, [...Object.keys(FILTERS), 'continue']);
  const { data, error, isStale, reload } = useData<Page<ActivityRow>>(`/activity${withParams(asked, { limit: String(PAGE) })}`);
  const isFirst = !params.get('continue');
  // Newer events come to the first page alone: a later page stays as it was while it is read.
  const again = useThrottled(reload, RELOAD_MS);
  useChanges(data && isFirst ? NO_ROWS : null, { onFleet: again });
  const since = (seconds: number) => new Date(Math.floor(Date.now() / 60_000) * 60_000 - seconds * 1000).toISOString();
  const csv = `${READ}/activity${withParams(asked, { continue: undefined, format: 'csv' })}`;
  return (
    <>
      <Heading
        title="Activity"
        aside={<ExportCsv href={csv} name="activity" />}
      >
        What changed, newest first. Times are those of the cluster where it happened.
      </Heading>
      <div className="m-split">
        <Filters>
          <Search label="Contains" />
          <Search name="cluster" label="On cluster" />
          <div className="m-facets">
            <fieldset>
              <legend>When</legend>
              {SPANS.map(([title, seconds]) => (
                <a
                  key={title}
                  className="m-facet"
                  href={path + withParams(params, { since: since(seconds), continue: undefined })}
                  onClick={(event) => {
                    event.preventDefault();
                    navigate(path + withParams(params, { since: since(seconds), continue: undefined }));
                  }}
                >
                  {title}
                </a>
              ))}
            </fieldset>
          </div>
          <Facets
            facets={data?.facets}
            shown={[
              ['kind', 'Kind'],
              ['reason', 'What'],
            ]}
          />
        </Filters>
        <div>
          <Chips names={FILTERS} />
          {error && !data && <Failure error={error} onRetry={reload} />}
          {!data && !error && <Loading rows={10} />}
          {data && data.items.length === 0 && (
            <Card>
              {data.continue ? (
                <Nothing title="Nothing among the newest">
                  <p>With this filter, nothing is among the newest that were looked through. There is more further back.</p>
                </Nothing>
              ) : (
                <Nothing title="Nothing happened">
                  <p>With this filter, nothing is recorded. What clusters report from now on appears here by itself.</p>
                  {params.size > 0 && <Go to={path}>Show all</Go>}
                </Nothing>
              )}
              {data.continue && <Pager shown={0} next={data.continue} noun="events" />}
            </Card>
          )}
          {data && data.items.length > 0 && (
            <Card isFlush className={isStale ? 'm-stale' : ''}>
              <Events rows={data.items} />
              <Pager shown={data.items.length} next={data.continue} noun="events" />
            </Card>
          )}
        </div>
      </div>
    </>
  );
}
