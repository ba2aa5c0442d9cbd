import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { patch, signOut } from '../../src/lib/api';
import { isOverdue, sentenceOfGap } from '../../src/lib/gap';
import { keepOpen } from '../../src/lib/live';
import { numberOfCell, sentenceOfCell, setsOf, toneOfCell } from '../../src/lib/matrix';
import { span, stretches } from '../../src/lib/ribbon';
import { decoded, toggled, withParams } from '../../src/lib/router';
import { ALL_STATES, stateOf, toneOf } from '../../src/lib/states';
import { aggregate, apply, group, shortName, size, worst } from '../../src/lib/tiles';
import { age, ago, fading } from '../../src/lib/time';
import { waves } from '../../src/lib/tree';
import type { RowsChanged, Tile } from '../../src/lib/types';

const tile = (name: string, region: string, state: Tile[3] = 'Ready', seen = 1000): Tile => [name, 'set', region, state, seen, 'Ready'];
const fleet = (...tiles: Tile[]) => new Map(tiles.map((tile) => [tile[0], tile]));

describe('a gap', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  const since = '2026-11-12T11:00:00Z';

  it('says how many commits and since when, as far as that is known', () => {
    expect(sentenceOfGap({ commits: 9, since }, now)).toBe('9 commits for 11 d');
    expect(sentenceOfGap({ commits: 1, since }, now)).toBe('1 commit for 11 d');
    expect(sentenceOfGap({ commits: 1000, isMore: true }, now)).toBe('over 1000 commits');
    expect(sentenceOfGap({ since }, now)).toBe('behind for 11 d');
  });

  it('is late from its deadline on', () => {
    expect([{ dueAt: '2026-11-23T12:00:00Z' }, { dueAt: '2026-11-23T12:00:01Z' }, {}].map((gap) => isOverdue(gap, now))).toEqual([true, false, false]);
  });
});

describe('tiles', () => {
  it('are grouped by region and sorted, so that a cluster keeps its place', () => {
    const groups = group([tile('b', 'west'), tile('c', 'east', 'Offline'), tile('a', 'west'), tile('d', '')], 'region');
    expect(groups.map((one) => [one.name, one.tiles.map((tile) => tile[0])])).toEqual([['east', ['c']], ['none', ['d']], ['west', ['a', 'b']]]);
    expect(worst(groups[0]!.counts)).toBe('Offline');
  });

  it('change only where something is different', () => {
    const before = fleet(tile('a', 'x'), tile('b', 'x'));
    const rows = (rows: RowsChanged) => ({ rows });
    expect(apply(before, [rows({ tiles: [tile('a', 'x')], gone: ['unheard-of'] })])).toBe(before);
    const whole = apply(before, [rows({ isWhole: true, tiles: [tile('a', 'x')] })]);
    expect([...whole.keys()], 'what is not named is not in sight').toEqual(['a']);
    expect(whole.get('a'), 'what is the same is not painted again').toBe(before.get('a'));
    const after = apply(before, [rows({ tiles: [tile('a', 'x', 'Offline')] }), rows({ tiles: [tile('a', 'x', 'Degraded'), tile('c', 'x')], gone: ['b'] })]);
    expect([...after.keys()]).toEqual(['a', 'c']);
    expect(after.get('a')![3]).toBe('Degraded');
    expect(before.get('a')![3]).toBe('Ready');
  });

  it('take later signs of life, and never earlier ones', () => {
    const before = fleet(tile('a', 'x', 'Ready', 100));
    expect(apply(before, [{ seen: [['a', 90], ['b', 200]] }])).toBe(before);
    expect(apply(before, [{ seen: [['a', 110]] }, { seen: [['a', 105]] }]).get('a')![4]).toBe(110);
  });

  it('are aggregates in a fleet that is too large for them', () => {
    const of = (set: string, region: string, Ready: number) => ({ set, region, clusters: Ready + 1, counts: { Ready, Offline: 1 }, oldestSeen: 0 });
    const groups = aggregate([of('s1', 'east', 3000), of('s2', 'east', 2000), of('s1', 'west', 1)], 'region');
    expect(groups.map((one) => [one.name, one.clusters, one.counts.Ready])).toEqual([['east', 5002, 5000], ['west', 2, 1]]);
    expect([size(55), size(1000), size(5000)]).toEqual(['large', 'medium', 'small']);
  });

  it('are named by what tells them apart', () => {
    expect(['store-0412', 'web-us-east', 'store-sim-01'].map(shortName)).toEqual(['0412', 'web-us-east', 'store-sim-01']);
  });
});

