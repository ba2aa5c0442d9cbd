// A real fleet for a test: `muster up` in a directory of its own, ended and removed afterwards.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = new URL('../../', import.meta.url).pathname;
const UP_MS = 320_000;

export const MUSTER = process.env.MUSTER ?? join(ROOT, 'target/release/muster');

export function missing() {
  return existsSync(MUSTER) ? undefined : `${MUSTER} is not there: make build`;
}

async function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Returns a port with room above it for a fleet. */
async function freePorts(count) {
  for (let base = 21_000 + (process.pid % 400) * 20; base < 31_000; base += 20) {
    const ports = [base, base + 1, base + 2, ...Array.from({ length: count }, (_, index) => base + 10 + index)];
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error('no free ports');
}

/** Starts a fleet and waits until all is well; `MUSTER_FLEET` names one that runs already, and is left alone. */
export async function startFleet(stores) {
  const scratch = mkdtempSync(join(tmpdir(), 'muster-console-'));
  const running = process.env.MUSTER_FLEET;
  const dir = running ?? join(scratch, 'fleet');
  const port = running ? JSON.parse(readFileSync(join(dir, 'fleet.json'), 'utf8')).port : await freePorts(stores + 8);
  const muster = async (...args) => {
    const { stdout } = await run(MUSTER, args, { env: { ...process.env, MUSTER_DIR: dir }, timeout: UP_MS, maxBuffer: 64 << 20 });
    return stdout.trim();
  };
  const end = async () => {
    if (!running) await muster('down').catch((error) => console.error(String(error)));
    rmSync(scratch, { recursive: true, force: true });
  };
  try {
    if (!running) {
      await muster('up', '--example', 'retail', '--detach', '--port', String(port), '--stores', String(stores));
      await muster('status', '--wait', '--timeout', '300s');
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { dir, port, scratch, muster, end, console: `http://127.0.0.1:${port + 2}` };
}
