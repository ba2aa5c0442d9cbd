// The fleet: every cluster a tile, and what needs attention.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { ToggleGroup, ToggleGroupItem } from '@patternfly/react-core/dist/esm/components/ToggleGroup';
import CheckCircleIcon from '@patternfly/react-icons/dist/esm/icons/check-circle-icon';
import { useEffect, useMemo, useRef, useState } from 'react';
import { useData, useThrottled } from '../lib/data';
import { useChanges } from '../lib/live';
import { navigate, toggled, usePlace, withParams } from '../lib/router';
import { ALL_STATES, STATES } from '../lib/states';
import { aggregate, apply, group, type GroupBy, type News } from '../lib/tiles';
import type { Fleet, FleetCounters, Page, Problem, Tile } from '../lib/types';
import { Card, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { ProblemCard } from '../parts/problem';
import { Tiles } from '../parts/tiles';
import { Go } from '../parts/words';

/** Problems are asked for again after changes, not more often than this. */
const PROBLEMS_MS = 1500;
const PROBLEMS_SHOWN = 6;
/** What changes meanwhile is painted together. */
const PAINT_MS = 400;

export function FleetPage() {
  const { path, params } = usePlace();
  const by: GroupBy = params.get('group') === 'set' ? 'set' : 'region';
  const states = (params.get('status') ?? '').split(',').filter(Boolean);
  const fleet = useData<Fleet>('/fleet');
  const problems = useData<Page<Problem>>('/problems');
  const [tiles, setTiles] = useState<Map<string, Tile>>();
  const { data, change } = fleet;
  const isAggregate = (data?.groups?.length ?? 0) > 0;
  useEffect(() => {
    if (data?.tiles) setTiles(new Map(data.tiles.map((tile) => [tile[0], tile])));
    // Later changes come by the stream.
  }, [data?.tiles]);
  const waiting = useRef<News[]>([]);
  const counted = useRef<FleetCounters | undefined>(undefined);
  const paint = useThrottled(() => {
    const news = waiting.current.splice(0);
    const counters = counted.current;
    counted.current = undefined;
    if (news.length > 0) setTiles((old) => old && apply(old, news));
    if (counters) change((old) => ({ ...old, ...counters }));
  }, PAINT_MS);
  const later = (news: News) => {
    waiting.current.push(news);
    paint();
  };
  const reloadProblems = useThrottled(problems.reload, PROBLEMS_MS);
  const reloadFleet = useThrottled(fleet.reload, 5000);
  useChanges(data ? '' : null, {
    onFleet: (counters) => {
      counted.current = counters;
      paint();
      reloadProblems();
      if (isAggregate) reloadFleet();
    },
    onRows: (rows) => later({ rows }),
    onSeen: (seen) => later({ seen }),
  });
  const groups = useMemo(() => (isAggregate ? aggregate(data?.groups ?? [], by) : group(tiles?.values() ?? [], by)), [tiles, by, isAggregate, data?.groups]);
  if (!data) return fleet.error ? <Failure error={fleet.error} onRetry={fleet.reload} /> : <Loading rows={12} />;
  const all = problems.data?.items ?? [];
  return (
    <>
      <Heading title="Fleet">
        {data.clusters} {data.clusters === 1 ? 'cluster' : 'clusters'}
        {data.hub && ` · hub ${data.hub.version}`}
        {(data.hidden ?? 0) > 0 && ` · ${data.hidden} more that you may not see`}
      </Heading>
      <div className="m-numbers">
        <Figure title="Reachable" value={data.current} of={data.clusters} to="/clusters?status=Ready,Progressing,Degraded" hint="Heard within their lease" />
        <Figure title="On target" value={data.onTarget} of={data.clusters} to="/apps" hint="All Applications Synced to what Git says" />
        <Figure title="Degraded" value={data.counts.Degraded ?? 0} to="/clusters?status=Degraded" hint={STATES.Degraded.meaning} isBad={(data.counts.Degraded ?? 0) > 0} />
        <Figure title="Offline" value={data.counts.Offline ?? 0} to="/clusters?status=Offline" hint={STATES.Offline.meaning} isBad={false} />
      </div>
      <div className="m-fleet">
        <Card
          title="Clusters"
          aside={
            <ToggleGroup aria-label="Group by" isCompact>
              {(['region', 'set'] as const).map((one) => (
                <ToggleGroupItem
                  key={one}
                  text={one === 'region' ? 'By region' : 'By set'}
                  isSelected={by === one}
                  onChange={() => navigate(path + withParams(params, { group: one === 'region' ? undefined : one }), 'replace')}
                />
              ))}
            </ToggleGroup>
          }
        >
          <ul className="m-legend" aria-label="Legend; a click shows one state alone">
            {ALL_STATES.filter((state) => state !== 'Unknown' || (data.counts.Unknown ?? 0) > 0).map((state) => (
              <li key={state}>
                <Go
                  to={path + withParams(params, { status: toggled(params.get('status'), state) })}
                  className={states.length > 0 && !states.includes(state) ? 'm-legend-off' : ''}
                  title={`${STATES[state].meaning} ${STATES[state].next}`}
                >
                  <span className={`m-tile m-swatch m-state-${state}`} aria-hidden="true" />
                  {state} <b>{data.counts[state] ?? 0}</b>
                </Go>
              </li>
            ))}
            <li className="m-legend-note">Paler: heard longer ago</li>
          </ul>
          {data.clusters === 0 ? (
            <Nothing title="No clusters yet">
              <p>
                A cluster appears here as soon as it asks to join. <code>muster join --help</code> says how.
              </p>
            </Nothing>
          ) : (
            <Tiles groups={groups} by={by} states={states} clusters={data.clusters} />
          )}
        </Card>
        <section className="m-attention" aria-labelledby="attention">
          <div className="m-card-head">
            <h2 className="pf-v6-c-title pf-m-md" id="attention">
              Attention
            </h2>
            <span className="m-faint">{all.length === 0 ? '' : `${all.length} ${all.length === 1 ? 'cause' : 'causes'}, worst first`}</span>
          </div>
          <Attention data={all} isLoaded={problems.data !== undefined} error={problems.error} onRetry={problems.reload} />
        </section>
      </div>
    </>
  );
}

function Attention({ data, isLoaded, error, onRetry }: { data: Problem[]; isLoaded: boolean; error?: Parameters<typeof Failure>[0]['error']; onRetry: () => void }) {
  const [isAll, setAll] = useState(false);
  if (!isLoaded) return error ? <Failure error={error} onRetry={onRetry} /> : <Loading rows={4} />;
  if (data.length === 0) {
    return (
      <div className="m-card">
        <Nothing title="Nothing needs attention" icon={CheckCircleIcon} isGood>
          <p>No cluster reports a failure. What is offline or wrong is grouped here by its cause.</p>
        </Nothing>
      </div>
    );
  }
  const shown = isAll ? data : data.slice(0, PROBLEMS_SHOWN);
  return (
    <>
      {shown.map((problem) => (
        <ProblemCard key={problem.id} problem={problem} />
      ))}
      {shown.length < data.length && (
        <Button variant="link" onClick={() => setAll(true)}>
          Show {data.length - shown.length} more
        </Button>
      )}
    </>
  );
}

function Figure({ title, value, of, to, hint, isBad }: { title: string; value: number; of?: number; to: string; hint: string; isBad?: boolean }) {
  const share = of ? Math.floor((100 * value) / of) : undefined;
  return (
    <Go to={to} className={`m-figure ${isBad ? 'm-figure-bad' : ''}`} title={hint}>
      <span className="m-figure-title">{title}</span>
      <span className="m-figure-value">
        {value}
        {of !== undefined && <small>/{of}</small>}
      </span>
      {share === undefined ? (
        <span className="m-figure-note">{value === 0 ? 'none' : value === 1 ? 'cluster' : 'clusters'}</span>
      ) : (
        <progress max={of || 1} value={value} aria-label={`${title}: ${share} %`} />
      )}
    </Go>
  );
}
