// One Application: its versions, its clusters, and on one of them its objects.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { READ } from '../lib/api';
import { useData, useThrottled } from '../lib/data';
import { NO_ROWS, useChanges } from '../lib/live';
import { isNamed, setsOf, sourcesOf } from '../lib/matrix';
import { navigate, only, usePlace, withParams } from '../lib/router';
import { waves } from '../lib/tree';
import type { AppDetail, AppRow, AppTree, ResourceRow } from '../lib/types';
import { Card, Command, ExportCsv, Facts, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Cell } from '../parts/matrix';
import { ProblemCard } from '../parts/problem';
import { Chips, type Column, Facets, Filters, Pager, Search, Table } from '../parts/table';
import { Ago, appPath, ClusterLink, Commit, Gap, Go, Health, Version, Word } from '../parts/words';

const PAGE = 50;
const RELOAD_MS = 1500;
const FILTERS = { q: 'Cluster', sync: 'Sync', health: 'Health', version: 'Version', set: 'Set' };

export function AppPage({ namespace, name }: { namespace: string; name: string }) {
  const { path, params } = usePlace();
  const cluster = params.get('cluster');
  const asked = only(params, [...Object.keys(FILTERS), 'sort', 'continue']);
  const query = withParams(asked, { limit: String(PAGE) });
  const { data, error, isStale, reload } = useData<AppDetail>(`/apps/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}${query}`);
  const again = useThrottled(reload, RELOAD_MS);
  useChanges(data && !cluster ? NO_ROWS : null, { onFleet: again });
  const app = `${namespace}/${name}`;
  const before = (
    <p className="m-crumbs">
      <Go to="/apps">Applications</Go> <span aria-hidden="true">/</span> {cluster && <><Go to={path + withParams(params, { cluster: undefined })}>{name}</Go> <span aria-hidden="true">/</span></>}
    </p>
  );
  if (cluster) return <OnCluster app={app} namespace={namespace} name={name} cluster={cluster} before={before} />;
  if (!data) {
    return (
      <>
        <Heading before={before} title={name} />
        {error ? <Failure error={error} onRetry={reload} /> : <Loading />}
      </>
    );
  }
  const sets = setsOf(data.versions);
  const hasNames = data.versions.some(isNamed);
  const hasDigests = data.versions.some((version) => version.digest);
  const columns = rowColumns((row) => path + withParams(params, { cluster: row.cluster }));
  const csv = `${READ}/apps${withParams(asked, { namespace, name, continue: undefined, format: 'csv' })}`;
  return (
    <>
      <Heading
        before={before}
        title={name}
        aside={<ExportCsv href={csv} name={name} />}
      >
        {sourcesOf(data.sources).map(({ repo, revision, paths, clusters }) => (
          <span key={`${repo} ${revision}`} className="m-source" title={[repo, ...paths].join('\n')}>
            {repo.split('/').pop()?.replace(/\.git$/, '')}
            {paths.length === 1 ? `/${paths[0]}` : `, ${paths.length} paths,`} at <b>{revision}</b> on {clusters} {clusters === 1 ? 'cluster' : 'clusters'}
          </span>
        ))}
      </Heading>
      {data.problems.length > 0 && (
        <div className="m-problems" aria-label="Problems of this Application">
          {data.problems.map((problem) => (
            <ProblemCard key={problem.id} problem={problem} />
          ))}
        </div>
      )}
      <Card title="Versions" isFlush className="m-gap">
        <div className="m-scroll">
          <table className="pf-v6-c-table pf-m-compact m-matrix" aria-label="Versions by cluster set">
            <thead className="pf-v6-c-table__thead">
              <tr className="pf-v6-c-table__tr">
                {[...(hasNames ? ['Version'] : []), 'Commit', ...(hasDigests ? ['Image digest'] : []), ...sets.map((set) => set || 'no set')].map((title, index, all) => (
                  <th key={title} className={`pf-v6-c-table__th ${index >= all.length - sets.length ? 'm-matrix-set' : ''}`} scope="col">
                    {title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody className="pf-v6-c-table__tbody">
              {data.versions.map((version) => (
                <tr key={`${version.version}@${version.revision}`} className="pf-v6-c-table__tr">
                  {hasNames && (
                    <td className="pf-v6-c-table__td">
                      <Version {...version} />
                    </td>
                  )}
                  <td className="pf-v6-c-table__td">
                    <Commit revision={version.revision} />
                  </td>
                  {hasDigests && (
                    <td className="pf-v6-c-table__td">
                      <code className="m-mono m-faint">{version.digest ? version.digest.slice(0, 19) : '–'}</code>
                    </td>
                  )}
                  {sets.map((set) => (
                    <td key={set} className="pf-v6-c-table__td m-matrix-set">
                      <Cell cell={version.sets[set]} to={path + withParams(params, { version: version.version, set, continue: undefined })} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <div className="m-split">
        <Filters>
          <Search label="Cluster contains" />
          <Facets
            facets={data.rows.facets}
            shown={[
              ['sync', 'Sync'],
              ['health', 'Health'],
              ['version', 'Version'],
              ['set', 'Set'],
            ]}
          />
        </Filters>
        <div>
          <Chips names={FILTERS} />
          {data.rows.items.length === 0 ? (
            <Card>
              <Nothing title="No cluster matches">
                <Go to={path}>Show all</Go>
              </Nothing>
            </Card>
          ) : (
            <Card isFlush className={isStale ? 'm-stale' : ''}>
              <Table label="Clusters of this Application" columns={columns} rows={data.rows.items} keyOf={(row) => row.cluster} isBusy={isStale} />
              <Pager shown={data.rows.items.length} total={data.rows.total} next={data.rows.continue} noun={data.rows.total === 1 ? 'cluster' : 'clusters'} />
            </Card>
          )}
        </div>
      </div>
    </>
  );
}

function rowColumns(treeOf: (row: AppRow) => string): Column<AppRow>[] {
  return [
    { title: 'Cluster', sort: 'cluster', cell: (row) => <ClusterLink name={row.cluster} /> },
    { title: 'Sync', cell: (row) => <Word word={row.sync} isOld={!row.isCurrent} /> },
    { title: 'Health', cell: (row) => <Health row={row} /> },
    { title: 'Behind', has: (row) => row.isManual === true, cell: (row) => <Gap row={row} /> },
    { title: 'Version', has: isNamed, cell: (row) => <Version {...row} /> },
    { title: 'Commit', cell: (row) => <Commit revision={row.revision} /> },
    { title: 'Objects', cell: (row) => <Go to={treeOf(row)} title="The objects of this Application on this cluster">{row.resourcesCount} objects</Go> },
    { title: 'Told', cell: (row) => <span className={row.isCurrent ? '' : 'm-faint'}><Ago at={row.receivedAt} />{!row.isCurrent && ' (old)'}</span> },
    { title: 'Message', className: 'm-wide', has: (row) => !!row.message, cell: (row) => <span className="m-clamp" title={row.message}>{row.message}</span> },
  ];
}

function OnCluster({ app, namespace, name, cluster, before }: { app: string; namespace: string; name: string; cluster: string; before: React.ReactNode }) {
  const { path, params } = usePlace();
  const { data, error, reload } = useData<AppTree>(`${appPath(app)}/tree?cluster=${encodeURIComponent(cluster)}`);
  const again = useThrottled(reload, RELOAD_MS);
  useChanges(data ? `?names=${encodeURIComponent(cluster)}` : null, { onRows: again });
  const only = params.get('show') === 'attention';
  if (!data) {
    return (
      <>
        <Heading before={before} title={cluster} />
        {error ? <Failure error={error} onRetry={reload} /> : <Loading />}
      </>
    );
  }
  const { row } = data;
  const isFine = (resource: ResourceRow) => (resource.sync === 'Synced' || resource.sync === '') && (resource.health === 'Healthy' || resource.health === '');
  const shown = only ? data.resources.filter((resource) => !isFine(resource)) : data.resources;
  const wrong = data.resources.filter((resource) => !isFine(resource)).length;
  return (
    <>
      <Heading
        before={before}
        title={
          <>
            {name} <span className="m-faint">on</span> <ClusterLink name={cluster} />
          </>
        }
      >
        {row.message}
      </Heading>
      <Card className="m-gap">
        <Facts
          facts={[
            ['Sync', <Word key="s" word={row.sync} isOld={!row.isCurrent} />],
            ['Health', <Health key="h" row={row} />],
            ...(isNamed(row) ? ([['Version', row.version]] satisfies [string, string][]) : []),
            ['Commit', <Commit key="c" revision={row.revision} />],
            ...(row.isManual ? ([['Behind its branch', <Gap key="b" row={row} />]] satisfies [string, React.ReactNode][]) : []),
            ['Last synced', <span key="l"><Ago at={row.syncedAt} fallback="never" /></span>],
            ['Engine', row.engine],
            ['Follows', `${row.targetRevision} · ${row.path}`],
            ['Told', <Ago key="t" at={row.receivedAt} />],
          ]}
        />
      </Card>
      <Card
        title="Objects"
        isFlush
        aside={
          wrong > 0 && (
            <Button variant="link" size="sm" onClick={() => navigate(path + withParams(params, { show: only ? undefined : 'attention' }), 'replace')}>
              {only ? `Show all ${data.resources.length}` : `Show only the ${wrong} that need attention`}
            </Button>
          )
        }
      >
        {shown.length === 0 ? (
          <Nothing title="No objects">The agent has told of none.</Nothing>
        ) : (
          <ul className="m-tree">
            <li className="m-tree-root">
              <span className="m-kind">Application</span> <b>{app}</b>
            </li>
            {waves(shown).map((wave) => (
              <li key={wave.wave}>
                <span className="m-tree-wave">wave {wave.wave}</span>
                <ul>
                  {wave.resources.map((resource) => (
                    <Resource key={`${resource.group}/${resource.kind}/${resource.namespace}/${resource.name}`} resource={resource} />
                  ))}
                </ul>
              </li>
            ))}
          </ul>
        )}
        {(data.resourcesCut ?? 0) > 0 && <p className="m-after">{data.resourcesCut} more objects are not listed: an agent tells of a bounded number.</p>}
      </Card>
      <Card title="What differs from Git" className="m-gap-before">
        <p className="m-hint">The same command with another revision shows what a change would do, grouped by distinct result.</p>
        <Command text={`muster app diff ${namespace}/${name} --cluster ${cluster}`} />
      </Card>
    </>
  );
}

function Resource({ resource }: { resource: ResourceRow }) {
  return (
    <li className="m-resource">
      <span className="m-kind" title={resource.group || 'core'}>
        {resource.kind}
      </span>
      <span className="m-resource-name">
        {resource.namespace && <span className="m-faint">{resource.namespace}/</span>}
        {resource.name}
      </span>
      {resource.sync && <Word word={resource.sync} />}
      {resource.health && <Word word={resource.health} />}
      {(resource.message || (resource.images ?? []).length > 0) && (
        <span className="m-resource-more">
          {resource.message}
          {resource.images?.map((image) => (
            <code key={image.image} className="m-mono" title={image.digest}>
              {image.image}
            </code>
          ))}
        </span>
      )}
    </li>
  );
}
