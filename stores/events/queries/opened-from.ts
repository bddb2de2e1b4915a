/**
 * Finds the session inside which another one was opened, as far as the connection proves it.
 *
 * The gateway records of each session the client's address and port, its own, and when it accepted the connection. The node
 * of the other session recorded that a process of that session connected from that very address and port to that very
 * address and port, at that moment. All four values must be equal, within `TOLERANCE_MS`: address translation prevents a
 * match, and a port reused later is outside the tolerance. A loopback address belongs to one machine, which both report. If
 * two sessions match, as with two machines of the same private address, none is returned; docs/threat-model.md lists what
 * cannot be distinguished. Tested by `stores/events/conformance.ts` and test/kernel/nested.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { parseAddress } from '#schemas/base/ip-address.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import { formatMoment } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { readSettings } from './paging.js';

/** Maximum difference between the two times: clock skew of node and gateway, and a gateway that accepts late. */
const TOLERANCE_MS = 2_000;
const MAX_SESSIONS = 1_000;
const MAX_CONNECTS = 50_000;

const port = z.int().min(1).max(65_535);
const connection = z.object({
  source_port: port,
  address: z.string().min(1).max(255),
  port,
  accepted_at: z.int().min(0).max(7_258_118_400_000),
  machine: z.string().max(64),
});
type Accepted = z.infer<typeof connection> & { readonly session: string; readonly source: string };

export interface OpenedFrom {
  readonly session: string;
  readonly outer: string;
}

export async function openedFrom(engine: Engine, sessions: readonly string[]): Promise<readonly OpenedFrom[]> {
  if (sessions.length > MAX_SESSIONS || !sessions.every((id) => sessionIdPattern.test(id)))
    throw new StenoError('BAD_REQUEST', 'not ids of sessions');
  const accepted = await acceptedConnections(engine, sessions);
  if (accepted.length === 0) return [];
  const made = await connects(engine, accepted);
  const machines = await machinesOf(
    engine,
    accepted.some(({ source }) => isLoopback(source)) ? [...new Set(made.map((one) => one.session))] : [],
  );
  return accepted.flatMap((one) => {
    const fits = made.filter(
      (other) =>
        other.session !== one.session &&
        other.tuple === tupleOf(one.source, one.source_port, one.address, one.port) &&
        Math.abs(other.at - one.accepted_at) <= TOLERANCE_MS &&
        (!isLoopback(one.source) || (one.machine !== '' && machines.get(other.session) === one.machine)),
    );
    const [outer, ...more] = new Set(fits.map(({ session }) => session));
    return outer === undefined || more.length > 0 ? [] : [{ session: one.session, outer }];
  });
}

async function acceptedConnections(engine: Engine, sessions: readonly string[]): Promise<readonly Accepted[]> {
  const found = await engine.read(
    "SELECT session, address, data FROM events WHERE session IN {sessions:Array(String)} AND source = 'recording' " +
      "AND kind = 'participant' AND port IS NOT NULL ORDER BY session, block, `index` LIMIT 1 BY session " +
      readSettings('accepted_connections'),
    { sessions },
  );
  return found.flatMap(([session, source, data]) => {
    const said = z.object({ connection }).safeParse(JSON.parse(String(data)));
    return said.success ? [{ ...said.data.connection, session: String(session), source: String(source) }] : [];
  });
}

async function connects(
  engine: Engine,
  accepted: readonly Accepted[],
): Promise<readonly { readonly session: string; readonly at: number; readonly tuple: string }[]> {
  const moments = accepted.map(({ accepted_at: at }) => at);
  const found = await engine.read(
    "SELECT DISTINCT session, toUnixTimestamp64Milli(at), JSONExtractString(data, 'local_address'), JSONExtractUInt(data, 'local_port'), " +
      "address, port FROM events WHERE source = 'kernel' AND kind = 'connect' AND outcome = 'success' AND name = 'tcp' " +
      "AND at >= {from:DateTime64(3, 'UTC')} AND at <= {to:DateTime64(3, 'UTC')} AND address IN {addresses:Array(String)} " +
      "AND toString(JSONExtractUInt(data, 'local_port')) IN {ports:Array(String)} " +
      `LIMIT ${MAX_CONNECTS} ${readSettings('connects_to_gateways')}`,
    {
      from: formatMoment(Math.max(0, Math.min(...moments) - TOLERANCE_MS)),
      to: formatMoment(Math.min(7_258_118_400_000, Math.max(...moments) + TOLERANCE_MS)),
      addresses: [...new Set(accepted.map(({ address }) => address))],
      ports: [...new Set(accepted.map(({ source_port: one }) => String(one)))],
    },
  );
  // Further connections could hide a second match.
  if (found.length === MAX_CONNECTS) return [];
  return found.map(([session, at, local, localPort, address, remotePort]) => ({
    session: String(session),
    at: Number(at),
    tuple: tupleOf(String(local), Number(localPort), String(address), Number(remotePort)),
  }));
}

async function machinesOf(engine: Engine, sessions: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (sessions.length === 0) return new Map();
  const found = await engine.read(
    "SELECT session, any(JSONExtractString(data, 'machine')) FROM events WHERE session IN {sessions:Array(String)} AND source = 'kernel' " +
      `AND kind = 'kernel' AND name = 'recording' GROUP BY session HAVING uniqExact(JSONExtractString(data, 'machine')) = 1 ${readSettings('machines_of_sessions')}`,
    { sessions },
  );
  return new Map(found.map(([session, machine]) => [String(session), String(machine)]));
}

const tupleOf = (local: string, localPort: number, remote: string, remotePort: number): string =>
  `${local} ${localPort} ${remote} ${remotePort}`;

function isLoopback(text: string): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  return address.length === 4 ? address[0] === 127 : address.every((byte, i) => byte === (i === 15 ? 1 : 0));
}
