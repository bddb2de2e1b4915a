/** Other implementations of Sigma, built by test/peers/sigma/build and build-rsigma: given rules and events, they return the events that each rule matches. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Folder of the sources, also for compiled code. */
const root = [new URL('../../', import.meta.url), new URL('../../../', import.meta.url)]
  .map(({ pathname }) => pathname)
  .find((path) => existsSync(join(path, 'package.json')))!;
const cache = join(root, 'node_modules/.cache/peers');
const python = join(cache, 'pysigma/bin/python');

export const hasPysigma = existsSync(join(cache, 'pysigma/built'));

export type PeerEvent = Readonly<Record<string, string>>;
/** Indexes of events, or the peer's error for the rule. */
export type PeerAnswer = readonly number[] | string;

/** `columns`: fields that rules may name, whether or not an event has them. */
export function pysigma(rules: readonly string[], events: readonly PeerEvent[], columns: readonly string[]): readonly PeerAnswer[] {
  const { status, stdout, stderr } = spawnSync(python, [join(root, 'test/peers/sigma/peer.py')], {
    input: JSON.stringify({ rules, events, columns }),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`pySigma: ${stderr}`);
  return JSON.parse(stdout) as readonly PeerAnswer[];
}

const rust = join(cache, 'rsigma/rsigma');
export const hasRsigma = existsSync(join(cache, 'rsigma/built'));

export interface RsigmaAnswer {
  readonly answers: readonly PeerAnswer[];
  /** Events per second that an engine with all rules evaluates on one core, the best of `rounds`; 0 without rounds. */
  readonly perSecond: number;
}

export function rsigma(rules: readonly string[], events: readonly PeerEvent[], rounds = 0): RsigmaAnswer {
  const { status, stdout, stderr } = spawnSync(rust, [], {
    input: JSON.stringify({ rules, events, rounds }),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`rsigma: ${stderr}`);
  const { answers, per_second: perSecond } = JSON.parse(stdout) as { answers: readonly PeerAnswer[]; per_second: number };
  return { answers, perSecond };
}
