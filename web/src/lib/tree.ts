// The objects of an Application as a tree: by wave, as they are applied.

import type { ResourceRow } from './types';

export interface Wave { wave: number; resources: ResourceRow[] }

export function waves(resources: ResourceRow[]): Wave[] {
  const found = new Map<number, ResourceRow[]>();
  for (const resource of resources) {
    const wave = found.get(resource.wave) ?? [];
    wave.push(resource);
    found.set(resource.wave, wave);
  }
  const key = (row: ResourceRow) => [row.kind, row.namespace ?? '', row.name].join('/');
  return [...found.entries()].sort(([a], [b]) => a - b).map(([wave, rows]) => ({ wave, resources: rows.sort((a, b) => (key(a) < key(b) ? -1 : 1)) }));
}
