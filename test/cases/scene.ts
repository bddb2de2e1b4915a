/** Set-up of the tests of cases: a real authority, real stores, a viewer over them, and people who sign in. */
import { join } from 'node:path';
import { RequestVerifier } from '#runtime/http/request-auth.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { clientOf, silent } from '../../authority/testing/authority.js';
import type { Cleanup } from '../../authority/testing/authority.js';
import { WEB, people } from '../../authority/testing/people.js';
import type { Enrolled, People } from '../../authority/testing/people.js';
import { startViewer } from '../../viewer/api/main.js';
import { makeRecorder } from '../../viewer/api/testing/recorded.js';
import type { Stores } from '../../viewer/api/testing/recorded.js';

export interface Scene {
  readonly world: People;
  readonly stores: Stores;
  readonly url: string;
  role(name: string, more: object): Promise<void>;
  enrol(name: string, ...roles: string[]): Promise<Enrolled>;
  /** Writes a note as the page does. */
  note(who: Enrolled, note: { readonly session: string; readonly offset: number; readonly text: string }): Promise<{ status: number }>;
  call<T>(
    who: Enrolled,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: T; text: string }>;
}

export async function openScene(cleanup: Cleanup, webRoot?: string): Promise<Scene> {
  const world = await people(cleanup);
  const events = await openEventStore({ kind: 'chdb', path: join(world.folder, 'events') });
  cleanup.add(() => events.close());
  const objects = await openDirectoryStore(join(world.folder, 'objects'));
  const stores: Stores = { events, objects, zstd: await openZstd(), recorder: makeRecorder() };
  const authority = await clientOf(world.authority, { kind: 'viewer', name: 'local' }, cleanup);
  const viewer = await startViewer(
    {
      listen: '127.0.0.1:0',
      webRoot: webRoot ?? join(world.folder, 'no-page'),
      version: '0',
      addresses: { ssh: '127.0.0.1:22', web: WEB, authority: world.authority.addresses.tls },
    },
    {
      ...{ events, objects, authority },
      ownSince: () => authority.current().own_since,
      requests: new RequestVerifier(() => authority.current(), { clock: Date.now }),
      live: { urls: ['ws://127.0.0.1:1'], tls: {}, find: async () => null },
      recordingCas: () => authority.current().recording_ca,
      checkAnswers: true,
      log: silent,
      clock: Date.now,
    },
  );
  cleanup.add(() => viewer.close());
  const url = `http://${viewer.addresses['web']}`;
  const scene: Scene = {
    ...{ world, stores, url },
    role: async (name, more) => void (await world.admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, ...more })),
    enrol: (name, ...roles) => world.enrol(name, roles),
    async note(who, note) {
      const ticket = await scene.call<{ ticket?: string }>(who, 'GET', `/api/sessions/${note.session}/note-ticket`);
      return scene.call(who, 'POST', '/api/notes', { ...note, ticket: ticket.body.ticket });
    },
    async call<T>(who: Enrolled, method: string, path: string, body?: unknown) {
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: {
          origin: url,
          cookie: `steno_session=${who.session}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      let parsed: unknown = null;
      try {
        parsed = JSON.parse(text);
      } catch {
        // An export.
      }
      return { status: answer.status, body: parsed as T, text };
    },
  };
  return scene;
}
