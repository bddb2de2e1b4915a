/**
 * Configuration changed by a session (SOC 2, CC7.2), with the SHA-256 before and after as far as they are known: rows of the agent
 * about files that decide what a machine runs by itself and who may log in (schemas/kernel/configuration.ts). There is one rule for
 * each kind of file, so that each can be suppressed, or responded to, by itself. Sigma rules find that somebody writes to such a file;
 * this rule reports whether the content changed. Tested in configuration.test.ts.
 */
import { CONTENT_ROW, configurationKinds, configurationOf } from '#schemas/kernel/configuration.js';
import type { ConfigurationKind } from '#schemas/kernel/configuration.js';
import type { Detection, Detector, RuleFacts, SessionDetector } from '../detection/detector.js';
import { dataOf, happened, perSession, recorderRule } from './recorder-rule.js';

/** Findings per rule and session. */
const MAX_FINDINGS = 20;

const rule = (kind: ConfigurationKind, title: string, severity: RuleFacts['severity'], technique: string): RuleFacts =>
  recorderRule(
    `changed-${kind}`,
    title,
    'signal',
    severity,
    [technique],
    'Compare the SHA-256 with that of the version that is meant to be there (configuration management, the package); read the session at this moment for who wrote it and what.',
  );

export const configurationRules: Readonly<Record<ConfigurationKind, RuleFacts>> = {
  unit: rule('unit', 'A unit that the machine starts by itself has changed', 'medium', 'T1543.002'),
  cron: rule('cron', 'A table of cron has changed', 'medium', 'T1053.003'),
  sudoers: rule('sudoers', 'The rules of sudo have changed', 'medium', 'T1548.003'),
  keys: rule('keys', 'The keys that may log in to an account have changed', 'medium', 'T1098.004'),
  pam: rule('pam', 'The configuration of PAM has changed', 'medium', 'T1556.003'),
  preload: rule('preload', 'What is loaded into every program has changed', 'high', 'T1574.006'),
  sshd: rule('sshd', 'The configuration of sshd has changed', 'medium', 'T1098.004'),
};

class ConfigurationWatch implements SessionDetector {
  readonly #counts = new Map<string, number>();
  readonly #seen = new Set<string>();

  take(observation: Parameters<SessionDetector['take']>[0]): readonly Detection[] {
    if (observation.kind !== 'event') return [];
    const { row } = observation;
    if (row.source !== 'kernel' || row.kind !== 'file' || row.name !== CONTENT_ROW) return [];
    const kind = configurationOf(row.path);
    if (kind === null) return [];
    const found = configurationRules[kind];
    const { before, sha256_missing: missing } = dataOf(row);
    const known = typeof before === 'string' && /^[0-9a-f]{64}$/.test(before) ? before : null;
    const key = `${row.path} ${row.sha256}`.slice(-400);
    const count = this.#counts.get(found.id) ?? 0;
    if (known === row.sha256 || this.#seen.has(key) || count >= MAX_FINDINGS) return [];
    this.#seen.add(key);
    this.#counts.set(found.id, count + 1);
    const after = row.sha256 !== '' ? `SHA-256 ${row.sha256} now` : afterOf(missing);
    return [
      happened(
        found,
        [row],
        `${row.path} on ${row.node}: ${known === null ? 'not known before' : `SHA-256 ${known} before`}, ${after}`,
        key,
      ),
    ];
  }
}

function afterOf(missing: unknown): string {
  return missing === 'gone' ? 'removed now' : `not read now (${typeof missing === 'string' ? missing.slice(0, 40) : 'unknown'})`;
}

export function configurationDetector(): Detector {
  return perSession(
    'configuration',
    configurationKinds.map((kind) => configurationRules[kind]),
    () => new ConfigurationWatch(),
  );
}
