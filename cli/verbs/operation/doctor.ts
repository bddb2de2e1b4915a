/** `steno doctor`: for a machine that runs services of Steno. The client's package leaves it out. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { showStatus } from '#schemas/api/recordings/status.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { sshBindingAvailable } from '#runtime/ssh/native-binding.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openClient } from '../../client/client.js';
import { checkDisk, dataDir, readRunFile } from '../../machine/data-dir.js';
import { openHome, readProfile } from '../../client/home.js';
import { bytes, json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { requireNodeVersion } from '../../machine/node-version.js';

interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'failing';
  readonly detail: string;
  readonly fix?: string;
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('examine this machine, the installation and the login, and say what to mend')
    .option('--data <dir>', 'data directory of the Steno on this machine')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit code 2 when a check fails.')
    .action(async (options: { data?: string; json?: boolean }) => {
      const checks = await examine(options.data);
      if (checks.some(({ state }) => state === 'failing')) process.exitCode = 2;
      if (options.json === true) return json(standardOutput, checks);
      const { out, env } = standardOutput;
      const marks = { ok: styled(out, env, 'green', '✓'), warning: styled(out, env, 'yellow', '!'), failing: styled(out, env, 'red', '✗') };
      for (const { name, state, detail, fix } of checks) {
        out.write(`${marks[state]} ${name.padEnd(16)} ${visible(detail)}\n`);
        if (state !== 'ok' && fix !== undefined) out.write(`  ${' '.repeat(16)} ${styled(out, env, 'dim', fix)}\n`);
      }
    });
}

async function examine(data: string | undefined): Promise<Check[]> {
  const dir = dataDir(data);
  const home = openHome();
  const check = async (name: string, absent: Check['state'], look: () => string | Promise<string>): Promise<Check> => {
    try {
      return { name, state: 'ok', detail: await look() };
    } catch (error) {
      const known =
        error instanceof StenoError ? error : new StenoError('INTERNAL', error instanceof Error ? error.message : String(error));
      return { name, state: absent, detail: known.message, fix: known.entry.fix };
    }
  };
  return Promise.all([
    check('node', 'failing', () => {
      requireNodeVersion();
      return `Node.js ${process.versions.node}`;
    }),
    check('ssh2 binding', 'failing', () => {
      if (!sshBindingAvailable()) throw new StenoError('BINDING_MISSING');
      return 'native binding in use';
    }),
    check('ssh client', 'warning', () => {
      // `ssh -V` writes to standard error.
      const version = execFileSync('sh', ['-c', 'ssh -V 2>&1'], { encoding: 'utf8', timeout: 5_000 });
      return version.trim();
    }),
    check('disk', 'failing', () => {
      const { free, total } = checkDisk(dir.path);
      return `${bytes(free)} of ${bytes(total)} free at ${dir.path}`;
    }),
    check('steno', 'warning', () => {
      const run = readRunFile(dir);
      return `version ${run.version}, process ${run.pid}, since ${moment(run.started_at)}`;
    }),
    check('login', 'warning', () => {
      const profile = readProfile(home);
      const certificate = parseCertificate(parseAuthorizedLine(readFileSync(home.certificate, 'utf8')).blob);
      const until = Number(certificate.validBefore) * 1000;
      if (until <= Date.now()) throw new StenoError('CERT_EXPIRED', `at ${moment(until)}`);
      return `${profile.user}, until ${moment(until)}`;
    }),
    kernelEvents(),
    quarantine(dir.path),
    check('services', 'warning', async () => {
      const { checks } = await call(openClient(home).viewer, showStatus, {});
      const bad = checks.filter(({ ok }) => !ok);
      if (bad.length > 0) throw new StenoError('STORE_UNAVAILABLE', bad.map(({ name, detail }) => `${name}: ${detail}`).join('; '));
      return checks.map(({ name }) => name).join(', ');
    }),
  ]);
}

/** Recordings, audit rows and kernel events that could not be sent and wait for a person. */
async function quarantine(data: string): Promise<Check> {
  const places = [
    ['gateway/spool/quarantine', /./],
    ['gateway/spool/events', /\.refused$/],
    ['gateway/spool/free-events', /\.refused$/],
    ['agent/kernel', /\.refused$/],
    ['kernel', /\.refused$/],
  ] as const;
  const found = places.flatMap(([place, fits]) => {
    const path = join(data, place);
    const files = namesIn(path).filter((name) => fits.test(name)).length;
    return files === 0 ? [] : [`${files} ${files === 1 ? 'file' : 'files'} in ${path}`];
  });
  if (found.length === 0) return { name: 'quarantine', state: 'ok', detail: 'empty' };
  return {
    name: 'quarantine',
    state: 'warning',
    detail: found.join('; '),
    fix: 'Look for `quarantined` and `refused` in `steno audit` and in the logs, keep what you need, then delete the files.',
  };
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    // There is no such file, or it belongs to another user.
    return [];
  }
}

/** Whether this machine, as a node, can record what sessions do in its kernel; every thing that is missing, and its cure. */
async function kernelEvents(): Promise<Check> {
  // Loaded here alone: it brings libbpf's bindings.
  const { obstacles } = await import('../../../agent/kernel/probes/programs.js');
  const found = obstacles();
  if (found.length === 0) return { name: 'kernel events', state: 'ok', detail: 'sessions on this machine can be followed in its kernel' };
  return {
    name: 'kernel events',
    state: 'warning',
    detail: found.map(({ what }) => what).join('; '),
    fix: found.map(({ fix }) => fix).join(' '),
  };
}
