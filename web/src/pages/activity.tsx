// Activity: what changed in the fleet, and when.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import DownloadIcon from '@patternfly/react-icons/dist/esm/icons/download-icon';
import { READ } from '../lib/api';
import { useData, useThrottled } from '../lib/data';
import { useChanges } from '../lib/live';
import { usePlace, withParams } from '../lib/router';
import type { ActivityRow, Page } from '../lib/types';
import { Card, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Events } from '../parts/events';
import { Chips, Facets, Pager, Search } from '../parts/table';

const PAGE = 100;
const RELOAD_MS = 2000;

export function ActivityPage() {
  const { params } = usePlace();
  const { data, error, isStale, reload } = useData<Page<ActivityRow>>(`/activity${withParams(params, { limit: String(PAGE) })}`);
  const isFirst = !params.get('continue');
  const again = useThrottled(reload, RELOAD_MS);
  // Newer events come to the first page alone: a later page stays as it was while it is read.
  useChanges(data && isFirst ? '?names=' : null, { onFleet: again });
  const csv = `${READ}/activity${withParams(params, { continue: undefined, format: 'csv' })}`;
  return (
    <>
      <Heading
        title="Activity"
        aside={
          <Button component="a" href={csv} download="activity.csv" variant="secondary" icon={<DownloadIcon />} title="The full result, with this filter">
            Export CSV
          </Button>
        }
      >
        What changed, newest first. Times are those of the cluster where it happened.
      </Heading>
      <div className="m-split">
        <aside aria-label="Filters">
          <Search name="q" label="Object contains" />
          <Facets
            facets={data?.facets}
            shown={[
              ['reason', 'What'],
              ['kind', 'Kind'],
              ['cluster', 'Cluster'],
            ]}
          />
        </aside>
        <div>
          <Chips names={{ cluster: 'Cluster', reason: 'What', kind: 'Kind', q: 'Object', since: 'Since' }} />
          {error && !data && <Failure error={error} onRetry={reload} />}
          {!data && !error && <Loading rows={10} />}
          {data && data.items.length === 0 && (
            <Card>
              <Nothing title="Nothing happened">With this filter, nothing is recorded. What clusters report from now on appears here by itself.</Nothing>
            </Card>
          )}
          {data && data.items.length > 0 && (
            <Card isFlush className={isStale ? 'm-stale' : ''}>
              <Events rows={data.items} />
              <Pager shown={data.items.length} total={data.total} next={data.continue} noun="events" />
            </Card>
          )}
        </div>
      </div>
    </>
  );
}
