/** `steno status` and `steno doctor`. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { StatusReport } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { sshBindingAvailable } from '#runtime/ssh/native-binding.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openClient } from '../client.js';
import { checkDisk, dataDir, readRunFile } from '../data-dir.js';
import { openHome, readProfile } from '../home.js';
import { bytes, json, moment, standardOutput, styled, visible } from '../output.js';

export function statusCommand(): Command {
  return new Command('status')
    .description('who you are to Steno, and how it is')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const client = openClient(openHome());
      const { profile } = client;
      const report = await client.get<StatusReport>('/api/status');
      if (options.json === true) {
        json(standardOutput, {
          user: profile.user,
          roles: profile.roles,
          logins: profile.logins,
          valid_before: profile.valid_before,
          ssh: profile.ssh,
          web: profile.web,
          ...report,
        });
        return;
      }
      const { out, env } = standardOutput;
      const row = (name: string, value: string): void => void out.write(`${styled(out, env, 'dim', name.padEnd(12))} ${value}\n`);
      row('user', `${styled(out, env, 'bold', visible(profile.user))} (${profile.roles.join(', ')})`);
      row('logins', profile.logins.join(', '));
      row('certificate', `until ${moment(profile.valid_before)}`);
      row('gateway', profile.ssh);
      row('viewer', profile.web);
      row('version', report.version);
      row('sessions', `${report.sessions_live} live, ${report.sessions_total} recorded`);
      for (const check of report.checks) {
        row(check.name, `${styled(out, env, check.ok ? 'green' : 'red', check.ok ? 'ok' : 'failing')} ${visible(check.detail)}`);
      }
      if (report.checks.some(({ ok }) => !ok)) process.exitCode = 2;
    });
}

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
    check('services', 'warning', async () => {
      const { checks } = await openClient(home).get<StatusReport>('/api/status');
      const bad = checks.filter(({ ok }) => !ok);
      if (bad.length > 0) throw new StenoError('STORE_UNAVAILABLE', bad.map(({ name, detail }) => `${name}: ${detail}`).join('; '));
      return checks.map(({ name }) => name).join(', ');
    }),
  ]);
}

/** Whether this machine, as a node, can record what sessions do in its kernel; every thing that is missing, and its cure. */
async function kernelEvents(): Promise<Check> {
  // Loaded here alone: it brings libbpf's bindings.
  const { obstacles } = await import('../../agent/kernel/programs.js');
  const found = obstacles();
  if (found.length === 0) return { name: 'kernel events', state: 'ok', detail: 'sessions on this machine can be followed in its kernel' };
  return {
    name: 'kernel events',
    state: 'warning',
    detail: found.map(({ what }) => what).join('; '),
    fix: found.map(({ fix }) => fix).join(' '),
  };
}

export function requireNodeVersion(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) throw new StenoError('NODE_VERSION', `${process.versions.node}, needed is 20.19`);
}
