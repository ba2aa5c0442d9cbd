// Takes the pictures in docs/ from a fleet that runs: `MUSTER_FLEET=.muster node e2e/pictures.mjs`. Look at them.
import { startFleet } from './fleet.mjs';
import { openBrowser } from './browser.mjs';

const DOCS = new URL('../../docs/', import.meta.url).pathname;
const fleet = await startFleet(50);
const problem = process.env.CLUSTER ?? 'store-0001';
try {
  for (const colorScheme of ['light', 'dark']) {
    const browser = await openBrowser(fleet.scratch, { colorScheme });
    const { page } = browser;
    await page.goto(await fleet.muster('console'));
    await page.waitForURL(`${fleet.console}/`);
    const app = await page.evaluate(async () => (await (await fetch('/api/muster/v1/apps?limit=1')).json()).items[0]);
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
