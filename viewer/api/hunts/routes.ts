/**
 * The route of retro-hunts: rules over the events that the caller may view, as JSON lines. Closing the connection cancels the hunt. A
 * hunt is reported to the authority before anything is searched. Tested in test/kernel/hunt.test.ts and
 * test/end-to-end/viewer-audit.test.ts.
 */
import type { Readable } from 'node:stream';
import { MAX_HUNT_RULES, huntRules } from '#schemas/api/recordings/hunts.js';
import type { HuntLine, HuntRequest } from '#schemas/api/recordings/hunts.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import type { EventStore } from '#stores/events/contract.js';
import { requireReading } from '../access/access.js';
import type { Access } from '../access/access.js';
import type { Disclosures } from '../access/disclosures.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import { onceGone, streamLines } from '../http/streamed.js';

/** Throws before its first line if the rules cannot be searched for. */
export type Hunter = (
  request: HuntRequest,
  /** `indexed`: tables are read directly, without the filter of a role. */
  reader: { readonly indexed: boolean; read(sql: string): Promise<readonly (readonly unknown[])[]> },
  clock: () => number,
  signal: AbortSignal,
) => AsyncGenerator<HuntLine, void>;

export interface HuntParts {
  readonly hunter: Hunter | undefined;
  readonly events: EventStore;
  readonly access: Access;
  readonly disclosures: Disclosures;
  readonly log: Log;
  readonly clock: () => number;
}

/** Each hunt occupies the store's lane for users' queries. */
const HUNTS_AT_A_TIME = 2;

export function huntRoutes(serving: Serving, { hunter, events, access, disclosures, log, clock }: HuntParts): void {
  let hunting = 0;
  serving.signedIn(
    huntRules,
    async (viewer, { request, reply, body }) => {
      const what = (body.rules.kind === 'id' ? body.rules.id : body.rules.text).slice(0, 1024);
      const cancel = new AbortController();
      let counted = false;
      const over = (): void => {
        cancel.abort();
        if (counted) hunting -= 1;
        counted = false;
      };
      onceGone(reply, over);
      const begin = async (): Promise<Readable> => {
        requireReading(viewer, 'finding');
        access.narrow(viewer, 'view', undefined);
        if (hunter === undefined) throw new StenoError('NOT_FOUND', 'this server searches for no rules');
        if (hunting >= HUNTS_AT_A_TIME) throw new StenoError('TOO_MANY', 'hunts at a time');
        // Count the hunt before the first await, so that hunts that begin together count each other.
        hunting += 1;
        counted = true;
        const visible = access.visible(viewer, 'view');
        const lines = hunter(body, { indexed: visible === undefined, read: (sql) => events.scan(sql, visible) }, clock, cancel.signal);
        return await streamLines(lines, log, 'hunt failed unexpectedly');
      };
      const asked = { q: what, mode: 'rule' };
      const stream = await disclosures
        .ofSearch(viewer, sourceAddress(request), asked, begin, () => 0)
        .catch((error: unknown) => {
          over();
          throw error;
        });
      stream.once('close', over);
      return reply.type('application/x-ndjson').send(stream);
    },
    { bodyLimit: 2 * MAX_HUNT_RULES },
  );
}
