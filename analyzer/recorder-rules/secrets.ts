/**
 * Finds credentials shown on a screen: printed by a program, or typed where they were echoed. A finding contains the kind of the
 * credential, its first characters and its length, never the credential: users who may read findings need not be allowed to view the
 * session.
 *
 * Only forms that identify a credential by themselves are used, so that a file hash or a UUID is not reported. Tested in
 * secrets.test.ts.
 */
import type { ScreenRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, SessionDetector } from '../detection/detector.js';
import { typedCommand } from '../lines/typed-line.js';
import { perSession, recorderRule, seen } from './recorder-rule.js';

export const printed = recorderRule(
  'credential-on-screen',
  'A credential was printed on the screen',
  'alert',
  'high',
  ['T1552'],
  'Replace the credential: the recording keeps it, and everyone who may view the session can read it.',
);
export const typed = recorderRule(
  'credential-typed',
  'A credential was typed where it echoed',
  'signal',
  'medium',
  ['T1552.003'],
  'Replace the credential, and show the user how to give it without typing it: a file, a variable of a secret store, a prompt.',
);

interface Form {
  readonly kind: string;
  readonly pattern: RegExp;
}

/** The credential is the first group. No pattern has a repetition inside a repetition: each is linear on a line of a screen. */
const forms: readonly Form[] = [
  { kind: 'AWS access key', pattern: /\b((?:AKIA|ASIA)[A-Z2-7]{16})\b/ },
  { kind: 'AWS secret key', pattern: /secret_?access_?key["']?\s{0,4}[=:]\s{0,4}["']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])/i },
  { kind: 'GitHub token', pattern: /\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b/ },
  { kind: 'GitLab token', pattern: /\b(gl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,64})/ },
  { kind: 'Google API key', pattern: /\b(AIza[A-Za-z0-9_-]{35})\b/ },
  { kind: 'Google access token', pattern: /\b(ya29\.[A-Za-z0-9_-]{30,})/ },
  { kind: 'Slack token', pattern: /\b(xox[abeoprs]-[A-Za-z0-9-]{20,255})/ },
  { kind: 'Stripe key', pattern: /\b((?:sk|rk)_live_[A-Za-z0-9]{20,99})\b/ },
  { kind: 'npm token', pattern: /\b(npm_[A-Za-z0-9]{36})\b/ },
  { kind: 'PyPI token', pattern: /\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})/ },
  { kind: 'Vault token', pattern: /\b(hvs\.[A-Za-z0-9_-]{24,})/ },
  { kind: 'OpenAI or Anthropic key', pattern: /\b(sk-(?:ant-|proj-)[A-Za-z0-9_-]{30,})/ },
  { kind: 'Azure storage key', pattern: /AccountKey=([A-Za-z0-9+/]{86}==)/ },
  { kind: 'SendGrid key', pattern: /\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})/ },
  { kind: 'JSON web token', pattern: /\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})/ },
  { kind: 'private key', pattern: /(-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)/ },
  { kind: 'password hash', pattern: /^[\w.-]{1,32}:(\$(?:1|2[abxy]|5|6|7|y|gy)\$[./A-Za-z0-9$=,]{20,200}):/ },
  { kind: 'line of .pgpass', pattern: /^[\w.*-]{1,255}:(?:\d{1,5}|\*):[\w*-]{1,63}:[\w*-]{1,63}:(\S{4,128})$/ },
  { kind: 'password in an address', pattern: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,64}:([^\s:@/*<{$]{4,128})@[\w.-]/i },
];

/** Forms in command lines: the values of these options and variables. */
const arguments_: readonly Form[] = [
  { kind: 'password of an option', pattern: /\s--?(?:password|passwd|pass|passphrase|token|secret|api-key)[= ]["']?([^\s"'$<{(-][^\s"']{3,127})/i },
  { kind: 'password of curl', pattern: /\bcurl\b[^|;]{0,2000}\s(?:-u|--user)[= ]?["']?[^\s:"']{1,64}:([^\s"'$]{4,128})/ },
  { kind: 'password of mysql', pattern: /\bmysql(?:dump|admin)?\b[^|;]{0,2000}\s-p([^\s"'$-][^\s]{3,128})/ },
  { kind: 'password of sshpass', pattern: /\bsshpass\s{1,8}-p\s{0,8}["']?([^\s"'$]{4,128})/ },
  { kind: 'password in a variable', pattern: /\b(?:export\s{1,8})?\w{0,64}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|SECRET_ACCESS_KEY)=["']?([^\s"'$<{(][^\s"']{5,255})/ },
]; // prettier-ignore

/** Placeholders that stand in the place of a password. */
const placeholder =
  /^(?:x{3,}|\*+|\.{3,}|<.*|changeme|password|passwd|secret|example|your[_-].*|redacted|null|none|true|false|file:.*|\/.*)$/i;

/** Distinct credentials reported in one session. */
const MAX_FOUND = 200;
const MAX_LINE = 16_384;

export interface FoundSecret {
  readonly kind: string;
  /** Never shown. */
  readonly secret: string;
}

export function secretsIn(text: string, of: readonly Form[] = forms): readonly FoundSecret[] {
  const line = text.slice(0, MAX_LINE);
  return of.flatMap(({ kind, pattern }) => {
    const secret = pattern.exec(line)?.[1];
    return secret === undefined || placeholder.test(secret) ? [] : [{ kind, secret }];
  });
}

/** At most the first four characters, and never more than a fifth. */
export function masked({ kind, secret }: FoundSecret): string {
  if (kind === 'private key') return kind;
  const known = secret.slice(0, Math.min(4, Math.floor(secret.length / 5)));
  return `${kind} ${known}… of ${secret.length} characters`;
}

class SecretWatch implements SessionDetector {
  readonly #found = new Map<string, number>();

  take(observation: Observation): readonly Detection[] {
    if (observation.kind !== 'screen') return [];
    const { row } = observation;
    const command = typedCommand(row.text);
    if (command === undefined) return this.#tell(row, secretsIn(row.text), false);
    return this.#tell(row, [...secretsIn(command), ...secretsIn(` ${command}`, arguments_)], true);
  }

  #tell(row: ScreenRow, secrets: readonly FoundSecret[], isTyped: boolean): readonly Detection[] {
    return secrets.flatMap((found) => {
      if (this.#found.has(found.secret) || this.#found.size >= MAX_FOUND) return [];
      this.#found.set(found.secret, this.#found.size);
      // The key numbers the session's credentials: a digest would let a short password be guessed.
      const key = `${found.kind} ${this.#found.size}`;
      return [seen(isTyped ? typed : printed, row, `${isTyped ? 'typed' : 'shown'}: ${masked(found)}`, key)];
    });
  }
}

export function secretDetector(): Detector {
  return perSession('secrets', [printed, typed], () => new SecretWatch());
}
