/**
 * Rows about connections, sent and received data, and name queries. Tested in rows.test.ts and
 * ../probes/connections.test.ts.
 */
import { constants } from 'node:os';
import { questionOf } from './dns.js';
import { endpointsOf, flags, pathOf, resolvePath, textOf } from '../records/record.js';
import type { Endpoints, KernelRecord, Text } from '../records/record.js';
import { aboveOf, noted, outcomeOf, reasonOf, unconfirmed, unknownRow } from './row-facts.js';
import type { Row } from './row-facts.js';
import { opNames } from '../probes/syscalls.js';

const socketTypes = new Map([
  [1, 'tcp'],
  [2, 'udp'],
  [3, 'raw'],
]);
/** include/linux/socket.h, AF_*: families that a program rarely needs. */
export const families = new Map([
  [1, 'unix'],
  [2, 'inet'],
  [10, 'inet6'],
  [16, 'netlink'],
  [17, 'packet'],
  [29, 'can'],
  [31, 'bluetooth'],
  [38, 'alg'],
  [39, 'nfc'],
  [40, 'vsock'],
  [44, 'xdp'],
]);
const netlinkRequests = new Map([
  [16, 'new link'],
  [17, 'delete link'],
  [19, 'set link'],
  [20, 'new address'],
  [21, 'delete address'],
  [24, 'new route'],
  [25, 'delete route'],
  [28, 'new neighbour'],
  [29, 'delete neighbour'],
  [32, 'new rule'],
  [33, 'delete rule'],
]);

export function socketName(ends: Endpoints): string {
  if (ends.family === 1 || ends.family === 40 || ends.family === 16) return families.get(ends.family)!;
  return socketTypes.get(ends.type) ?? `socket type ${ends.type}`;
}

/** A path up to its NUL; or, after an initial NUL, an abstract name, written `@name`. */
function unixPath(bytes: Buffer): Text {
  const nul = bytes[0] === 0 ? -1 : bytes.indexOf(0);
  const name = textOf(nul < 0 ? bytes : bytes.subarray(0, nul));
  return name.text.startsWith('\0') ? { ...name, text: `@${name.text.slice(1)}` } : name;
}

/** A local connection: the socket reached, the listening process, and whether it belongs to the session. */
function unixRow(record: KernelRecord): Row {
  const asked = unixPath(record.text(1));
  const told = pathOf(record.text(2));
  const data = noted(record);
  const reached = record.has(flags.reached);
  const path = reached
    ? told.text
    : asked.text.startsWith('@') || asked.text === '' || !record.holds(2)
      ? asked.text
      : resolvePath(told.text, asked.text);
  if (reached && path !== asked.text) data['asked'] = asked.text;
  if (record.c !== 0) Object.assign(data, { peer: record.c, peer_name: textOf(record.text(3)).text, peer_in_session: record.d === 1 });
  return {
    kind: 'connect',
    name: 'unix',
    path,
    outcome: outcomeOf(record),
    ...reasonOf(...(reached ? aboveOf(told) : []), ...unconfirmed(record)),
    data,
  };
}

export function netRow(record: KernelRecord): Row {
  const ends = endpointsOf(record.text(0));
  const op = opNames.get(record.op);
  if (ends === null || op === undefined) return unknownRow(record);
  const outcome = outcomeOf(record);
  if (ends.family === 1) {
    if (op === 'connect') return unixRow(record);
    return { kind: 'send', name: 'unix', path: unixPath(record.text(1)).text, size: record.c, outcome, data: noted(record) };
  }
  if (ends.family === 16)
    return {
      kind: 'system',
      name: 'netlink',
      reason: netlinkRequests.get(record.d) ?? `request ${record.d}`,
      outcome,
      data: noted(record),
    };
  const name = socketName(ends);
  const data = { ...noted(record), local_address: ends.local, local_port: ends.localPort };
  // A vsock port has 32 bits, the column for ports 16.
  const remote =
    ends.family === 40
      ? { address: `vsock ${ends.remote}`, ...(record.c <= 0xffff ? { port: record.c } : {}) }
      : { address: ends.remote, port: ends.remotePort };
  if (ends.family === 40) Object.assign(data, { vsock_port: record.c });
  switch (op) {
    case 'connect':
      return {
        kind: 'connect',
        name,
        ...remote,
        ...reasonOf(...unconfirmed(record)),
        outcome: record.result === -constants.errno.EINPROGRESS ? 'in_progress' : outcome,
        data,
      };
    case 'tcp_state':
      return { kind: 'connect', name, ...remote, outcome, reason: 'completed', data };
    case 'accept':
      // When requested through io_uring, no peer has connected yet.
      return { kind: 'accept', name, ...(record.has(flags.uring) ? {} : remote), outcome, data };
    case 'bind':
      // When requested through io_uring, the address is not known yet.
      if (record.has(flags.uring)) return { kind: 'listen', name, reason: 'bound, address not known', outcome, data: noted(record) };
      return {
        kind: 'listen',
        name,
        ...(ends.family === 40 ? remote : { address: ends.local, port: ends.localPort }),
        ...reasonOf('bound', ...unconfirmed(record)),
        outcome,
        data,
      };
    case 'recvfrom':
      return {
        kind: 'accept',
        name,
        ...(ends.remotePort === 0 ? {} : remote),
        reason: record.d === 1 ? 'first received' : 'received',
        size: record.c,
        outcome,
        data,
      };
    case 'listen':
      return {
        kind: 'listen',
        name,
        address: ends.local,
        port: ends.localPort,
        ...reasonOf(...unconfirmed(record)),
        outcome,
        data: noted(record),
      };
    default: {
      // Over TCP the length comes first, and may have been sent separately before.
      const asked = record.holds(1) ? record.text(1) : null;
      const question = asked === null ? null : ((ends.type === 1 ? questionOf(asked, true) : null) ?? questionOf(asked));
      if (question !== null) return { kind: 'dns', name: question.name, reason: question.type, ...remote, outcome, data };
      return { kind: 'send', name, ...remote, size: record.c, outcome, ...reasonOf(...unconfirmed(record)), data };
    }
  }
}
