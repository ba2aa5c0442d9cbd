// Chromium as people have it, without what would reach the network; every complaint of a page fails its test.
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Returns the browser's program, if there is one. */
export function findChromium() {
  for (const name of [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean)) {
    try {
      return execFileSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim();
    } catch {
      // The next name.
    }
  }
  return undefined;
}

export async function openBrowser(scratch, options = {}) {
  const context = await chromium.launchPersistentContext(mkdtempSync(join(scratch, 'browser-')), {
    executablePath: findChromium(),
    headless: true,
    viewport: { width: 1440, height: 900 },
    acceptDownloads: true,
    args: FLAGS,
    ...options,
  });
  const complaints = [];
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol !== 'data:' && hostname !== '127.0.0.1') complaints.push(`asked ${request.url()}`);
  });
  /** Returns what pages complained of since the last call. */
  const taken = () => complaints.splice(0);
  return { context, page, taken, close: () => context.close() };
}
