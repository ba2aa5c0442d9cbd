// The fleet as tiles: which groups there are, what is in them, and how a change reaches them.

import { stateOf, STATES } from './states';
import type { Group, RowsChanged, State, Tile } from './types';

export type GroupBy = 'region' | 'set';

export interface TileGroup {
  name: string;
  tiles: Tile[];
  clusters: number;
  counts: Partial<Record<State, number>>;
  /** Above the number of tiles that the hub tells one by one: the group alone. */
  isAggregate: boolean;
}

export const NO_NAME = 'none';

/** Returns tiles in groups, by name; the tiles of a group by name too, so that a cluster keeps its place. */
export function group(tiles: Iterable<Tile>, by: GroupBy): TileGroup[] {
  const groups = new Map<string, TileGroup>();
  for (const tile of tiles) {
    const name = (by === 'region' ? tile[2] : tile[1]) || NO_NAME;
    let found = groups.get(name);
    if (!found) groups.set(name, (found = { name, tiles: [], clusters: 0, counts: {}, isAggregate: false }));
    found.tiles.push(tile);
    found.clusters += 1;
    const state = stateOf(tile[3]);
    found.counts[state] = (found.counts[state] ?? 0) + 1;
  }
  const all = [...groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const one of all) one.tiles.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return all;
}

/** Returns groups of a fleet that is too large for tiles. */
export function aggregate(groups: Group[], by: GroupBy): TileGroup[] {
  const found = new Map<string, TileGroup>();
  for (const one of groups) {
    const name = (by === 'region' ? one.region : one.set) || NO_NAME;
    const into = found.get(name) ?? { name, tiles: [], clusters: 0, counts: {}, isAggregate: true };
    found.set(name, into);
    into.clusters += one.clusters;
    for (const [word, count] of Object.entries(one.counts)) {
      const state = stateOf(word);
      into.counts[state] = (into.counts[state] ?? 0) + count;
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What came of the stream: changed tiles, or later signs of life. */
export type News = { rows: RowsChanged } | { seen: [string, number][] };

/** Returns tiles after all that came; the same map if nothing is different. However much came, there is one copy. */
export function apply(tiles: Map<string, Tile>, news: News[]): Map<string, Tile> {
  let next = tiles;
  const changed = () => (next === tiles ? (next = new Map(tiles)) : next);
  for (const one of news) {
    if ('seen' in one) {
      for (const [name, at] of one.seen) {
        const tile = next.get(name);
        if (tile && tile[4] < at) changed().set(name, [tile[0], tile[1], tile[2], tile[3], at, tile[5]]);
      }
      continue;
    }
    const { isWhole, tiles: told = [], gone = [] } = one.rows;
    if (isWhole) next = new Map();
    for (const tile of told) {
      // A tile that is the same stays the same object: it is not painted again.
      const known = next.get(tile[0]) ?? (isWhole ? tiles.get(tile[0]) : undefined);
      const isSame = known !== undefined && known.every((part, index) => part === tile[index]);
      if (isSame && next.has(tile[0])) continue;
      changed().set(tile[0], isSame ? known : tile);
    }
    for (const name of gone) if (next.has(name)) changed().delete(name);
  }
  return next;
}

export type Size = 'large' | 'medium' | 'small';

export function size(clusters: number): Size {
  if (clusters <= 150) return 'large';
  return clusters <= 1200 ? 'medium' : 'small';
}

/** Returns what of a name tells it from its neighbours: `0412` of `store-0412`; other names are whole. */
export function shortName(name: string): string {
  return /-(\d{3,})$/.exec(name)?.[1] ?? name;
}

export function worst(counts: Partial<Record<State, number>>): State {
  const states = (Object.keys(counts) as State[]).filter((state) => (counts[state] ?? 0) > 0);
  return states.sort((a, b) => STATES[a].rank - STATES[b].rank)[0] ?? 'Unknown';
}
