// Applications: which version runs in which cluster set.

import '@patternfly/react-styles/css/components/Table/table.css';
import { useState } from 'react';
import { useData, useThrottled } from '../lib/data';
import { NO_ROWS, useChanges } from '../lib/live';
import { isNamed, setsOfAll } from '../lib/matrix';
import { usePlace } from '../lib/router';
import type { MatrixApp, Page } from '../lib/types';
import { Card, Failure, Heading, Loading, Nothing } from '../parts/blocks';
import { Cell, CellLegend } from '../parts/matrix';
import { Search } from '../parts/table';
import { appPath, Commit, Go, Version } from '../parts/words';

const RELOAD_MS = 1500;
/** Of one Application, as many versions are shown at once. */
const VERSIONS_SHOWN = 6;

export function AppsPage() {
  const { params } = usePlace();
  const { data, error, reload } = useData<Page<MatrixApp> | MatrixApp[]>('/apps/matrix');
  const again = useThrottled(reload, RELOAD_MS);
  useChanges(data ? NO_ROWS : null, { onFleet: again });
  if (!data) return error ? <Failure error={error} onRetry={reload} /> : <Loading rows={10} />;
  const all = Array.isArray(data) ? data : data.items;
  const wanted = (params.get('q') ?? '').toLowerCase();
  const apps = all.filter((app) => app.app.toLowerCase().includes(wanted));
  const sets = setsOfAll(apps);
  const hasNames = apps.some((app) => app.versions.some(isNamed));
  return (
    <>
      <Heading title="Applications" aside={<Search label="Application contains" />}>
        Which version runs in which cluster set: the number of clusters, coloured by the worst of them.
      </Heading>
      {apps.length === 0 ? (
        <Card>
          <Nothing title={all.length === 0 ? 'No Applications yet' : 'No Application matches'}>
            {all.length === 0 ? 'A ManifestWorkReplicaSet or an ApplicationSet brings Applications to the clusters of a placement.' : <Go to="/apps">Show all</Go>}
          </Nothing>
        </Card>
      ) : (
        <>
          <CellLegend />
          <Card isFlush>
            <div className="m-scroll">
              <table className="pf-v6-c-table pf-m-compact m-matrix m-spanned" aria-label="Versions by cluster set">
                <thead className="pf-v6-c-table__thead">
                  <tr className="pf-v6-c-table__tr">
                    {['Application', ...(hasNames ? ['Version'] : []), 'Commit'].map((title) => (
                      <th key={title} className="pf-v6-c-table__th" scope="col">
                        {title}
                      </th>
                    ))}
                    {sets.map((set) => (
                      <th key={set} className="pf-v6-c-table__th m-matrix-set" scope="col">
                        {set || 'no set'}
                      </th>
                    ))}
                  </tr>
                </thead>
                {apps.map((app) => (
                  <AppBody key={app.app} app={app} sets={sets} hasNames={hasNames} />
                ))}
              </table>
            </div>
          </Card>
        </>
      )}
    </>
  );
}

function AppBody({ app, sets, hasNames }: { app: MatrixApp; sets: string[]; hasNames: boolean }) {
  const [isAll, setAll] = useState(false);
  const versions = isAll ? app.versions : app.versions.slice(0, VERSIONS_SHOWN);
  const hidden = app.versions.length - versions.length;
  return (
    <tbody className="pf-v6-c-table__tbody">
      {versions.map((version, index) => (
        <tr key={`${version.version}@${version.revision}`} className="pf-v6-c-table__tr">
          {index === 0 && (
            <th className="pf-v6-c-table__th m-matrix-app" scope="rowgroup" rowSpan={versions.length + (hidden > 0 ? 1 : 0)}>
              <Go to={appPath(app.app)}>{app.app.split('/').pop()}</Go>
              <span className="m-faint">
                {app.clusters} {app.clusters === 1 ? 'cluster' : 'clusters'}
              </span>
            </th>
          )}
          {hasNames && (
            <td className="pf-v6-c-table__td" title={version.digest ? `runs ${version.digest}` : undefined}>
              <Version {...version} />
            </td>
          )}
          <td className="pf-v6-c-table__td">
            <Commit revision={version.revision} />
          </td>
          {sets.map((set) => (
            <td key={set} className="pf-v6-c-table__td m-matrix-set">
              <Cell cell={version.sets[set]} to={`${appPath(app.app)}?version=${encodeURIComponent(version.version)}&set=${encodeURIComponent(set)}`} />
            </td>
          ))}
        </tr>
      ))}
      {hidden > 0 && (
        <tr className="pf-v6-c-table__tr">
          <td className="pf-v6-c-table__td" colSpan={(hasNames ? 2 : 1) + sets.length}>
            <button type="button" className="m-sort" onClick={() => setAll(true)}>
              {hidden} more versions
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}
