/**
 * `npm run bench [-- NAME…]`: Steno and its peer, interleaved in one run. Writes bench/results.md.
 *
 * Names are the keys of `scenarios`. `--quick` reduces everything, as a smoke test; `--minutes=N` is the length of the outage and of kernel_hour;
 * `--millions=N`: rows of each kind of search.
 */
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { readFileSync, writeFileSync } from 'node:fs';
import { openField } from './field.js';
import type { Field } from './field.js';
import { markdown } from './measure.js';
import type { Section } from './measure.js';
import { analyzing } from './scenarios/detection/analyzer.js';
import { background } from './scenarios/transport/background.js';
import { bulk, terminal } from './scenarios/transport/bulk.js';
import { bulkFull } from './scenarios/transport/bulk-full.js';
import { certificates } from './scenarios/access/certificates.js';
import { cost } from './scenarios/transport/cost.js';
import { files } from './scenarios/transport/files.js';
import { detection } from './scenarios/detection/detection.js';
import { idle } from './scenarios/transport/idle.js';
import { liveList, throughTunnel } from './scenarios/access/nodes.js';
import { live } from './scenarios/live/live.js';
import { liveCrowd } from './scenarios/live/crowd.js';
import { kube } from './scenarios/transport/kube.js';
import { kernelHour, kernelStorm } from './scenarios/kernel/complete.js';
import { kernelCompile } from './scenarios/kernel/compile.js';
import { kernelCost, kernelDelay, kernelFlow } from './scenarios/kernel/kernel.js';
import { busyKeystrokes, connecting, keystrokes, searchable } from './scenarios/transport/latency.js';
import { outage } from './scenarios/survival/outage.js';
import { baselines } from './scenarios/detection/baselines.js';
import { retro } from './scenarios/detection/retro.js';
import { sigma } from './scenarios/detection/sigma.js';
import { searching } from './scenarios/search/search.js';
import { seeking } from './scenarios/search/seek.js';
import { stalled } from './scenarios/transport/stalled.js';
import { locks } from './scenarios/access/locks.js';
import { policy } from './scenarios/access/policy.js';
import { recovering } from './scenarios/survival/recovery.js';
import { watching } from './scenarios/access/watch.js';
import { scaling } from './scenarios/transport/workers.js';

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const wanted = args.filter((arg) => !arg.startsWith('--'));
const rounds = quick ? 2 : 5;
const option = (name: string, otherwise: number): number =>
  Number(args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise);
const minutes = option('minutes', 10);
const millions = option('millions', 10);

