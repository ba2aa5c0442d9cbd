// A problem: one cause, on however many clusters, with what to do about it.

import ExclamationCircleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import ExclamationTriangleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon';
import InfoCircleIcon from '@patternfly/react-icons/dist/esm/icons/info-circle-icon';
import type { Problem } from '../lib/types';
import { Command } from './blocks';
import { Ago, appPath, ClusterLink, Commit, Go, Sentence } from './words';

const ICON = { Critical: <ExclamationCircleIcon />, Warning: <ExclamationTriangleIcon />, Info: <InfoCircleIcon /> };

export function ProblemCard({ problem, isHere = false }: { problem: Problem; isHere?: boolean }) {
  const serving = problem.stillServing;
  return (
    <article className={`m-problem m-severity-${problem.severity}`} aria-label={problem.title}>
      <div className="m-problem-head">
        <span className="m-problem-icon" title={problem.severity}>
          {ICON[problem.severity] ?? ICON.Info}
          <span className="pf-v6-screen-reader">{problem.severity}</span>
        </span>
        <h3><Sentence text={problem.title} /></h3>
      </div>
      <p className="m-problem-meta">
        <span className="m-kind">{problem.kind}</span>
        {!isHere && (
          <Go to={`/clusters?${problem.filter}`}>
            {problem.clusters} {problem.clusters === 1 ? 'cluster' : 'clusters'}
          </Go>
        )}
        <span>
          since <Ago at={problem.since} fallback="unknown" />
        </span>
      </p>
      {problem.reason && <p className="m-problem-reason">{problem.reason}</p>}
      {serving && (
        <p className={serving.yes === serving.of ? 'm-serving-yes' : 'm-serving-no'}>
          {serving.yes === serving.of ? '✓' : '✗'} Previous version still serving {serving.yes}/{serving.of}
        </p>
      )}
      <dl className="m-problem-facts">
        {problem.app && (
          <div>
            <dt>Application</dt>
            <dd>
              <Go to={appPath(problem.app)}>{problem.app}</Go>
            </dd>
          </div>
        )}
        {problem.image && (
          <div>
            <dt>Image</dt>
            <dd>
              <code>{problem.image}</code>
            </dd>
          </div>
        )}
        {problem.source && (
          <div>
            <dt>Source</dt>
            <dd>
              <code>{problem.source}</code>
              {problem.revision && (
                <>
                  {' '}
                  at <Commit revision={problem.revision} />
                </>
              )}
            </dd>
          </div>
        )}
        {!isHere && problem.sample.length > 0 && (
          <div>
            <dt>On</dt>
            <dd className="m-sample">
              {problem.sample.map((name) => (
                <ClusterLink key={name} name={name} />
              ))}
              {problem.clusters > problem.sample.length && <Go to={`/clusters?${problem.filter}`}>and {problem.clusters - problem.sample.length} more</Go>}
            </dd>
          </div>
        )}
      </dl>
      {problem.remedy && <Command text={problem.remedy} />}
    </article>
  );
}
