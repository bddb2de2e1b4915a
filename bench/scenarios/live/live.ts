/** A session that several share: what observers cost its user, and how soon each of them sees, types and pauses. */
import * as pty from 'node-pty';
import { chromium } from 'playwright-core';
import type { ServerChannel } from 'ssh2';
import { gather } from '../../crowd.js';
import type { Field } from '../../field.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import type { Person } from '../../../test/end-to-end/people.js';
import { followOnPage } from '../../../test/end-to-end/session-page.js';
import { headless } from '../../../viewer/api/testing/chromium.js';
import { Crowd, newSession, participant } from './people.js';
import { Typist } from '../../typist.js';

export interface LiveSizes {
  readonly observers: number;
  readonly keys: number;
  readonly pauses: number;
}

const WARM_UP = 500;
/** Between two keys: every observer has the last one by then. */
const PAUSE_MS = 10;
/** Within this time of a pause, input that was on its way has arrived. */
const ARRIVED_MS = 150;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A stock `ssh` in a terminal: when something appears on it. */
class Screen {
  readonly #terminal: pty.IPty;
  #text = '';
  #look: () => void = () => undefined;

  constructor(args: readonly string[]) {
    this.#terminal = pty.spawn('ssh', ['-tt', ...args], { cols: 80, rows: 24 });
    this.#terminal.onData((data) => {
      this.#text = (this.#text + data).slice(-4096);
      this.#look();
    });
  }

  /** Resolves with the moment at which the text ends with, or contains, what is wanted. */
  until(wanted: string, how: 'ends' | 'has' = 'has'): Promise<number> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (how === 'ends' ? !this.#text.endsWith(wanted) : !this.#text.includes(wanted)) return;
        this.#look = () => undefined;
        resolve(performance.now());
      };
      this.#look();
    });
  }

  /** Forgets what was shown. */
  clear(): void {
    this.#text = '';
  }

  write(text: string): void {
    this.#terminal.write(text);
  }

  close(): void {
    this.#terminal.kill();
  }
}

const joining = (who: Person, session: string, mode: string): Screen =>
  new Screen(['-F', who.config, '-l', `join.${session}.${mode}`, 'steno-gateway']);

export async function live(field: Field, { observers, keys, pauses }: LiveSizes): Promise<Section> {
  const who = await participant(field, 'bench-live');
  const rows: string[][] = [];
  const row = (what: string, values: readonly number[], goal: string): void =>
    void rows.push([what, ...[0.5, 0.99].map((q) => round3(quantile(values, q))), round3(Math.max(...values)), goal]);

  process.stderr.write(`live: keys beside ${observers} observers\n`);
  const { alone, watched } = await ownKeys(field, who, observers, keys);
  row('own key to its echo, nobody watches, µs', alone, '');
  row(`own key to its echo, ${observers} observers, µs`, watched, '');
  rows.push([
    `added by ${observers} observers, µs`,
    ...[0.5, 0.99].map((q) => (quantile(watched, q) - quantile(alone, q)).toFixed(0)),
    '',
    'p50 20, p99 200',
  ]);

  const node = await shared(field, who);
  try {
    process.stderr.write('live: output and keys to every screen\n');
    const output = await outputTo(node, keys);
    row('output to a stock `ssh` observer, ms', output.observer, 'p99 20');
    row('the same to the session’s own `ssh`, ms', output.owner, '');
    row('output to the page of a follower in Chromium, ms', await outputToPage(field, node, Math.ceil(keys / 4)), 'p50 50, p99 100');
    const typed = await peerKeys(node, keys);
    row('peer’s key to the owner’s screen, ms', typed.owner, 'p99 30');
    row('peer’s key to their own screen, ms', typed.peer, 'p99 30');
    row('peer’s key to an observer’s screen, ms', typed.observer, 'p99 30');
    process.stderr.write('live: pauses\n');
    row('moderator’s key to the last input at the node, ms', await pausing(node, pauses), 'p99 50');
  } finally {
    node.close();
  }
  return {
    title: 'A session that several share',
    how: `Stock \`ssh\` for everybody but the ${observers} observers beside the user's keys, who are ssh2 clients in one process of lower priority. ${keys} keys or lines each, ${PAUSE_MS} ms apart; the user's in turns of 100 with the same user's session that nobody watches. ${pauses} pauses while a key a millisecond is typed; 0: nothing arrived after the moderator's key.`,
    header: ['', 'p50', 'p99', 'most', 'goal'],
    rows,
  };
}

async function ownKeys(
  field: Field,
  who: Person,
  observers: number,
  keys: number,
): Promise<{ readonly alone: readonly number[]; readonly watched: readonly number[] }> {
  const [alone, watched]: [number[], number[]] = [[], []];
  const lone = new Typist(field.routes.steno);
  await lone.ready();
  const known = new Set([await newSession(field, new Set())]);
  const shown = new Typist(field.routes.steno);
  await shown.ready();
  const crowd = await Crowd.start();
  try {
    await crowd.join(field, who, await newSession(field, known), observers);
    for (const typist of [lone, shown]) await typist.type(WARM_UP, 2);
    for (let done = 0; done < keys; done += 100) {
      alone.push(...(await lone.type(Math.min(100, keys - done), PAUSE_MS)));
      watched.push(...(await shown.type(Math.min(100, keys - done), PAUSE_MS)));
    }
  } finally {
    await crowd.close();
    lone.close();
    shown.close();
  }
  return { alone, watched };
}

