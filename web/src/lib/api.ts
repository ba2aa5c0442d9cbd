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

/** Changes an object by a merge patch. */
export async function patch<T>(path: string, change: unknown): Promise<T> {
  return request<T>(path, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json', 'x-muster-csrf': await word() },
    body: JSON.stringify(change),
  });
}

export async function signOut(): Promise<void> {
  await request('/api/session', { method: 'DELETE', headers: { 'x-muster-csrf': await word() } });
  csrf = undefined;
}
