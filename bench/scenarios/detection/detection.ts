/**
 * How soon something is noticed and acted on, end to end: real `ssh`, the kernel's own events, a webhook, a frozen terminal, an ended session.
 *
 * Marks are files whose names hold the moment at which a program of the session made them; each has a rule of its own, since matches
 * of one rule within a minute are one finding. The moment of detection is what the analyzer logs with each answer of the authority.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Steno, eventually } from '../../../test/end-to-end/machine.js';
import type { Terminal } from '../../../test/end-to-end/machine.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { buildLoad } from '../kernel/load.js';

const RATE = 20_000;
const MARKS_A_SECOND = 10;
const AT_A_TIME = 8;
/** What takes longer is left out, so that the amounts say how much of it there was. */
const LATE_MS = 15_000;
/** The analyzer reads the session's beginning from the store first. */
const WARM_UP_SECONDS = 5;

const now = (): number => performance.timeOrigin + performance.now();
const idOf = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
const FREEZE = idOf(0xf1);
const END = idOf(0xe1);
const markId = (mark: number): string => idOf(0x1000 + mark);

const program = (name: string, id: string): string =>
  `title: Runs ${name}\nid: ${id}\nlogsource: { category: process_creation, product: linux }\ndetection: { selection: { CommandLine: /bin/true ${name} }, condition: selection }\nlevel: high\n`;
const file = (start: string, id: string): string =>
  `title: A mark\nid: ${id}\nlogsource: { category: file_event, product: linux }\ndetection: { selection: { TargetFilename|startswith: ${start} }, condition: selection }\nlevel: high\n`;

/** Of one response, as the analyzer logged it. */
interface Response {
  readonly rule: string;
  /** ms since 1970. */
  readonly detectedAt: number;
}

interface Scene {
  readonly steno: Steno;
  readonly load: string;
  readonly folder: string;
}

const responsesOf = ({ data }: Steno): readonly Response[] =>
  readFileSync(join(data, 'logs', 'store.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"msg":"response"'))
    .map((line) => JSON.parse(line) as { readonly rule: string; readonly time: string; readonly ms: number })
    .map(({ rule, time, ms }) => ({ rule, detectedAt: Date.parse(time) - ms }));

export async function detection(seconds: number, sessions: number): Promise<Section> {
  process.stderr.write('detection: from the kernel to a webhook, a frozen and an ended session\n');
  const steno = new Steno();
  const marks = seconds * MARKS_A_SECOND;
  const folder = join(steno.folder, 'bench');
  for (const name of ['rules', 'marks', 'files']) mkdirSync(join(folder, name), { recursive: true });
  const rules = join(folder, 'rules');
  writeFileSync(join(rules, 'freeze.yml'), program('to-freeze', FREEZE));
  writeFileSync(join(rules, 'end.yml'), program('to-end', END));
  for (let mark = 0; mark < marks; mark += 1) writeFileSync(join(rules, `${mark}.yml`), file(`${folder}/marks/${mark}-`, markId(mark)));
  const dry = join(folder, 'dry.yaml');
  writeFileSync(
    dry,
    `dry_run: true\nlimit: { responses: 10000 }\nresponses:\n  - { rules: [${Array.from({ length: marks }, (_, mark) => markId(mark)).join(', ')}], action: freeze }\n`,
  );
  const acting = join(folder, 'acting.yaml');
  writeFileSync(
    acting,
    `limit: { responses: 10000 }\nresponses:\n  - { rules: [${FREEZE}], action: freeze }\n  - { rules: [${END}], action: end, without_confirmation: true }\n`,
  );
  const receiver = await receive();
  try {
    const scene: Scene = { steno, folder, load: buildLoad(folder) };
    await steno.start('--rules', rules, '--responses', dry);
    await steno.json('login', '--data', steno.data);
    await subscribe(scene, receiver.port);
    const seen = await noticed(scene, seconds, marks, receiver.arrived);
    await steno.stop();
    await steno.start('--rules', rules, '--responses', acting);
    // Its ports are others now.
    await steno.json('login', '--data', steno.data);
    const quiet = [await ended(scene, 'to-freeze', FREEZE, sessions), await ended(scene, 'to-end', END, sessions)] as const;
    const busy = await beside(scene, async () => [
      await ended(scene, 'to-freeze', FREEZE, sessions),
      await ended(scene, 'to-end', END, sessions),
    ]);
    const row = (what: string, values: readonly number[]): string[] => [
      what,
      String(values.length),
      ...[0.5, 0.99, 1].map((q) => (values.length === 0 ? '' : round3(quantile(values, q)))),
    ];
    const at = `${RATE.toLocaleString('en')} events/s in another session`;
    return {
      title: 'From the kernel to a finding, a webhook, a frozen and an ended session',
      how: `One Steno on this machine with every rule that comes with it, ms. Finding and webhook: ${MARKS_A_SECOND} files a second are made in a session in which a program opens ${RATE.toLocaleString('en')} files a second (reached: ${seen.reached}), no two in a row alike, for ${seconds} s after ${WARM_UP_SECONDS} s to warm up; from the moment in the file's name to the analyzer's detection, and to the webhook's request, which follows the finding's row in the store. Frozen and ended: ${sessions} sessions over stock \`ssh\` each; a session runs a program of its own, and its terminal says that it is frozen, or ends. From the analyzer's detection, and from just before the program began. \`npm run bench -- detection\`.`,
      header: ['', 'times', 'p50', 'p99', 'most'],
      rows: [
        row(`event to detection, ${RATE.toLocaleString('en')} events/s in the session`, seen.detected),
        row('event to webhook, as above', seen.told),
        ...(['frozen', 'ended'] as const).flatMap((what, i) => [
          row(`detection to ${what}`, quiet[i]!.detection),
          row(`detection to ${what}, ${at}`, busy[i]!.detection),
          row(`program to ${what}`, quiet[i]!.event),
          row(`program to ${what}, ${at}`, busy[i]!.event),
        ]),
      ],
    };
  } finally {
    await steno.dispose();
    receiver.close();
  }
}