interface Shared {
  readonly session: string;
  readonly owner: Screen;
  readonly peer: Screen;
  readonly observer: Screen;
  readonly moderator: Screen;
  /** The node's end of the session. */
  readonly channel: ServerChannel;
  /** When input last arrived at the node. */
  readonly arrived: () => number;
  close(): void;
}

/** One session at a node that echoes, its user, a peer, an observer and a moderator. */
async function shared(field: Field, who: Person): Promise<Shared> {
  let channel: ServerChannel | undefined;
  let last = 0;
  const crowd = await gather(field, 'shared', (opened) => {
    channel = opened;
    opened.on('data', (data: Buffer) => {
      last = performance.now();
      opened.write(data);
    });
    opened.write('ready\r\n');
  });
  const owner = new Screen(['-F', field.steno.config, `${field.steno.login}@shared@steno-gateway`]);
  await owner.until('ready');
  const session = await newSession(field, new Set());
  const peer = joining(who, session, 'peer');
  await peer.until('you type into');
  const observer = joining(who, session, 'observer');
  await observer.until('you watch');
  const moderator = joining(who, session, 'moderator');
  await moderator.until('you moderate');
  await owner.until('as moderator');
  return {
    ...{ session, owner, peer, observer, moderator, channel: channel!, arrived: () => last },
    close() {
      for (const screen of [owner, peer, observer, moderator]) screen.close();
      crowd.close();
    },
  };
}

async function outputTo(
  { owner, observer, channel }: Shared,
  count: number,
): Promise<{ readonly owner: readonly number[]; readonly observer: readonly number[] }> {
  const times: { owner: number[]; observer: number[] } = { owner: [], observer: [] };
  for (let i = 0; i < count; i++) {
    const line = `line ${i} of what is printed`;
    const seen = Promise.all([owner.until(line), observer.until(line)]);
    const start = performance.now();
    channel.write(`${line}\r\n`);
    const [own, other] = await seen;
    times.owner.push(own - start);
    times.observer.push(other - start);
    await wait(PAUSE_MS);
  }
  return times;
}

/** In the page: when each numbered line was first on the terminal as it is drawn, in ms since 1970. */
const watchScreen = `window.shownAt = {};
  (function look() {
    const text = document.querySelector('.ap-term')?.textContent ?? '';
    for (const [, n] of text.matchAll(/page line (\\d+) /g)) window.shownAt[n] ??= performance.timeOrigin + performance.now();
    requestAnimationFrame(look);
  })();
  window.shown = (n) => new Promise((resolve) => {
    const look = () => (window.shownAt[n] === undefined ? requestAnimationFrame(look) : resolve(window.shownAt[n]));
    look();
  });`;

async function outputToPage({ steno }: Field, { session, channel }: Shared, count: number): Promise<readonly number[]> {
  const browser = await chromium.launch(headless);
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await followOnPage(steno, page, { id: session });
    await page.evaluate(watchScreen);
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = performance.timeOrigin + performance.now();
      channel.write(`page line ${i} of what is printed\r\n`);
      times.push((await page.evaluate<number>(`window.shown(${i})`)) - start);
      // Not in step with blocks, which are cut each second.
      await wait(PAUSE_MS + ((i * 37) % 90));
    }
    return times;
  } finally {
    await browser.close();
  }
}

async function peerKeys(
  { owner, peer, observer }: Shared,
  count: number,
): Promise<Readonly<Record<'owner' | 'peer' | 'observer', readonly number[]>>> {
  const times: Record<'owner' | 'peer' | 'observer', number[]> = { owner: [], peer: [], observer: [] };
  for (let i = 0; i < count; i++) {
    const key = String.fromCharCode(97 + (i % 26));
    for (const screen of [owner, peer, observer]) screen.clear();
    const seen = Promise.all([owner, peer, observer].map((screen) => screen.until(key, 'ends')));
    const start = performance.now();
    peer.write(key);
    for (const [n, at] of (await seen).entries()) times[(['owner', 'peer', 'observer'] as const)[n]!].push(at - start);
    await wait(PAUSE_MS);
  }
  return times;
}

/** The user types all the time: how long after the moderator's key something still arrives at the node. */
async function pausing({ owner, moderator, arrived }: Shared, count: number): Promise<readonly number[]> {
  const times: number[] = [];
  const typing = setInterval(() => owner.write('.'), 1);
  const flowing = async (): Promise<void> => {
    const since = performance.now();
    while (arrived() <= since) await wait(5);
  };
  try {
    for (let i = 0; i < count; i++) {
      await flowing();
      owner.clear();
      const paused = owner.until('paused this session');
      const start = performance.now();
      moderator.write('p');
      await paused;
      await wait(ARRIVED_MS);
      times.push(Math.max(0, arrived() - start));
      if (performance.now() - arrived() < ARRIVED_MS / 2) throw new Error('a paused session takes input');
      moderator.write('r');
    }
    await flowing();
  } finally {
    clearInterval(typing);
  }
  return times;
}
