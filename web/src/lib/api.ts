// Asking the hub, through the console's own server.

export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export const READ = '/api/muster/v1';
export const KUBERNETES = '/api/k8s';

let csrf: Promise<string> | undefined;

async function word(): Promise<string> {
  csrf ??= request<{ csrf: string }>('/api/session').then((session) => session.csrf);
  try {
    return await csrf;
  } catch (error) {
    csrf = undefined;
    throw error;
  }
}

/** Asks, and returns the answer's document; what is refused is thrown with the reason the server gives. */
export async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: 'same-origin' });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refusal(0, 'The console does not answer. See whether it runs with `muster status`.');
  }
  const text = await response.text();
  let document: unknown;
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    document = { message: text.slice(0, 300) };
  }
  if (!response.ok) {
    const said = (document as { message?: unknown }).message;
    throw new Refusal(response.status, typeof said === 'string' && said ? said : `The hub answered ${response.status}.`);
  }
  return document as T;
}

/** Asks for a change. The word is of a session: after another sign-in it is another, and is fetched anew once. */
async function change<T>(path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<T> {
  const ask = async () => request<T>(path, { ...init, headers: { ...init.headers, 'x-muster-csrf': await word() } });
  const used = csrf;
  try {
    return await ask();
  } catch (error) {
    // A word that was fetched just now is not the reason.
    if (!(error instanceof Refusal) || error.status !== 403 || used === undefined) throw error;
    if (csrf === used) csrf = undefined;
    return ask();
  }
}

/** Changes an object by a merge patch. */
export async function patch<T>(path: string, changes: unknown): Promise<T> {
  return change<T>(path, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify(changes),
  });
}

export async function signOut(): Promise<void> {
  try {
    await change('/api/session', { method: 'DELETE' });
  } catch (error) {
    // There is no session any more: that is what was wanted.
    if (!(error instanceof Refusal) || error.status !== 401) throw error;
  }
  csrf = undefined;
}