const scenarios: readonly [string, (field: Field) => Promise<Section>][] = [
  ['connect', (field) => connecting(field, quick ? 3 : 15)],
  ['keystrokes', (field) => keystrokes(field, quick ? 1 : 5, 'nothing else going on')],
  ['bulk', (field) => bulk(field, rounds, quick ? 64 : 256)],
  ['bulk_full', (field) => bulkFull(field, quick ? 1 : 3, quick ? 64 : 512)],
  ['terminal', (field) => terminal(field, rounds)],
  ['busy', (field) => (quick ? busyKeystrokes(field, 1, 20, 2_000) : busyKeystrokes(field, 5, 500, 1_000_000))],
  ['background', (field) => background(field, quick ? 2 : 20, quick ? 20 : 500)],
  ['files', (field) => files(field, rounds, quick ? 32 : 1024, quick ? 200 : 10_000)],
  ['cost', (field) => cost(field, rounds, quick ? 64 : 256)],
  ['idle', (field) => idle(field, quick ? 100 : 10_000)],
  [
    'live',
    (field) => (quick ? live(field, { observers: 10, keys: 40, pauses: 10 }) : live(field, { observers: 50, keys: 1_000, pauses: 200 })),
  ],
  ['live_crowd', () => (quick ? liveCrowd(40, 8, 20) : liveCrowd(1_000, 200, 200))],
  ['stalled', (field) => stalled(field, quick ? 5 : 100)],
  ['outage', (field) => outage(field, quick ? 0.1 : minutes)],
  ['workers', () => scaling(quick ? 1 : 3, quick ? 3 : 6)],
  ['recovery', () => (quick ? recovering(1, 500) : recovering(3, 10_000))],
  ['certificates', (field) => certificates(field, rounds, quick ? 200 : 4_000)],
  ['locks', (field) => locks(field, quick ? 20 : 200)],
  ['searchable', (field) => searchable(field, quick ? 3 : 30)],
  ['search', () => (quick ? searching(1, 1, 3) : searching(millions, 30 * millions, 30))],
  ['policy', () => policy(rounds)],
  ['sigma', () => sigma(rounds, quick ? 2_000 : 100_000)],
  ['baselines', () => baselines(quick ? 1 : 100)],
  ['retro', () => retro(quick ? 1 : 4)],
  ['detection', () => (quick ? detection(3, 3) : detection(10, 8))],
  ['analyzer', () => analyzing(rounds, quick ? 20_000 : 200_000)],
  ['nodes', () => liveList(rounds)],
  ['watch', () => (quick ? watching(2, 20, 500, 50) : watching(20, 100, 10_000, 1_000))],
  ['tunnel', (field) => throughTunnel(field, rounds, quick ? 64 : 256)],
  ['kube', () => (quick ? kube(1, 20, 4) : kube(rounds, 500, 256))],
  ['kernel_cost', () => kernelCost(rounds)],
  ['kernel_flow', (field) => kernelFlow(field, quick ? 3 : 60)],
  ['seek', () => (quick ? seeking(3, 20, 0.1) : seeking(20, 200, 1))],
  ['kernel_delay', (field) => kernelDelay(field, 20_000, quick ? 5 : 30)],
  ['kernel_storm', (field) => (quick ? kernelStorm(field, 1_000, 500) : kernelStorm(field, 100_000, 40_000))],
  ['kernel_compile', () => kernelCompile(quick ? 1 : 10, quick ? 4 : 40)],
  ['kernel_hour', (field) => kernelHour(field, quick ? 0.1 : minutes)],
];

const chosen = scenarios.filter(([name]) => wanted.length === 0 || wanted.includes(name));
if (chosen.length === 0) {
  process.stderr.write(`no such benchmark; there are ${scenarios.map(([name]) => name).join(', ')}\n`);
  process.exit(64);
}
// Scenarios without a field run first, with the machine to themselves.
const field = chosen.some(([, run]) => run.length > 0) ? await openField() : null;
// A scenario without a field may wait for a thread that does not keep the process alive.
const awake = setInterval(() => undefined, 60_000);
try {
  const file = new URL('../../bench/results.md', import.meta.url);
  const sections: string[] = [];
  for (const [name, run] of chosen) {
    sections.push(`<!-- ${name} -->\n${markdown(await run(field!))}`);
    process.stdout.write(`${sections.at(-1)!}\n`);
    // Write after each scenario, so that an interrupted run keeps its results.
    if (!quick) writeFileSync(file, merge(file, sections));
  }
} finally {
  clearInterval(awake);
  await field?.close();
}

/** Keeps sections that were not run this time. */
function merge(file: URL, fresh: readonly string[]): string {
  let old = '';
  try {
    old = readFileSync(file, 'utf8');
  } catch {
    // The first run.
  }
  const byName = new Map([...old.matchAll(/<!-- (\w+) -->\n[^]*?(?=<!-- \w+ -->|$)/g)].map(([text, name]) => [name!, text]));
  for (const text of fresh) byName.set(/<!-- (\w+) -->/.exec(text)![1]!, text);
  const version = execFileSync('ssh', ['-V'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return (
    `# Results\n\nMade by \`npm run bench\`. ${cpus().length} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}` +
    `${version === '' ? '' : `, ${version.trim()}`}. Client, gateway and node share the machine.\n\n${[...byName.values()].join('')}`
  );
}
