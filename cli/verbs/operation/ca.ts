/** `steno ca`: the certificate authorities, their rotation, what seals their keys, and host certificates. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { issueHostCertificate } from '#schemas/api/services/certificates.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { caPhases, listCas, resealCas, rotateCa } from '#schemas/api/services/ca.js';
import type { CaPhase, CaReport } from '#schemas/api/services/ca.js';
import { parseDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import { readSecretFile } from '#runtime/service/secret-file.js';
import { overSocket, openClient } from '../../client/client.js';
import { dataDir, readRunFile } from '../../machine/data-dir.js';
import { openHome, readProfile, writeWhole } from '../../client/home.js';
import type { Profile } from '../../client/home.js';
import { json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { newPassphrase } from '../../terminal/secret-prompt.js';
import { freshTrust, refreshTrust } from '../../client/trust.js';
import { isFresh, readHostKeys } from '../../client/host-keys.js';

const NAMES = ['ssh-user', 'ssh-host', 'recording', 'x509-user', 'x509-service'];

export function caCommand(): Command {
  const command = new Command('ca').description('certificate authorities: keys, rotation, seal, host certificates');
  command
    .command('status')
    .description('keys of each CA, who they sign for, and how far rotations are')
    .option('--all', 'also keys that are retired')
    .option('--json', 'print JSON')
    .action(async (options: { all?: boolean; json?: boolean }) => {
      const home = openHome();
      const reports = await call(openClient(home).authority, listCas, {});
      await freshTrust(home);
      if (options.json === true) return json(standardOutput, reports);
      standardOutput.out.write(
        drawStatus(reports, options.all === true, (style, text) => styled(standardOutput.out, standardOutput.env, style, text)),
      );
    });
  command
    .command('rotate')
    .description('give a CA a new key, phase by phase, without restart and without ending a session')
    .argument('<ca>', `${NAMES.join(', ')} or all`)
    .option('--phase <phase>', `go to this phase: ${caPhases.filter((phase) => phase !== 'standby').join(', ')} or standby`, parsePhase)
    .option('--auto', 'go through all phases by the clock')
    .option('--grace <time>', 'with --auto: how long both keys are trusted, such as 24h or 7d', parseGrace, 24 * 3_600_000)
    .option('--force', 'drop the old key although services still hold certificates of it')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Phases:
  init            the new key is made and trusted; nobody is certified with it yet
  update-clients  users and services get certificates of the new key
  update-servers  host certificates, recordings and the authority's own too
  standby         the old key is dropped; it is kept to verify old recordings, and nothing else
  rollback        back to the old key, from any phase before standby; standby then drops the new one

Before update-clients of ssh-user, nodes without a Steno agent need both keys in the file of TrustedUserCAKeys:
  steno ca export user > /etc/ssh/steno_user_ca.pub
Before standby of ssh-host they need a new certificate: steno ca sign-host. Users' machines learn new keys at every
login, at every \`steno ssh\`, and by \`steno ca status\`: let a phase last as long as a login does.`,
    )
    .action(async (name: string, options: { phase?: CaPhase; auto?: boolean; grace: number; force?: boolean; json?: boolean }) => {
      if (name !== 'all' && !NAMES.includes(name)) throw new StenoError('USAGE', `"${visible(name)}" is none of ${NAMES.join(', ')}, all`);
      if ((options.phase === undefined) === (options.auto !== true)) throw new StenoError('USAGE', 'give --phase PHASE or --auto');
      const home = openHome();
      const client = openClient(home);
      const body =
        options.phase === undefined
          ? { grace_ms: options.grace }
          : { phase: options.phase, ...(options.force === true ? { force: true } : {}) };
      // The user CA last: the dropped key may have signed this command's own certificate.
      const names = name === 'all' ? [...NAMES.filter((each) => each !== 'ssh-user'), 'ssh-user'] : [name];
      const reports: CaReport[] = [];
      for (const each of names) {
        const report = await call(client.authority, rotateCa, { params: { name: each }, body });
        reports.push(report);
        if (options.json !== true)
          standardOutput.out.write(
            drawStatus([report], false, (style, text) => styled(standardOutput.out, standardOutput.env, style, text)),
          );
      }
      if (options.json === true) json(standardOutput, reports);
      await freshTrust(home);
    });
  command
    .command('export')
    .description('print the public keys of a CA, both while it is rotated')
    .argument('<which>', 'user, host, recording, x509-user or x509-service')
    .action(async (which: string) => {
      const home = openHome();
      const parts: Readonly<Record<string, (profile: Profile) => string>> = {
        user: (profile) => lines(profile.ssh_user_ca),
        host: (profile) => lines(profile.ssh_host_ca),
        recording: (profile) => lines(profile.recording_ca),
        'x509-user': (profile) => profile.x509_user_ca,
        'x509-service': (profile) => profile.service_ca,
      };
      const part = Object.hasOwn(parts, which) ? parts[which] : undefined;
      if (part === undefined) throw new StenoError('USAGE', `"${visible(which)}" is none of ${Object.keys(parts).join(', ')}`);
      const profile = await refreshTrust(home).catch((error: unknown) => {
        const kept = readProfile(home);
        standardOutput.err.write(`steno: as of the last login: ${error instanceof Error ? visible(error.message) : ''}\n`);
        return kept;
      });
      standardOutput.out.write(part(profile));
    });
  command
    .command('sign-host')
    .description('issue a host certificate for the sshd of a node')
    .argument('<key.pub>', 'its host key, such as /etc/ssh/ssh_host_ed25519_key.pub')
    .requiredOption('--name <node>', 'the node it is for')
    .option('--ttl <time>', 'how long it shall count, from 1h to 366d; default is 24h', parseHostTtl)
    .option('--out <file>', 'keep it fresh in this file: ask only when a third of its life is left, or while the CA is rotated')
    .addHelpText(
      'after',
      `
With --out it is made for a timer: what is good still is left alone, and nothing is printed. The certificate that sshd shows
is read when sshd starts or reloads. A role with {resources: [node], verbs: [update]} is enough, for nodes that are
registered, up to 30 days: see docs/openssh-nodes.md.`,
    )
    .action(async (file: string, options: { name: string; ttl?: number; out?: string }) => {
      const [line] = readHostKeys(readFileSync(file, 'utf8'));
      if (line === undefined) throw new StenoError('USAGE', `no public key in ${file}`);
      const home = openHome();
      const { out } = options;
      if (out !== undefined && isFresh(out, line, options.name, (await refreshTrust(home)).ssh_host_ca, Date.now())) return;
      const { certificate } = await call(openClient(home).authority, issueHostCertificate, {
        body: {
          public_key: line,
          name: options.name,
          ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        },
      });
      if (out === undefined) standardOutput.out.write(`${certificate.trim()}\n`);
      else {
        writeWhole(out, `${certificate.trim()}\n`, 0o644);
        standardOutput.err.write(`${out} is new\n`);
      }
    });
  command
    .command('reseal')
    .description('change what opens the CA keys at rest: a key file, or a passphrase')
    .option('--data <dir>', 'data directory of the Steno')
    .option('--passphrase', 'a passphrase, asked for at the terminal')
    .option('--passphrase-file <file>', 'a passphrase, the first line of a file that only you can read')
    .option('--key-file', 'a new key file in the data directory')
    .addHelpText(
      'after',
      `
With a passphrase \`steno up\` asks for it at the terminal, or reads the file that STENO_SEAL_PASSPHRASE_FILE names. There is
no way in without it: keep it where a fire does not reach it. What sealed the keys before opens them no more.`,
    )
    .action(async (options: { data?: string; passphrase?: boolean; passphraseFile?: string; keyFile?: boolean }) => {
      const chosen = [options.passphrase, options.passphraseFile, options.keyFile].filter((value) => value !== undefined);
      if (chosen.length !== 1) throw new StenoError('USAGE', 'give one of --passphrase, --passphrase-file and --key-file');
      const { socket } = readRunFile(dataDir(options.data));
      const body =
        options.keyFile === true
          ? { kind: 'file' as const }
          : {
              kind: 'passphrase' as const,
              passphrase:
                options.passphraseFile === undefined
                  ? await newPassphrase()
                  : readSecretFile(options.passphraseFile, 'SEAL_PASSPHRASE_WEAK'),
            };
      await call(overSocket(socket), resealCas, { body });
      standardOutput.out.write(
        `From now on ${body.kind === 'file' ? 'a new key file opens' : 'this passphrase opens'} the CA keys, and nothing else does.\n`,
      );
    });
  return command;
}

type Paint = (style: 'bold' | 'dim' | 'green' | 'yellow', text: string) => string;
const course: readonly CaPhase[] = ['init', 'update-clients', 'update-servers', 'standby'];

/** One paragraph for each CA: phase, keys, and, while it is rotated, the way it has to go. */
function drawStatus(reports: readonly CaReport[], all: boolean, paint: Paint): string {
  return reports
    .map((report) => {
      const { name, phase, keys } = report;
      const moving = phase !== 'standby';
      const lines = [`${paint('bold', name.padEnd(14))}${moving ? paint('yellow', phase) : 'standby'}`];
      if (moving)
        lines.push(
          `  ${phase === 'rollback' ? `${paint('yellow', '◄ rollback')} ─── ${paint('dim', '○ standby')}` : drawCourse(phase, paint)}`,
        );
      const retired = keys.filter(({ state }) => state === 'retired');
      for (const key of all ? keys : keys.filter(({ state }) => state !== 'retired')) {
        const role =
          key.signs.length > 0
            ? `signs for ${key.signs.join(' and ')}`
            : key.state === 'retired'
              ? `retired ${moment(key.retired_at ?? 0)}`
              : 'trusted';
        const mark = key.signs.length > 0 ? paint('green', '●') : key.state === 'retired' ? paint('dim', '·') : '○';
        lines.push(
          `  ${mark} ${String(key.generation).padStart(2)}  ${role.padEnd(29)} ${`${key.algorithm}${key.signer === 'sealed' ? '' : ', in the token'}`.padEnd(11)}  ${paint('dim', key.fingerprint)}`,
        );
      }
      if (!all && retired.length > 0) lines.push(paint('dim', `      ${retired.length} retired`));
      if (report.waits_for.length > 0)
        lines.push(`  ${paint('yellow', '!')} still with a certificate of the other key: ${report.waits_for.map(visible).join(', ')}`);
      if (moving) {
        const by = `since ${moment(report.changed_at ?? 0)}, by ${visible(report.changed_by)}`;
        lines.push(
          paint(
            'dim',
            `  ${by}; ${report.next_at === null ? `next: steno ca rotate ${name} --phase ${course[course.indexOf(phase) + 1] ?? 'standby'}` : `goes on by itself at ${moment(report.next_at)}`}`,
          ),
        );
      }
      return `${lines.join('\n')}\n`;
    })
    .join('\n');
}

function drawCourse(phase: CaPhase, paint: Paint): string {
  const at = course.indexOf(phase);
  return course
    .map((step, i) => (i < at ? paint('green', `✓ ${step}`) : i === at ? paint('yellow', `● ${step}`) : paint('dim', `○ ${step}`)))
    .join(' ─── ');
}

function lines(keys: readonly string[]): string {
  return keys.map((line) => `${line}\n`).join('');
}

function parsePhase(text: string): CaPhase {
  const phase = caPhases.find((known) => known === text);
  if (phase === undefined) throw new InvalidArgumentError(`The phases are ${caPhases.join(', ')}.`);
  return phase;
}

/** Seconds. */
function parseHostTtl(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms < 3_600_000 || ms > 366 * 86_400_000) throw new InvalidArgumentError('Give a time from 1h to 366d, such as 30d.');
  return Math.floor(ms / 1000);
}

function parseGrace(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms < 60_000) throw new InvalidArgumentError('Give a time of a minute or more, such as 24h.');
  return ms;
}
