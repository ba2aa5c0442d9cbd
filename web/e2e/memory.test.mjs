// A tab that is left open on a large and busy fleet: 3,000 clusters, and more changes each second than the hub ever sends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { findChromium, openBrowser, tabMemory } from './browser.mjs';

const CLUSTERS = 3000;
const TAB_MAX_MB = 150;
/** The hub sends four events a second at most: a round is what else takes minutes. */
const EVENTS_EVERY_MS = 40;
const CHANGES_AT_ONCE = 20;
const ROUNDS = 4;
const ROUND_MS = 10_000;

const site = new URL('../dist/site/index.html', import.meta.url);
const why = !existsSync(site) ? 'web/dist is not there: make web' : findChromium() ? undefined : 'chromium is not there: apt-get install chromium';
if (why) console.log(`skipped: not present: ${why}`);

describe('a tab', { skip: why }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'muster-memory-'));
  let server, browser, page, cdp, at;
  before(async () => {
    const mock = new URL('../test/mock/server.mjs', import.meta.url).pathname;
    const env = { ...process.env, EVERY: String(EVENTS_EVERY_MS), BATCH: String(CHANGES_AT_ONCE) };
    server = spawn(process.execPath, [mock, String(CLUSTERS), '0'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    at = await new Promise((resolve, reject) => {
      server.stdout.once('data', (line) => resolve(/http:\S+/.exec(String(line))[0]));
      server.once('exit', () => reject(new Error('the stand-in ended')));
    });
    browser = await openBrowser(scratch);
    page = browser.page;
    cdp = await browser.context.newCDPSession(page);
    await cdp.send('HeapProfiler.enable');
    await cdp.send('Performance.enable');
  });
  after(async () => {
    await browser?.close();
    server?.kill();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** What is kept: garbage is collected first, twice, since a finalizer may let go of more. */
  const kept = async () => {
    for (let turn = 0; turn < 2; turn += 1) await cdp.send('HeapProfiler.collectGarbage');
    const { metrics } = await cdp.send('Performance.getMetrics');
    const { nodes, jsEventListeners } = await cdp.send('Memory.getDOMCounters');
    return { heap: metrics.find(({ name }) => name === 'JSHeapUsedSize').value / 1e6, tab: tabMemory(browser.profile), nodes, listeners: jsEventListeners };
  };
  const isFlat = (first, last) => {
    const said = JSON.stringify({ first, last });
    assert.ok(last.tab < TAB_MAX_MB, `${last.tab} MB: ${said}`);
    assert.ok(last.heap < first.heap * 1.1 + 1, `the heap grows: ${said}`);
    assert.ok(last.nodes < first.nodes * 1.05 + 100, `elements are kept: ${said}`);
    assert.ok(last.listeners < first.listeners * 1.2 + 100, `listeners are kept: ${said}`);
  };

  it('stays under 150 MB while 3,000 clusters change', async () => {
    await page.goto(at);
    await page.locator('a[data-name]').nth(CLUSTERS - 1).waitFor();
    // The first round is warming up: compiled code and caches have their size then.
    const rounds = [];
    for (let round = 0; round <= ROUNDS; round += 1) {
      await page.waitForTimeout(ROUND_MS);
      assert.ok(tabMemory(browser.profile) < TAB_MAX_MB, `${tabMemory(browser.profile)} MB, garbage and all`);
      rounds.push(await kept());
    }
    console.log(JSON.stringify(rounds));
    isFlat(rounds[0], rounds.at(-1));
    assert.deepEqual(browser.taken(), []);
  });

  it('gives back what pages took that were left', async () => {
    const tour = async () => {
      for (const [title, seen] of [['Clusters', 'tbody tr'], ['Applications', 'a.m-cell'], ['Activity', 'tbody tr'], ['Fleet', 'a[data-name]']]) {
        await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: title }).click();
        await page.locator(seen).first().waitFor();
      }
      return kept();
    };
    await tour();
    const first = await tour();
    let last;
    for (let turn = 0; turn < 6; turn += 1) last = await tour();
    console.log(JSON.stringify([first, last]));
    isFlat(first, last);
    assert.deepEqual(browser.taken(), []);
  });
});
