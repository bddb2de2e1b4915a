/**
 * `steno export --html`: the page is put together here, of the code of this installation, from the files as the server has them. Requests
 * and roles come from the authority as far as whoever exports may read them; what is missing is named in the page.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { showRequest } from '#schemas/api/access/requests.js';
import { showRole } from '#schemas/api/access/roles.js';
import { listSegments, showSession } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { OfflineUnsigned } from '#schemas/offline/page.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { loadOfflineApp } from '#recordings/offline/app.js';
import { offlinePage, refuseOversized } from '#recordings/offline/page-file.js';
import type { Client } from '../../client/client.js';
import { version } from '../../machine/version.js';
import { webRoot } from '../../machine/web-root.js';
import { standardOutput } from '../../terminal/output.js';
import { progress } from '../../terminal/progress.js';
import { fetchFiles, writeWhole } from './session-files.js';
import type { FetchedFiles } from './session-files.js';

/** Throws TOO_LARGE for a session that no browser would open as one page; nothing is written then. */
export async function writePage(client: Client, id: string, file: string): Promise<FetchedFiles> {
  const { stored_bytes: expected, requests } = await call(client.viewer, showSession, { params: { id } });
  refuseOversized(expected);
  const folder = await mkdtemp(join(dirname(resolve(file)), '.steno-export-'));
  try {
    const paths = { recording: join(folder, 'recording'), log: join(folder, 'events') };
    const fetched = await fetchFiles(client, id, paths, () => progress(standardOutput, 'Exporting', expected));
    const unsigned = await unsignedOf(client, fetched.recording?.header ?? null, requests);
    await composePage(client, { session: id, stored: expected, paths, hasLog: fetched.hasLog, unsigned }, file);
    return fetched;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface PageContent {
  readonly session: string;
  /** Bytes of the stored files. */
  readonly stored: number;
  readonly paths: { readonly recording: string; readonly log: string };
  readonly hasLog: boolean;
  readonly unsigned: OfflineUnsigned;
}

/** Writes the page of files that are on this machine. Throws TOO_LARGE before anything is written. */
export async function composePage(client: Client, { session, stored, paths, hasLog, unsigned }: PageContent, file: string): Promise<void> {
  refuseOversized(stored);
  const { watermark } = await call(client.viewer, listSegments, { params: { id: session } });
  const page = offlinePage(await loadOfflineApp(webRoot), {
    session,
    steno: version,
    about: async () => ({
      ...{ made_at: Date.now(), made_by: client.profile.user, cas: [...client.profile.recording_ca], unsigned },
      ...(watermark === undefined ? {} : { watermark: true }),
    }),
    files: [
      { name: 'recording', content: createReadStream(paths.recording) },
      ...(hasLog ? [{ name: 'events', content: createReadStream(paths.log) } as const] : []),
    ],
  });
  await writeWhole(page, file);
}

/** Requests that the session was under, and its roles as they stand now. */
export async function unsignedOf(client: Client, header: RecordingHeader | null, requests: readonly string[]): Promise<OfflineUnsigned> {
  const notes: string[] = [];
  const found = async (what: string, name: string, ask: () => Promise<object>): Promise<Record<string, unknown>[]> => {
    try {
      return [{ ...(await ask()) }];
    } catch (error) {
      const why = error instanceof StenoError ? error.entry.message : 'it cannot be read';
      notes.push(`${what} ${name} is not here: ${why}.`);
      return [];
    }
  };
  const asked = await Promise.all(
    requests.slice(0, 32).map((name) => found('Access request', name, () => call(client.authority, showRequest, { params: { name } }))),
  );
  const names = Array.isArray(header?.steno.roles) ? header.steno.roles.filter((role) => typeof role === 'string').slice(0, 64) : [];
  const roles = await Promise.all(names.map((name) => found('Role', name, () => call(client.authority, showRole, { params: { name } }))));
  if (roles.flat().length > 0) notes.push('Roles are shown as they stood when this was exported, not when the session began.');
  return { requests: asked.flat(), roles: roles.flat(), notes };
}
