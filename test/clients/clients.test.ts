/**
 * Third-party SSH clients, each against Steno and against a plain sshd with the same expectations, and compared with the
 * recordings. README.md lists the clients and what they cannot do; `build` makes them.
 *
 * Peers run four at a time in the background, since each mostly waits for programs that start; each goes through all its cases in order,
 * and the tests wait for the outcomes.
 * STENO_CLIENTS=go,jsch runs only those, STENO_CLIENTS_CASES=rekey,terminal only those; STENO_CLIENTS_NODES=local,stock says through Steno to which nodes.
 */
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { verdictOf } from '../end-to-end/client-tools.js';
import { CLEAN_CLOSE, cases } from './cases.js';
import type { Case, Place } from './cases.js';
import { PeerProcess } from './peer-process.js';
import { missing, peers } from './peers.js';
import type { Peer } from './peers.js';
import { optionCases, outlines, sorted } from './openssh.js';
import type { OptionCase } from './openssh.js';
import { programCases } from './programs.js';
import { Scene } from './scene.js';
import type { Server } from './scene.js';

const AT_ONCE = 4;
/** Recordings checked concurrently at the end, with two exports each; the viewer makes at most eight exports at a time. */
const EXPORTED_AT_ONCE = 3;
const only = process.env['STENO_CLIENTS']?.split(',');
const onlyCases = process.env['STENO_CLIENTS_CASES']?.split(',');
const nodes = (process.env['STENO_CLIENTS_NODES'] ?? 'local').split(',');
const servers = ['plain', ...nodes.map((node) => `steno ${node}`)];

const scene = new Scene();

interface Outcome {
  readonly place: Place;
  readonly seen: unknown;
  /** Set if the case failed before there was an answer. */
  readonly problem?: Error;
  /** For Steno only: what the recordings say. */
  readonly recorded?: unknown;
}

/** A promise that a test waits for and the background run settles. */
class Later<T> {
  settle!: (value: T) => void;
  readonly value = new Promise<T>((resolve) => {
    this.settle = resolve;
  });
}

const outcomes = new Map<string, Later<Outcome>>();
const closes = new Map<string, Later<unknown>>();
const keyOf = (...words: readonly string[]): string => words.join(' / ');
const chosen = peers.filter(({ name }) => only === undefined || only.includes(name));
const there = chosen.filter((peer) => missing(peer) === undefined);
const doable = (peer: Peer): readonly Case[] =>
  cases.filter(({ name }) => peer.cannot[name] === undefined && (onlyCases?.includes(name) ?? true));

for (const server of servers) {
  for (const peer of there) {
    for (const { name } of doable(peer)) outcomes.set(keyOf(server, peer.name, name), new Later());
    closes.set(keyOf(server, peer.name), new Later());
  }
}

async function runPeer(peer: Peer, serverName: string): Promise<void> {
  const user = `${peer.name}-${serverName.replace(' ', '-')}`;
  const server: Server = serverName === 'plain' ? scene.plain() : await scene.as(user, serverName.split(' ')[1]!);
  const program = new PeerProcess(peer.command, {
    ...scene.steno.env,
    SSH_AUTH_SOCK: server.agent,
    PEER_HOST: server.host,
    PEER_PORT: String(server.port),
    PEER_USER: server.user,
    PEER_KEY: server.key,
    PEER_KNOWN_HOSTS: peer.trust === 'authority' ? server.authority : server.hostKeys,
  });
  let open = 0;
  for (const each of doable(peer)) {
    const folder = scene.file('work', user, each.name.replaceAll(' ', '-'));
    mkdirSync(folder, { recursive: true });
    const place: Place = {
      folder,
      auth: peer.cannot['certificate'] === undefined ? 'certificate' : 'agent',
      echoPort: scene.echo.port,
      bulk: scene.bulk,
      sample: scene.sample,
    };
    outcomes.get(keyOf(serverName, peer.name, each.name))!.settle(
      await outcomeOf(each, program, place, server, user).catch((problem: Error) => {
        open++;
        return { place, seen: undefined, problem };
      }),
    );
  }
  const status = await program.end();
  closes.get(keyOf(serverName, peer.name))!.settle({ status, failures: open });
}

async function outcomeOf(each: Case, program: PeerProcess, place: Place, server: Server, user: string): Promise<Outcome> {
  let seen: unknown;
  let problem: Error | undefined;
  try {
    seen = await each.run(program, place);
  } catch (error) {
    problem = error as Error;
  }
  if (problem !== undefined) {
    // Otherwise the next case would count the sessions of this one.
    if (server.kind === 'steno') await scene.recordings(user, 0).catch(() => undefined);
    return { place, seen, problem };
  }
  if (server.kind === 'plain') return { place, seen };
  return { place, seen, recorded: each.recorded(await scene.recordings(user, each.sessions), place) };
}

