// Tiles: plain links without a component each, so that thousands of them cost little. One tooltip serves all.

import { memo, useCallback, useRef, useState } from 'react';
import { follow } from '../lib/router';
import { STATES, stateOf } from '../lib/states';
import { type GroupBy, NO_NAME, shortName, size, type TileGroup, worst } from '../lib/tiles';
import { ago, fading } from '../lib/time';
import type { State, Tile } from '../lib/types';
import { Go, StateLabel, useClock } from './words';

interface Tip { tile: Tile; left: number; top: number; isBelow: boolean }

export function Tiles({ groups, by, states, clusters }: { groups: TileGroup[]; by: GroupBy; states: string[]; clusters: number }) {
  const now = useClock();
  const [tip, setTip] = useState<Tip>();
  const frame = useRef<HTMLDivElement>(null);
  const tileOf = useCallback(
    (target: EventTarget | null): [HTMLElement, Tile] | undefined => {
      const element = (target as HTMLElement | null)?.closest?.<HTMLElement>('a[data-name]');
      const name = element?.dataset.name;
      for (const group of groups) {
        const tile = group.tiles.find((tile) => tile[0] === name);
        if (element && tile) return [element, tile];
      }
      return undefined;
    },
    [groups],
  );
  const show = (event: React.SyntheticEvent) => {
    const found = tileOf(event.target);
    if (!found || !frame.current) return setTip(undefined);
    const [at, around] = [found[0].getBoundingClientRect(), frame.current.getBoundingClientRect()];
    const left = Math.min(Math.max(at.left + at.width / 2 - around.left, 130), Math.max(130, around.width - 130));
    const isBelow = at.top < 220;
    setTip({ tile: found[1], left, top: (isBelow ? at.bottom + 6 : at.top - 6) - around.top, isBelow });
  };
  const isShown = (state: State) => states.length === 0 || states.includes(state);
  const steps = Math.floor(now / 10_000);
  return (
    <div className={`m-groups m-groups-${size(clusters)}`} ref={frame} onPointerOver={show} onPointerLeave={() => setTip(undefined)} onFocus={show} onBlur={() => setTip(undefined)} onKeyDown={onArrows} onClick={onTile}>
      {groups.map((group, index) => (
        <section key={group.name} className={`m-group m-worst-${worst(group.counts)}`} aria-label={`${by} ${group.name}`}>
          <div className="m-group-head">
            <Go to={group.name === NO_NAME ? '/clusters' : `/clusters?${by}=${encodeURIComponent(group.name)}`}>{group.name === NO_NAME ? `no ${by}` : group.name}</Go>
            <span className="m-faint">{group.clusters}</span>
          </div>
          {group.isAggregate ? <Share group={group} /> : <Grid group={group} size={size(clusters)} isFirst={index === 0} filter={states.join(',')} isShown={isShown} steps={steps} />}
        </section>
      ))}
      {tip && (
        <div className={`m-tip ${tip.isBelow ? 'm-tip-below' : ''}`} role="tooltip" style={{ left: tip.left, top: tip.top }}>
          <strong>{tip.tile[0]}</strong> <StateLabel state={tip.tile[3]} />
          <div>{STATES[stateOf(tip.tile[3])].meaning}</div>
          <div className="m-faint">
            {tip.tile[4] === 0 ? 'Never heard' : `Last heard ${ago(now / 1000 - tip.tile[4])}`}
            {tip.tile[1] && ` · set ${tip.tile[1]}`}
            {tip.tile[2] && ` · ${tip.tile[2]}`}
          </div>
          <div className="m-faint">Applications: {tip.tile[5]}{tip.tile[3] === 'Offline' && ', as last told'}</div>
        </div>
      )}
    </div>
  );
}

interface OneProps { tile: Tile; fade: number; isOff: boolean; isNamed: boolean; isFirst: boolean }

const One = memo(function One({ tile, fade, isOff, isNamed, isFirst }: OneProps) {
  const [name, , , word, seen] = tile;
  const short = isNamed ? shortName(name) : '';
  const heard = seen === 0 ? 'never heard' : `heard ${ago(Date.now() / 1000 - seen)}`;
  return (
    <a
      href={`/clusters/${encodeURIComponent(name)}`}
      data-name={name}
      className={`m-tile m-state-${stateOf(word)} m-fade-${fade}${isOff ? ' m-tile-off' : ''}${short.length > 6 ? ' m-tile-wide' : ''}`}
      aria-label={`${name}, ${word}, ${heard}`}
      tabIndex={isFirst ? 0 : -1}
    >
      {isNamed && <span>{short}</span>}
    </a>
  );
});

