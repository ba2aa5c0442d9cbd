// Chromium as people have it, without what would reach the network; every complaint of a page fails its test.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
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
  const profile = mkdtempSync(join(scratch, 'browser-'));
  const context = await chromium.launchPersistentContext(profile, {
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
  return { context, page, profile, taken, close: () => context.close() };
}

/** Returns what the largest tab of a browser has for itself, in MB: what is shared with other processes is not in it. */
export function tabMemory(profile) {
  const all = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const value = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
      all.set(Number(pid), { parent: value('PPid'), own: value('RssAnon') / 1024, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8') });
    } catch {
      // It has ended meanwhile.
    }
  }
  const isOurs = (process) => process !== undefined && (process.command.includes(profile) || isOurs(all.get(process.parent)));
  return Math.max(...[...all.values()].filter((one) => one.command.includes('--type=renderer') && isOurs(one)).map((one) => one.own));
}
