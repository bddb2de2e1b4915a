/**
 * Patterns over the sessions that the user may view, and no others: sessions that the user may not view change no number. Commands
 * before findings also require the right to read findings. A request is reported to the authority like a search, since its answer is
 * derived from sessions; asking for sessions similar to a given one also counts as viewing that one. Tested in patterns.test.ts.
 */
import type { z } from 'zod';
import type { AlikeSessions, SessionPatterns, showPatterns } from '#schemas/api/recordings/patterns.js';
import { StenoError } from '#schemas/base/errors.js';
import type { EventStore } from '#stores/events/contract.js';
import { requireReading } from '../access/access.js';
import type { Access, Viewer } from '../access/access.js';
import type { Disclosures } from '../access/disclosures.js';
import type { Sessions } from '../sessions/sessions.js';

const PAGING = ['alert', 'session'] as const;
const DAYS = 30;
const DAY_MS = 86_400_000;

export interface PatternParts {
  readonly events: EventStore;
  readonly access: Access;
  readonly disclosures: Disclosures;
  readonly sessions: Sessions;
  /** ms since 1970. */
  readonly clock: () => number;
}
type Asked = z.output<typeof showPatterns.query>;

export function patternsFor(parts: PatternParts, viewer: Viewer, source: string, asked: Asked): Promise<SessionPatterns> {
  return parts.disclosures.ofSearch(
    viewer,
    source,
    { q: 'commands before findings', mode: 'patterns' },
    async () => {
      requireReading(viewer, 'finding');
      const span = spanOf(parts, asked);
      const found = await parts.events.patterns({ ...span, ...scopeOf(parts, viewer), tiers: PAGING });
      return {
        ...{ ...span, sessions: found.sessions, incidents: found.incidents, known: found.known },
        commands: found.commands.map((one) => ({ ...one, sessions: [...one.sessions] })),
        nodes: [...found.nodes],
        hours: [...found.hours],
      };
    },
    ({ commands }) => commands.length,
  );
}

export async function alikeFor(parts: PatternParts, viewer: Viewer, source: string, id: string, asked: Asked): Promise<AlikeSessions> {
  const { session } = await parts.sessions.row({ viewer, action: 'view', source }, id);
  return parts.disclosures.ofSearch(
    viewer,
    source,
    { q: `sessions like ${session}`, mode: 'patterns' },
    async () => {
      const span = spanOf(parts, asked);
      const found = await parts.events.alikeSessions({ ...span, ...scopeOf(parts, viewer), session });
      const sessions = await Promise.all(
        found.map(async ({ session: other, shared, either, commands }) => {
          const row = await parts.events.session(other);
          return row === undefined ? [] : [{ session: parts.sessions.info(row), shared, either, commands: [...commands] }];
        }),
      );
      return { ...span, sessions: sessions.flat() };
    },
    ({ sessions }) => sessions.length,
  );
}

/** Throws ACCESS_DENIED if the user may view no session. */
function scopeOf({ access }: PatternParts, viewer: Viewer) {
  access.narrow(viewer, 'view', undefined);
  const visible = access.visible(viewer, 'view');
  return visible === undefined ? {} : { visible };
}

function spanOf({ clock }: PatternParts, { from: wanted, to: until }: Asked): { readonly from: number; readonly to: number } {
  const to = until ?? clock();
  const from = wanted ?? Math.max(0, to - DAYS * DAY_MS);
  if (from >= to) throw new StenoError('BAD_REQUEST', 'from: is not before to');
  return { from, to };
}
