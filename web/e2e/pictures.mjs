// Takes the pictures in docs/ from a fleet that runs: `MUSTER_FLEET=.muster node e2e/pictures.mjs`. Look at them.
// What goes wrong in them is a release that nobody built, pushed to `dev`.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startFleet } from './fleet.mjs';
import { openBrowser } from './browser.mjs';

const DOCS = new URL('../../docs/', import.meta.url).pathname;
const fleet = await startFleet(50);
const problem = process.env.CLUSTER ?? 'store-sim-01';

function pushBadTag() {
  const clone = join(fleet.scratch, 'edge');
  const git = (...args) => execFileSync('git', ['-C', clone, '-c', 'user.name=Ada', '-c', 'user.email=ada@retail.example', ...args], { stdio: 'pipe' });
  execFileSync('git', ['clone', '-q', '-b', 'dev', `http://127.0.0.1:${fleet.port + 1}/edge.git`, clone]);
  const file = join(clone, 'release/kustomization.yaml');
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/(offers-api\n\s+newTag:) .*/, '$1 1.10.0-nonexistent'));
  git('commit', '-q', '-a', '-m', 'release: offers 1.10.0-nonexistent');
  git('push', '-q');
}

try {
  pushBadTag();
  await until(async () => (await fleet.muster('problems', '-o', 'json')).includes('1.10.0-nonexistent'));
  for (const colorScheme of ['light', 'dark']) {
    const browser = await openBrowser(fleet.scratch, { colorScheme });
    const { page } = browser;
    await page.goto(await fleet.muster('console'));
    await page.waitForURL(`${fleet.console}/`);
    const app = await page.evaluate(async () => (await (await fetch('/api/muster/v1/apps?limit=1&name=edge')).json()).items[0]);
    const pages = {
      light: { 'fleet-light': '/', clusters: '/clusters', cluster: `/clusters/${problem}`, applications: '/apps', application: `/apps/${app.namespace}/${app.name}`, activity: '/activity' },
      dark: { 'fleet-dark': '/' },
    }[colorScheme];
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(fleet.console + path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.locator('.m-card').first().waitFor();
      await page.getByText('Live', { exact: true }).waitFor();
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: `${DOCS}${name}.png` });
      console.log(`docs/${name}.png`);
    }
    await browser.close();
  }
} finally {
  await fleet.end();
}

async function until(isTrue) {
  for (let turn = 0; turn < 120; turn += 1) {
    if (await isTrue()) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error('it did not come to pass within two minutes');
}
