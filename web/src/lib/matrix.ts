// Which version runs where: the columns of the matrix and how well a cell is.

import type { MatrixApp, MatrixCell, MatrixVersion, SourceRow } from './types';
import type { Tone } from './states';

/** Returns the sets of the Applications, by name; clusters in none last. */
export function setsOf(versions: MatrixVersion[]): string[] {
  const sets = new Set(versions.flatMap((version) => Object.keys(version.sets)));
  return [...sets].sort((a, b) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
}

export function setsOfAll(apps: MatrixApp[]): string[] {
  return setsOf(apps.flatMap((app) => app.versions));
}

/** Whether a version has a name of its own, and is not called by its commit. */
export function isNamed({ version, revision }: { version: string; revision: string }): boolean {
  return version !== '' && !revision.startsWith(version);
}

export interface Source { repo: string; revision: string; paths: string[]; clusters: number }

/** Returns where an Application comes from, paths of one branch together. */
export function sourcesOf(rows: SourceRow[]): Source[] {
  const found = new Map<string, Source>();
  for (const { repo, path, targetRevision: revision, clusters } of rows) {
    const key = `${repo} ${revision}`;
    const source = found.get(key) ?? { repo, revision, paths: [], clusters: 0 };
    found.set(key, source);
    source.paths.push(path);
    source.clusters += clusters;
  }
  return [...found.values()].sort((a, b) => b.clusters - a.clusters);
}

/** How many clusters of a cell are how, worst first; one cluster may be in several. */
function counts(cell: MatrixCell): Record<'bad' | 'warn' | 'moving', number> {
  const { Healthy = 0, Suspended = 0, Progressing = 0, Degraded = 0 } = cell.health;
  const odd = cell.clusters - Healthy - Suspended - Progressing - Degraded;
  return { bad: Degraded, warn: Math.max(cell.clusters - cell.synced, odd), moving: Progressing };
}

/** Returns how a cell is, by its worst cluster; what is old is never good. */
export function toneOfCell(cell: MatrixCell): Tone {
  const { bad, warn, moving } = counts(cell);
  if (bad > 0) return 'bad';
  if (warn > 0) return 'warn';
  if (moving > 0) return 'moving';
  return cell.current === 0 ? 'unknown' : 'good';
}

/** Returns how many are meant: those that are not fine, of all. */
export function numberOfCell(cell: MatrixCell): string {
  const meant = { ...counts(cell), good: cell.clusters, unknown: cell.clusters }[toneOfCell(cell)];
  return meant < cell.clusters ? `${meant} of ${cell.clusters}` : `${cell.clusters}`;
}

export function sentenceOfCell(cell: MatrixCell): string {
  const words = Object.entries(cell.health).sort(([a], [b]) => (a < b ? -1 : 1)).map(([word, count]) => `${count} ${word}`);
  const parts = [`${cell.clusters} ${cell.clusters === 1 ? 'cluster' : 'clusters'}: ${cell.synced} Synced; ${words.join(', ')}`];
  if (cell.current < cell.clusters) parts.push(`${cell.clusters - cell.current} as last told before they went offline`);
  return parts.join('; ');
}