describe('age', () => {
  it('is told in one unit', () => {
    expect([0, 59, 100, 3600, 86400, 86400 * 5].map(age)).toEqual(['now', '59 s', '1 min', '60 min', '24 h', '5 d']);
    expect(ago(0.2)).toBe('now');
  });

  it('fades a tile in steps, and not one that was never heard', () => {
    const now = 1_000_000_000;
    expect([0, 10, 200, 3600, 86400].map((seconds) => fading(now / 1000 - seconds, now))).toEqual([0, 0, 1, 2, 3]);
    expect(fading(0, now)).toBe(0);
  });
});

describe('states', () => {
  it('have an order, worst first, and words of other versions are unknown', () => {
    expect(ALL_STATES[0]).toBe('Offline');
    expect(ALL_STATES.at(-1)).toBe('Ready');
    expect(stateOf('Sleeping')).toBe('Unknown');
    expect(toneOf('Sleeping')).toBe('unknown');
  });
});

describe('the URL', () => {
  it('holds filters readably, and loses what is empty', () => {
    const params = new URLSearchParams('status=Ready,Offline&q=x');
    expect(withParams(params, { q: undefined })).toBe('?status=Ready,Offline');
    expect(withParams(params, { status: toggled('Ready,Offline', 'Ready'), q: 'a b' })).toBe('?status=Offline&q=a+b');
    expect(withParams(new URLSearchParams('q=x'), { q: '' })).toBe('');
    expect(toggled(null, 'Ready')).toBe('Ready');
  });
});

describe('the ribbon', () => {
  const at = (seconds: number) => new Date(seconds * 1000).toISOString();
  it('joins equal states and says what is not known', () => {
    const bands = stretches([{ at: at(300), state: 'Offline' }, { at: at(100), state: 'Ready' }, { at: at(200), state: 'Ready' }], 50_000, 400_000);
    expect(bands.map((band) => [band.state, band.from / 1000, band.to / 1000])).toEqual([['Unknown', 50, 100], ['Ready', 100, 300], ['Offline', 300, 400]]);
  });
  it('begins with the state that was before it', () => {
    const bands = stretches([{ at: at(100), state: 'Ready' }, { at: at(900), state: 'Offline' }], 500_000, 1_000_000);
    expect(bands.map((band) => band.state)).toEqual(['Ready', 'Offline']);
    expect(span([{ at: at(0), state: 'Ready' }], 90_000_000)).toBe(24 * 3600_000);
  });
});

describe('the matrix', () => {
  const cell = (clusters: number, synced: number, healthy: number, current = clusters, wrong = 'Degraded') => {
    const health = { Healthy: healthy, ...(healthy < clusters && { [wrong]: clusters - healthy }) };
    return { clusters, synced, healthy, health, current };
  };
  it('shows the worst, and never old knowledge alone as good', () => {
    expect(toneOfCell(cell(3, 3, 3))).toBe('good');
    expect(toneOfCell(cell(3, 3, 2))).toBe('bad');
    expect(toneOfCell(cell(3, 2, 3))).toBe('warn');
    expect(toneOfCell(cell(3, 3, 3, 0))).toBe('unknown');
    expect(numberOfCell(cell(17, 17, 16))).toBe('1 of 17');
    expect(numberOfCell(cell(2, 2, 0))).toBe('2');
    expect(numberOfCell(cell(3, 3, 3))).toBe('3');
  });
  it('tells what moves from what is broken', () => {
    expect(toneOfCell(cell(5, 4, 2, 5, 'Progressing'))).toBe('warn');
    expect(toneOfCell(cell(5, 5, 2, 5, 'Progressing'))).toBe('moving');
    expect(numberOfCell(cell(5, 5, 2, 5, 'Progressing'))).toBe('3 of 5');
    expect(toneOfCell(cell(5, 5, 2, 5, 'Missing'))).toBe('warn');
    expect(toneOfCell(cell(5, 5, 2, 5, 'Suspended'))).toBe('good');
    expect(toneOfCell(cell(5, 4, 2))).toBe('bad');
    expect(sentenceOfCell(cell(5, 5, 2, 4, 'Progressing'))).toBe('5 clusters: 5 Synced; 2 Healthy, 3 Progressing; 1 as last told before they went offline');
  });
  it('has the clusters of no set last', () => {
    const version = (...sets: string[]) => ({ version: '1', revision: '', clusters: 1, sets: Object.fromEntries(sets.map((set) => [set, cell(1, 1, 1)])) });
    expect(setsOf([version('b', ''), version('a')])).toEqual(['a', 'b', '']);
  });
});