async function receive(): Promise<{ readonly port: number; readonly arrived: Map<number, number>; close(): void }> {
  /** ms from the mark to its webhook request. */
  const arrived = new Map<number, number>();
  const server = createServer((request, response) => {
    const at = now();
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const found = /\/marks\/(\d+)-(\d+\.\d+)/.exec(text);
      if (found !== null && !arrived.has(Number(found[1]))) arrived.set(Number(found[1]), at - Number(found[2]) * 1_000);
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    arrived,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function subscribe({ steno, folder }: Scene, port: number): Promise<void> {
  const secrets = join(steno.data, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true });
  writeFileSync(join(secrets, 'bench'), 'a secret', { mode: 0o600 });
  const document = join(folder, 'webhook.yml');
  writeFileSync(
    document,
    `kind: webhook\nname: bench\nformat: json\nurl: http://127.0.0.1:${port}/\nsecret: { file: bench }\nevents: [finding.new]\nmin_severity: high\n`,
  );
  const { status, stderr } = await steno.steno('apply', '-f', document);
  if (status !== 0) throw new Error(stderr);
}

async function noticed({ steno, folder, load }: Scene, seconds: number, marks: number, arrived: ReadonlyMap<number, number>) {
  const script = join(folder, 'mark.sh');
  const made = join(folder, 'made');
  writeFileSync(
    script,
    `${load} rate ${RATE} ${seconds + WARM_UP_SECONDS + 1} ${folder}/files &
mkfifo ${folder}/never; exec 9<> ${folder}/never; read -t ${WARM_UP_SECONDS} -u 9
i=0; while [ $i -lt ${marks} ]; do
  at=$EPOCHREALTIME; : > ${folder}/marks/$i-$at; made="$made$i $at
"
  i=$((i + 1)); read -t ${1 / MARKS_A_SECOND} -u 9
done
printf %s "$made" > ${made}; wait
`,
  );
  const { status, stdout, stderr } = await steno.ssh(`${steno.login}@local.steno`, `exec bash ${script}`);
  if (status !== 0) throw new Error(`the session ended with ${status}: ${stderr}`);
  // The analyzer asks for no response of a session that is over: one that fell behind answers fewer.
  await within(LATE_MS, () => arrived.size === marks);
  const responses = new Map(responsesOf(steno).map(({ rule, detectedAt }) => [rule, detectedAt]));
  const moments = new Map(
    readFileSync(made, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number) as [number, number]),
  );
  return {
    reached: stdout.trim().split(' ')[1] ?? '',
    detected: [...moments].flatMap(([mark, at]) => (responses.has(markId(mark)) ? [responses.get(markId(mark))! - at * 1_000] : [])),
    told: [...arrived.values()],
  };
}

/** Waits until it is so, but no longer than the limit. */
async function within(limitMs: number, isSo: () => boolean): Promise<void> {
  await eventually(() => Promise.resolve(isSo()), Boolean, limitMs).catch(() => undefined);
}

async function inTime(happens: Promise<unknown>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
  const done = happens.then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Sessions that run a program for which they are frozen or ended, one after the other; fewer than `count` if one is not in time. */
async function ended({ steno }: Scene, name: string, rule: string, count: number) {
  const answers = (): readonly Response[] => responsesOf(steno).filter((response) => response.rule === rule);
  const before = answers().length;
  const moments: { readonly began: number; readonly over: number }[] = [];
  for (let isLate = false; moments.length < count && !isLate;) {
    const batch = await Promise.all(Array.from({ length: Math.min(AT_A_TIME, count - moments.length) }, () => begin(steno)));
    for (const shell of batch) {
      shell.write(`${name}\r`);
      isLate = !(await inTime(rule === FREEZE ? shell.until(/this session is frozen/) : shell.ended, LATE_MS));
      if (isLate) break;
      const over = now();
      moments.push({ began: Number(/began:(\d+\.\d+)/.exec(shell.text())![1]) * 1_000, over });
    }
    for (const shell of batch) shell.kill();
    await Promise.all(batch.map((shell) => shell.ended));
  }
  await within(LATE_MS, () => answers().length >= before + moments.length);
  const responses = answers().slice(before);
  return {
    detection: moments.flatMap(({ over }, i) => (responses[i] === undefined ? [] : [over - responses[i].detectedAt])),
    event: moments.map(({ over, began }) => over - began),
  };
}

/** A shell that runs `/bin/true` with the word that is typed: rules look into `bash -c` as well, so no argument may have the word before. */
async function begin(steno: Steno): Promise<Terminal> {
  const command = `bash -c 'echo rea""dy; read x; echo began:$EPOCHREALTIME; /bin/true $x; exec cat'`;
  const shell = steno.terminal('ssh', ['-F', steno.config, '-tt', `${steno.login}@local.steno`, command]);
  await shell.until(/ready/);
  return shell;
}

/** While another session opens files. */
async function beside<T>({ steno, folder, load }: Scene, run: () => Promise<T>): Promise<T> {
  const child: ChildProcess = spawn(
    'ssh',
    ['-F', steno.config, `${steno.login}@local.steno`, `echo ready; exec ${load} rate ${RATE} 3600 ${folder}/files`],
    { env: steno.env, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const over = once(child, 'close');
  await once(child.stdout!, 'data');
  try {
    return await run();
  } finally {
    child.kill();
    await over;
  }
}
