// A cell of the matrix of versions: how many clusters, and how they are.

import { numberOfCell, sentenceOfCell, toneOfCell } from '../lib/matrix';
import type { Tone } from '../lib/states';
import type { MatrixCell } from '../lib/types';
import { Go } from './words';

const SIGN: Record<Tone, string> = { good: '✓', moving: '↻', warn: '△', bad: '!', unknown: '◌' };
const LEGEND: [Tone, string][] = [
  ['good', 'Synced and Healthy'],
  ['moving', 'Progressing'],
  ['warn', 'not Synced'],
  ['bad', 'Degraded'],
  ['unknown', 'offline, as last told'],
];

export function Cell({ cell, to }: { cell?: MatrixCell; to: string }) {
  if (!cell || cell.clusters === 0) return <span className="m-cell-none" aria-label="none">·</span>;
  const tone = toneOfCell(cell);
  return (
    <Go to={to} className={`m-cell m-cell-${tone}`} title={sentenceOfCell(cell)}>
      <span aria-hidden="true">{SIGN[tone]}</span> {numberOfCell(cell)}
      {tone !== 'unknown' && cell.current < cell.clusters && <small aria-hidden="true">◌{cell.clusters - cell.current}</small>}
      <span className="pf-v6-screen-reader">{sentenceOfCell(cell)}</span>
    </Go>
  );
}

export function CellLegend() {
  return (
    <ul className="m-legend" aria-label="Legend: the worst of the clusters in a cell">
      {LEGEND.map(([tone, words]) => (
        <li key={tone}>
          <span className={`m-cell m-cell-key m-cell-${tone}`} aria-hidden="true">
            {SIGN[tone]}
          </span>
          {words}
        </li>
      ))}
    </ul>
  );
}