/** A change costs a piece of its group, not all of it. */
const PIECE = 100;

interface PieceProps { tiles: Tile[]; size: string; isFirst: boolean; filter: string; isShown: (state: State) => boolean; steps: number }

const Piece = memo(
  function Piece({ tiles, size, isFirst, isShown }: PieceProps) {
    const now = Date.now();
    return tiles.map((tile, index) => (
      <One key={tile[0]} tile={tile} fade={fading(tile[4], now)} isOff={!isShown(stateOf(tile[3]))} isNamed={size === 'large'} isFirst={isFirst && index === 0} />
    ));
  },
  (old, next) => old.size === next.size && old.isFirst === next.isFirst && old.filter === next.filter && old.steps === next.steps && isSame(old.tiles, next.tiles),
);

interface GridProps { group: TileGroup; size: string; isFirst: boolean; filter: string; isShown: (state: State) => boolean; steps: number }

const Grid = memo(
  function Grid({ group, size, isFirst, filter, isShown, steps }: GridProps) {
    const pieces = Array.from({ length: Math.ceil(group.tiles.length / PIECE) }, (_, index) => group.tiles.slice(index * PIECE, (index + 1) * PIECE));
    return (
      <div className="m-tiles">
        {pieces.map((tiles, index) => (
          <Piece key={index} tiles={tiles} size={size} isFirst={isFirst && index === 0} filter={filter} isShown={isShown} steps={steps} />
        ))}
      </div>
    );
  },
  // A group is another object only when one of its tiles is another.
  (old, next) => old.size === next.size && old.isFirst === next.isFirst && old.filter === next.filter && old.steps === next.steps && old.group.name === next.group.name && isSame(old.group.tiles, next.group.tiles),
);

function isSame(old: Tile[], next: Tile[]): boolean {
  return old.length === next.length && old.every((tile, index) => tile === next[index]);
}

/** A group of too many clusters for tiles: how many are how. */
function Share({ group }: { group: TileGroup }) {
  const states = (Object.keys(group.counts) as State[]).filter((state) => group.counts[state]).sort((a, b) => STATES[a].rank - STATES[b].rank);
  return (
    <>
      <div className="m-share" aria-hidden="true">
        {states.map((state) => (
          <span key={state} className={`m-tile m-state-${state}`} style={{ flexGrow: group.counts[state] }} />
        ))}
      </div>
      <p className="m-faint">{states.map((state) => `${group.counts[state]} ${state}`).join(' · ')}</p>
    </>
  );
}

function onTile(event: React.MouseEvent): void {
  const tile = (event.target as HTMLElement).closest<HTMLElement>('a[data-name]');
  if (tile?.dataset.name) follow(event, `/clusters/${encodeURIComponent(tile.dataset.name)}`);
}

/** Moves the focus between tiles: left and right by order, up and down by place. */
function onArrows(event: React.KeyboardEvent<HTMLElement>): void {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const here = (event.target as HTMLElement).closest<HTMLElement>('a[data-name]');
  if (!step || !here) return;
  event.preventDefault();
  const tiles = [...event.currentTarget.querySelectorAll<HTMLElement>('a[data-name]')];
  const index = tiles.indexOf(here);
  let next = tiles[index + (step[0] ?? 0)];
  if (step[1]) {
    const from = here.getBoundingClientRect();
    const ahead = (step[1] > 0 ? tiles.slice(index + 1) : tiles.slice(0, index).reverse()).filter((tile) => {
      const top = tile.getBoundingClientRect().top;
      return step[1]! > 0 ? top > from.top + 2 : top < from.top - 2;
    });
    const row = ahead[0]?.getBoundingClientRect().top;
    const inRow = ahead.filter((tile) => Math.abs(tile.getBoundingClientRect().top - (row ?? 0)) < 2);
    const distance = (tile: HTMLElement) => Math.abs(tile.getBoundingClientRect().left - from.left);
    next = inRow.sort((a, b) => distance(a) - distance(b))[0];
  }
  if (!next) return;
  here.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
