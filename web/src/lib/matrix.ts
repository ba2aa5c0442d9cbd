// Which version runs where: the columns of the matrix and how well a cell is.

import type { MatrixApp, MatrixCell, MatrixVersion } from './types';
import type { Tone } from './states';

/** Returns the sets of the Applications, by name; clusters in none last. */
export function setsOf(versions: MatrixVersion[]): string[] {
  const sets = new Set(versions.flatMap((version) => Object.keys(version.sets)));
  return [...sets].sort((a, b) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
}

export function setsOfAll(apps: MatrixApp[]): string[] {
  return setsOf(apps.flatMap((app) => app.versions));
}

/** Returns how a cell is, by its worst cluster; what is old is never good. */
export function toneOfCell(cell: MatrixCell): Tone {
  if (cell.synced < cell.clusters) return 'warn';
  if (cell.healthy < cell.clusters) return 'bad';
  return cell.current === 0 ? 'unknown' : 'good';
}

/** Returns how many are meant: those that are wrong, of all. */
export function numberOfCell(cell: MatrixCell): string {
  const fine = { warn: cell.synced, bad: cell.healthy, good: 0, moving: 0, unknown: 0 }[toneOfCell(cell)];
  return fine > 0 ? `${cell.clusters - fine} of ${cell.clusters}` : `${cell.clusters}`;
}

export function sentenceOfCell(cell: MatrixCell): string {
  const parts = [`${cell.clusters} ${cell.clusters === 1 ? 'cluster' : 'clusters'}: ${cell.synced} Synced, ${cell.healthy} Healthy`];
  if (cell.current < cell.clusters) parts.push(`${cell.clusters - cell.current} as last told before they went offline`);
  return parts.join('; ');
}
