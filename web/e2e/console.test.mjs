// Every page and action of the console, in a browser, on a real fleet. A complaint of the browser fails the test.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { findChromium, openBrowser } from './browser.mjs';
import { missing, startFleet } from './fleet.mjs';

const STORES = 5;
const why = missing() ?? (findChromium() ? undefined : 'chromium is not there: apt-get install chromium');
if (why) console.log(`skipped: not present: ${why}`);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe('the console', { skip: why }, () => {
  let fleet, browser, page, clusters;
  before(async () => {
    fleet = await startFleet(STORES);
    browser = await openBrowser(fleet.scratch);
    page = browser.page;
  });
  after(async () => {
    await browser?.close();
    await fleet?.end();
  });

  const at = (path) => fleet.console + path;
  const open = (path) => page.goto(at(path), { waitUntil: 'load' });
  const heading = (text) => page.getByRole('heading', { level: 1, name: text }).waitFor();
  const quiet = () => assert.deepEqual(browser.taken(), []);
  const api = (path) => page.evaluate(async (path) => (await fetch(path)).json(), path);
  /** Checks a page with axe: WCAG 2 A and AA. */
  const accessible = async () => {
    await page.evaluate(axe);
    const found = await page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] });
      return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
    });
    assert.deepEqual(found, []);
  };

  it('lets nobody in without a link', async () => {
    await open('/');
    await page.getByText('You are not signed in').waitFor();
    await page.getByText('muster console').first().waitFor();
    // The browser itself complains of each 401.
    assert.ok(browser.taken().every((text) => text.includes('401')));
  });

  it('signs in by a link, once', async () => {
    const link = await fleet.muster('console');
    await page.goto(link);
    await page.waitForURL(at('/'));
    await heading('Fleet');
    quiet();
    const answer = await page.request.get(link, { headers: { cookie: '' } });
    assert.equal(answer.status(), 401);
    const [cookie] = await browser.context.cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
  });

  it('shows every cluster as a tile, and paints within a second', async () => {
    clusters = (await api('/api/muster/v1/clusters?limit=500')).items;
    assert.ok(clusters.length >= STORES);
    await open('/');
    await page.locator('a[data-name]').nth(clusters.length - 1).waitFor();
    assert.equal(await page.locator('a[data-name]').count(), clusters.length);
    // Each load by itself, although the processors are shared with ten clusters that have just come up.
    const paints = [];
    for (let turn = 0; turn < 5; turn += 1) {
      paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
      await page.reload();
      await page.locator('a[data-name]').nth(clusters.length - 1).waitFor();
    }
    console.log(`first paint after ${paints.map(Math.round).join(', ')} ms`);
    assert.ok(Math.max(...paints) < 1000, `first paint after ${paints} ms`);
    const sent = await page.evaluate(async () => {
      const own = performance.getEntriesByType('resource').filter((one) => /\.(js|css|woff2)$/.test(one.name));
      const sizes = await Promise.all(own.map(async ({ name }) => Number((await fetch(name, { cache: 'reload' })).headers.get('content-length'))));
      return sizes.reduce((all, one) => all + one, 0);
    });
    assert.ok(sent > 50_000 && sent < 400_000, `the first page takes ${sent} bytes`);
    await page.getByText('Live', { exact: true }).waitFor();
    await accessible();
    quiet();
  });

  it('says of a tile what it is, how it is and how old that is', async () => {
    const tile = page.locator('a[data-name="store-0001"]');
    assert.match(await tile.getAttribute('aria-label'), /^store-0001, \w+, heard .+ ago|^store-0001, \w+, heard now/);
    await tile.hover();
    await page.getByRole('tooltip').getByText(/Last heard/).waitFor();
    const first = page.locator('a[data-name]').first();
    await first.focus();
    await page.keyboard.press('ArrowRight');
    const focused = await page.evaluate(() => document.activeElement.dataset.name);
    assert.notEqual(focused, await first.getAttribute('data-name'));
    quiet();
  });

  it('groups and filters the fleet, in the URL', async () => {
    await page.getByRole('button', { name: 'By set' }).click();
    await page.waitForURL(/group=set/);
    // Sets of the example select by labels.
    await page.getByRole('region', { name: 'set stores-dev' }).locator('a[data-name="store-sim-01"]').waitFor();
    await page.getByRole('list', { name: /Legend/ }).getByRole('link', { name: /Ready/ }).click();
    await page.waitForURL(/status=Ready/);
    await page.reload();
    await heading('Fleet');
    assert.match(page.url(), /group=set/);
    quiet();
  });

  it('lists clusters with facets, search, order and paging of the server', async () => {
    await page.keyboard.press('g');
    await page.keyboard.press('c');
    await heading('Clusters');
    const rows = page.locator('tbody tr');
    await rows.nth(clusters.length - 1).waitFor();
    await accessible();
    await page.getByLabel('Name contains').fill('store-0003');
    await page.waitForURL(/q=store-0003/);
    await page.getByText('1 cluster matches').waitFor();
    assert.equal(await rows.count(), 1);
    await page.getByRole('link', { name: 'Clear all' }).click();
    await page.getByRole('button', { name: /^Name/ }).click();
    await page.getByRole('button', { name: /^Name/ }).click();
    await page.waitForURL(/sort=-name/);
    const last = clusters.map((row) => row.name).sort().at(-1);
    await page.locator('tbody tr').first().getByRole('link', { name: last }).waitFor();
    await page.locator('fieldset', { hasText: 'State' }).getByRole('link').first().click();
    await page.waitForURL(/status=/);
    quiet();
  });

  it('exports the full result as CSV, made by the server', async () => {
    await open('/clusters?q=store-');
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export CSV' }).click()]);
    const text = readFileSync(await download.path(), 'utf8');
    const wanted = clusters.filter((row) => row.name.includes('store-'));
    for (const row of wanted) assert.ok(text.includes(row.name), row.name);
    assert.match(text, /store-/);
    quiet();
  });

  it('tells all of one cluster', async () => {
    await open('/clusters');
    await page.getByRole('link', { name: 'store-0001', exact: true }).click();
    await heading(/store-0001/);
    await page.getByRole('table', { name: 'Applications' }).waitFor();
    await page.getByText('simulated', { exact: true }).waitFor();
    await accessible();
    for (const [tab, there] of [['Workloads', 'Ready'], ['Events', ''], ['Details', 'Conditions']]) {
      await page.getByLabel('Of this cluster').getByRole('link', { name: new RegExp(`^${tab}`) }).click();
      await page.waitForURL(new RegExp(`/clusters/store-0001/${tab.toLowerCase()}`));
      if (there) await page.getByText(there, { exact: true }).first().waitFor();
      await accessible();
    }
    await page.getByRole('button', { name: /^Copy: muster get/ }).waitFor();
    quiet();
  });

  it('goes from the matrix of versions to clusters and to objects', async () => {
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await heading('Applications');
    const table = page.getByRole('table', { name: 'Versions by cluster set' });
    await table.waitFor();
    for (const set of ['cloud-web', 'cloud-data', 'stores-dev']) await table.getByRole('columnheader', { name: set }).waitFor();
    await accessible();
    await table.locator('a.m-cell').first().click();
    await page.waitForURL(/\/apps\/.+version=/);
    await page.getByRole('table', { name: 'Clusters of this Application' }).waitFor();
    await accessible();
    await page.locator('tbody').getByRole('link', { name: /objects$/ }).first().click();
    await page.getByRole('heading', { name: 'Objects' }).waitFor();
    await page.locator('.m-resource').first().waitFor();
    await accessible();
    quiet();
  });

  it('tells what happened', async () => {
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await heading('Activity');
    await page.getByRole('table', { name: 'What happened' }).locator('tbody tr').first().waitFor();
    await accessible();
    const kinds = page.locator('fieldset', { hasText: 'Kind' });
    await kinds.getByRole('link', { name: /^ManagedCluster/ }).click();
    await page.waitForURL(/kind=ManagedCluster/);
    await page.getByLabel('Contains').fill('store-0001');
    await page.waitForURL(/q=store-0001/);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export CSV' }).click()]);
    const lines = readFileSync(await download.path(), 'utf8').trim().split('\r\n').filter((line) => !line.startsWith('#'));
    assert.ok(lines.length > 1 && lines.slice(1).every((line) => line.includes(',store-0001,ManagedCluster,')), lines.join('\n'));
    await kinds.getByRole('link', { name: /^Application/ }).waitFor();
    await page.getByRole('link', { name: 'Clear all' }).click();
    await page.getByRole('link', { name: 'Last hour' }).click();
    await page.waitForURL(/since=/);
    await page.locator('fieldset', { hasText: 'Kind' }).getByRole('link').first().click();
    await page.waitForURL(/kind=/);
    await page.getByRole('link', { name: 'Clear all' }).click();
    quiet();
  });

  it('shows a cluster that asks to join as it comes, and accepts it', async () => {
    await open('/');
    await page.getByText('Live', { exact: true }).waitFor();
    const name = 'store-9999';
    const made = await page.evaluate(async (name) => {
      const { csrf } = await (await fetch('/api/session')).json();
      const body = JSON.stringify({ apiVersion: 'cluster.open-cluster-management.io/v1', kind: 'ManagedCluster', metadata: { name }, spec: { hubAcceptsClient: false } });
      const path = '/api/k8s/apis/cluster.open-cluster-management.io/v1/managedclusters';
      return (await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json', 'x-muster-csrf': csrf }, body })).status;
    }, name);
    assert.equal(made, 201);
    const tile = page.locator(`a[data-name="${name}"]`);
    await tile.waitFor();
    assert.match(await tile.getAttribute('aria-label'), /Pending/);
    await tile.click();
    await page.getByRole('button', { name: 'Accept…' }).click();
    await accessible();
    await page.getByRole('dialog').getByRole('button', { name: 'Accept', exact: true }).click();
    await page.getByText('Joining', { exact: true }).first().waitFor();
    quiet();
  });

  it('is used by keyboard', async () => {
    await open('/');
    await heading('Fleet');
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByText('Go to Clusters').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('/');
    await page.keyboard.type('store-0002');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/clusters\?q=store-0002/);
    await page.getByRole('link', { name: 'store-0002', exact: true }).waitFor();
    quiet();
  });

  it('is dark where that is wanted, and stays so', async () => {
    await open('/');
    await heading('Fleet');
    await page.getByRole('button', { name: 'Dark mode' }).click();
    await page.reload();
    await heading('Fleet');
    assert.ok(await page.evaluate(() => document.documentElement.classList.contains('pf-v6-theme-dark')));
    for (const path of ['/', '/clusters', '/clusters/store-0001', '/apps', '/activity']) {
      await open(path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await accessible();
    }
    await page.keyboard.press('d');
    quiet();
  });

  it('says what is not there', async () => {
    await open('/nowhere');
    await page.getByText('There is no such page').waitFor();
    await open('/clusters/unheard-of');
    await page.getByRole('heading', { name: 'Not found' }).waitFor();
    assert.ok(browser.taken().every((text) => text.includes('404')));
  });

  it('refuses what does not come from its own pages', async () => {
    const [cookie] = await browser.context.cookies();
    const port = fleet.port + 2;
    const ask = (method, path, headers) =>
      new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, method, path, headers: { cookie: `${cookie.name}=${cookie.value}`, ...headers } }, (response) => {
          response.resume();
          resolve([response.statusCode, response.headers]);
        });
        request.on('error', reject).end();
      });
    const status = async (...what) => (await ask(...what))[0];
    const object = '/api/k8s/apis/cluster.open-cluster-management.io/v1/managedclusters/store-9999';
    const { csrf } = await api('/api/session');
    assert.equal(await status('DELETE', object, {}), 403, 'without anything');
    assert.equal(await status('DELETE', object, { origin: fleet.console }), 403, 'without the word');
    assert.equal(await status('DELETE', object, { origin: 'http://127.0.0.1:1', 'x-muster-csrf': csrf }), 403, 'from elsewhere');
    assert.equal(await status('GET', '/api/muster/v1/clusters', { 'sec-fetch-site': 'cross-site' }), 403);
    assert.equal(await status('GET', '/api/muster/v1/clusters', { host: 'rebound.example' }), 421);
    assert.equal(await status('GET', '/api/muster/v1/clusters', { cookie: '' }), 401);
    assert.equal(await status('POST', '/login/tickets', {}), 403);
    assert.equal(await status('DELETE', object, { origin: fleet.console, 'x-muster-csrf': csrf }), 200);
    const [, headers] = await ask('GET', '/', {});
    assert.match(headers['content-security-policy'], /default-src 'none'; script-src 'self'; style-src 'self';/);
    const script = await page.evaluate(() => [...document.scripts].map((one) => new URL(one.src).pathname).find((path) => path.startsWith('/assets/')));
    const [, asset] = await ask('GET', script, { 'accept-encoding': 'br' });
    assert.deepEqual([asset['content-encoding'], asset['cache-control']], ['br', 'public, max-age=31536000, immutable']);
  });

  it('ends a session', async () => {
    await open('/');
    await heading('Fleet');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are not signed in').waitFor();
    assert.ok(browser.taken().every((text) => text.includes('401')));
  });
});