describe('the tree', () => {
  it('is in waves, as objects are applied', () => {
    const resource = (kind: string, name: string, wave: number) => ({ kind, name, wave, sync: 'Synced', health: '' });
    const found = waves([resource('Service', 's', 0), resource('Job', 'j', 2), resource('ConfigMap', 'c', 0), resource('Namespace', 'n', -1)]);
    expect(found.map((wave) => [wave.wave, wave.resources.map((row) => row.name)])).toEqual([[-1, ['n']], [0, ['c', 's']], [2, ['j']]]);
  });
});

describe('a stream', () => {
  class Source {
    readyState = 0;
    onopen: (() => void) | null = null;
    onerror: (() => void) | null = null;
    close = () => void (this.readyState = 2);
    fails(state: number) {
      this.readyState = state;
      this.onerror?.();
    }
  }
  const opened: Source[] = [];
  const told: boolean[] = [];
  const begin = () =>
    keepOpen(
      () => {
        opened.push(new Source());
        return opened.at(-1) as unknown as EventSource;
      },
      (live) => told.push(live),
    );
  beforeEach(() => {
    vi.useFakeTimers();
    opened.length = told.length = 0;
  });
  afterEach(() => void vi.useRealTimers());

  it('that is refused is opened again, ever later, and soon again once it was open', () => {
    begin();
    for (const seconds of [2, 4, 8, 16, 30, 30]) {
      const before = opened.length;
      opened.at(-1)!.fails(2);
      vi.advanceTimersByTime(seconds * 1000 - 1);
      expect(opened.length).toBe(before);
      vi.advanceTimersByTime(1);
      expect(opened.length).toBe(before + 1);
    }
    opened.at(-1)!.onopen?.();
    opened.at(-1)!.fails(2);
    vi.advanceTimersByTime(2000);
    expect(opened.length).toBe(8);
    expect(told.filter(Boolean)).toHaveLength(1);
  });

  it('that broke is left to the browser, and one that was closed stays so', () => {
    const stream = begin();
    opened[0]!.fails(0);
    vi.advanceTimersByTime(60_000);
    expect(opened.length).toBe(1);
    opened[0]!.fails(2);
    stream.close();
    vi.advanceTimersByTime(60_000);
    expect(opened.length).toBe(1);
  });
});

describe('a path', () => {
  it('is decoded part by part, and taken as it is where it is no encoding', () => {
    expect(decoded('/apps/a%2Fb/%E4%B8%AD')).toEqual(['apps', 'a/b', '中']);
    expect(decoded('/clusters/100%/x%zz')).toEqual(['clusters', '100%', 'x%zz']);
  });
});

describe('a change', () => {
  afterEach(() => void vi.unstubAllGlobals());

  it('fetches the word of a new session once, and no more', async () => {
    let session = 'first';
    let isAllowed = true;
    const asked: string[] = [];
    vi.stubGlobal('fetch', async (path: string, init: RequestInit = {}) => {
      const said = (init.headers as Record<string, string> | undefined)?.['x-muster-csrf'];
      asked.push(`${init.method ?? 'GET'} ${said ?? ''}`.trim());
      if (path === '/api/session' && !init.method) return Response.json({ csrf: session });
      return isAllowed && said === session ? Response.json({}) : Response.json({ message: 'no' }, { status: 403 });
    });
    await patch('/api/k8s/a', {});
    session = 'second';
    await patch('/api/k8s/a', {});
    expect(asked).toEqual(['GET', 'PATCH first', 'PATCH first', 'GET', 'PATCH second']);
    isAllowed = false;
    asked.length = 0;
    await expect(signOut()).rejects.toThrow('no');
    expect(asked).toEqual(['DELETE second', 'GET', 'DELETE second']);
  });
});
