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

/** Returns how a cell is: what is old is never good. */
export function toneOfCell(cell: MatrixCell): Tone {
  if (cell.healthy < cell.clusters && cell.synced === cell.clusters) return 'bad';
  if (cell.synced < cell.clusters) return 'warn';
  return cell.current < cell.clusters ? 'unknown' : 'good';
}

export function sentenceOfCell(cell: MatrixCell): string {
  const parts = [`${cell.clusters} ${cell.clusters === 1 ? 'cluster' : 'clusters'}: ${cell.synced} Synced, ${cell.healthy} Healthy`];
  if (cell.current < cell.clusters) parts.push(`${cell.clusters - cell.current} as last told before they went offline`);
  return parts.join('; ');
}