/** All option cases of one program share a user at Steno. Cases in `programs` have a user each, because some leave an unknown number of sessions. */
async function settleOptions(name: string, list: readonly OptionCase[], serverName: string): Promise<void> {
  const entry = (user: string): Server | Promise<Server> =>
    serverName === 'plain' ? scene.plain() : scene.as(user, serverName.split(' ')[1]!);
  const userOf = ({ option }: OptionCase): string => [...(name === 'programs' ? [option] : [name]), ...serverName.split(' ')].join('-');
  const servers = new Map<string, Server>();
  for (const each of list) {
    const user = userOf(each);
    const server = servers.get(user) ?? (await entry(user));
    servers.set(user, server);
    const folder = scene.file('work', `${name}-${user}`, each.option.replaceAll(/\W/g, '_'));
    mkdirSync(folder, { recursive: true });
    let outcome: OptionOutcome;
    try {
      const seen = await each.run(scene, server, folder);
      outcome = { seen, folder, recorded: server.kind === 'plain' ? undefined : outlines(await scene.recordings(user, each.sessions)) };
    } catch (problem) {
      outcome = { seen: undefined, folder, problem: problem as Error };
      if (server.kind === 'steno') await scene.recordings(user, 0).catch(() => undefined);
    }
    options.get(keyOf(serverName, name, each.option))!.settle(outcome);
  }
}

interface OptionOutcome {
  readonly seen: unknown;
  readonly folder: string;
  readonly problem?: Error;
  readonly recorded?: unknown;
}
const options = new Map<string, Later<OptionOutcome>>();
const groups = [
  { name: 'openssh', list: optionCases.filter(({ option }) => onlyCases?.includes(option) ?? true) },
  { name: 'programs', list: programCases.filter((each) => (onlyCases?.includes(each.option) ?? true) && each.missing() === undefined) },
].filter(({ name }) => only === undefined || only.includes(name));
for (const { name, list } of groups) {
  for (const server of servers) for (const { option } of list) options.set(keyOf(server, name, option), new Later());
}

let running: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  await scene.start();
  const queue = [
    ...groups.flatMap(({ name, list }) => servers.map((server) => () => settleOptions(name, list, server))),
    ...there.flatMap((peer) => servers.map((server) => () => runPeer(peer, server))),
  ];
  running = Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next();
    }),
  );
});
afterAll(async () => {
  await running;
  await scene.stop();
});

describe.each(chosen.map((peer) => [peer.name, peer] as const))('%s', (_, peer) => {
  const reason = missing(peer);
  if (reason !== undefined) {
    it.skip(`is missing: ${reason}`, () => undefined);
    return;
  }
  describe.each(servers)('at %s', (server) => {
    it.each(doable(peer).map((each) => [each.claim, each] as const))('%s', { timeout: 300_000 }, async (__, each) => {
      const { place, seen, problem, recorded } = await outcomes.get(keyOf(server, peer.name, each.name))!.value;
      if (problem !== undefined) throw problem;
      expect(seen).toEqual(each.seen(place));
      if (server !== 'plain') expect(recorded).toEqual(each.record(place));
    });

    it(CLEAN_CLOSE.claim, { timeout: 300_000 }, async () => {
      expect(await closes.get(keyOf(server, peer.name))!.value).toEqual({ status: 0, failures: 0 });
    });
  });
});

describe.each(groups.map(({ name, list }) => [name, list] as const))('%s', (name, list) => {
  if (name === 'programs') {
    for (const { option, missing: why } of programCases)
      if (why() !== undefined) it.skip(`${option} is missing: ${why()}`, () => undefined);
  }
  describe.each(servers)('at %s', (server) => {
    it.each(list.map((each) => [`${each.option} ${each.claim}`, each] as const))('%s', { timeout: 300_000 }, async (_, each) => {
      const { seen, folder, problem, recorded } = await options.get(keyOf(server, name, each.option))!.value;
      if (problem !== undefined) throw problem;
      expect(seen).toEqual(each.seen(scene, folder));
      if (server !== 'plain' && each.record.length > 0) expect(recorded).toEqual(sorted(each.record));
    });
  });
});

describe('after all clients', () => {
  it(
    '`steno sessions` lists every session as over, and one of each user verifies and exports as it was shown',
    { timeout: 300_000 },
    async () => {
      await running;
      const { steno, viewer } = scene;
      const all = await steno.json<SessionInfo[]>('sessions', '--limit', '1000');
      expect(
        all
          .filter(({ state }) => state === 'live' || state === 'interrupted')
          .map(({ user, kind, command }) => `${user} ${kind} ${command}`),
      ).toEqual([]);
      const one = new Map(all.map(({ user, id }) => [user, id]));
      const left = [...one];
      const checked: { readonly user: string; readonly verified: boolean; readonly exported: boolean }[] = [];
      await Promise.all(
        Array.from({ length: EXPORTED_AT_ONCE }, async () => {
          for (let next = left.shift(); next !== undefined; next = left.shift()) {
            const [user, id] = next;
            const { ok } = await verdictOf(steno, id);
            const [exported, shown] = await Promise.all([steno.steno('export', id, '--format', 'cast'), viewer.cast(id)]);
            checked.push({ user, verified: ok, exported: exported.stdout === shown });
          }
        }),
      );
      expect(checked).toHaveLength(one.size);
      expect(checked.filter(({ verified, exported }) => !verified || !exported)).toEqual([]);
    },
  );
});
