/**
 * `steno evidence`: what an auditor takes home for a period, as one folder: the queries that come with Steno with their answers, a sample of sessions
 * with their recordings verified here, access as it is held now, what is stored by month, and one page to read. A manifest names every file with its
 * SHA-256 and is signed with the certificate of whoever makes the pack. docs/sql.md. Tested in test/end-to-end/evidence-pack.test.ts.
 *
 * The manifest is written last: a folder without one is unfinished.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { listAccessHoldings } from '#schemas/api/access/access-reviews.js';
import { showSqlSchema } from '#schemas/api/recordings/sql.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { MAX_SQL_ROWS, MAX_SQL_SECONDS } from '#schemas/sql/bounds.js';
import { csvLines } from '#schemas/sql/csv.js';
import { withPeriod } from '#schemas/sql/period.js';
import type { Period } from '#schemas/sql/period.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { signMessage } from '#runtime/ssh/sshsig.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { version } from '../../machine/version.js';
import { parseMoment } from '../../terminal/arguments.js';
import { escapedJson, json, standardOutput } from '../../terminal/output.js';
import { evidencePage } from './evidence-page.js';
import type { EvidenceAnswer, EvidenceManifest, VerifiedSession } from './evidence-page.js';
import { runQuery } from './run.js';
import type { SqlAnswered } from './run.js';

interface Options {
  readonly from: number;
  readonly to?: number;
  readonly output: string;
  readonly sample: number;
  readonly seed?: string;
  readonly json?: boolean;
}

/** Namespace of the signature: `ssh-keygen -Y verify -n steno-evidence`. */
const EVIDENCE_NAMESPACE = 'steno-evidence';
/** Limit of one recording; larger ones are listed as left out. */
const MAX_RECORDING_BYTES = 256 << 20;

const sessionsQuery = `SELECT session, started_at, ended_at, user, node, login, kind, state, roles, request_id
FROM sessions
WHERE started_at >= {from} AND started_at < {to} AND state = 'sealed'`;
const storedQuery = `SELECT formatDateTime(started_at, '%Y-%m') AS month, count() AS sessions, countIf(state = 'sealed') AS sealed, sum(stored_bytes) AS bytes, min(started_at) AS oldest
FROM sessions GROUP BY month ORDER BY month`;

export function evidenceCommand(): Command {
  return new Command('evidence')
    .description('make an evidence pack for a period: answers, sampled recordings, a signed manifest and a page')
    .requiredOption('--from <when>', 'beginning of the period: a date, or an age such as 90d', (value) => parseMoment(value))
    .option('--to <when>', 'its end; default is now', (value) => parseMoment(value))
    .requiredOption('-o, --output <folder>', 'a folder that is new or empty')
    .option('--sample <n>', 'so many sealed sessions are taken and verified, 0 to 200', sampleSize, 25)
    .option('--seed <text>', 'of the sample; one is made unless told')
    .option('--json', 'print the manifest')
    .addHelpText(
      'after',
      '\nThe pack says who made it and what they may see: make it with a role that has view: all and may run SQL.\nExit code 1 when a sampled recording does not verify.',
    )
    .action(async (options: Options) => {
      const period: Period = { from: options.from, to: options.to ?? Date.now() };
      if (period.from >= period.to) throw new StenoError('USAGE', '--from is not before --to');
      if (options.seed !== undefined && !/^[\x20-\x7e]{1,64}$/.test(options.seed))
        throw new StenoError('USAGE', 'a seed is 1 to 64 printable characters');
      const manifest = await new Pack(options.output, period).make(options.sample, options.seed ?? randomBytes(8).toString('hex'));
      const bad = manifest.sampled.filter(({ verdict }) => verdict !== 'verified').length;
      if (options.json === true) json(standardOutput, manifest);
      else
        standardOutput.out.write(
          `${options.output}: ${manifest.files.length} files, ${manifest.sampled.length} of ${manifest.sample.population} sessions verified but for ${bad}\n`,
        );
      if (bad > 0) process.exitCode = 1;
    });
}

function sampleSize(text: string): number {
  const value = Number(text);
  if (!/^\d{1,3}$/.test(text) || value > 200) throw new InvalidArgumentError('not a whole number from 0 to 200');
  return value;
}

class Pack {
  readonly #folder: string;
  readonly #period: Period;
  readonly #home = openHome();
  readonly #client: Client;
  readonly #files: { readonly path: string; readonly bytes: number; readonly sha256: string }[] = [];

  constructor(folder: string, period: Period) {
    this.#folder = folder;
    this.#period = period;
    this.#client = openClient(this.#home);
  }

  async make(size: number, seed: string): Promise<EvidenceManifest> {
    if (existsSync(this.#folder) && readdirSync(this.#folder).length > 0) throw new StenoError('USAGE', `${this.#folder} is not empty`);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const { packs } = await call(this.#client.viewer, showSqlSchema, {});
    const answers: EvidenceAnswer[] = [];
    for (const query of packs) {
      this.#note(query.title);
      const { sql, answer } = await this.#ask(query.sql);
      this.#write(`queries/${query.id}.sql`, `${sql}\n`);
      this.#write(`queries/${query.id}.csv`, [...csvLines(answer)].join(''));
      answers.push({ id: query.id, criterion: query.criterion, title: query.title, proves: query.proves, answer });
    }
    const stored = await this.#ask(storedQuery);
    this.#write('retention.csv', [...csvLines(stored.answer)].join(''));
    this.#note('access');
    this.#write('access.json', escapedJson(await call(this.#client.authority, listAccessHoldings, {}), 1));
    const picked = await this.#ask(sessionsQuery, size === 0 ? undefined : { size, seed });
    this.#write('sample.sql', `-- ${size} rows by the seed ${JSON.stringify(seed)}\n${picked.sql}\n`);
    const sampled = size === 0 ? [] : await this.#recordings(picked.answer);
    this.#write('sample.csv', size === 0 ? '' : [...csvLines(picked.answer)].join(''));
    this.#write('verification.json', escapedJson(sampled, 1));
    const facts = {
      version: 1 as const,
      steno: version,
      made_at: Date.now(),
      made_by: this.#client.profile.user,
      principal: parseCertificate(this.#certificate()).principals[0] ?? '',
      roles: this.#client.profile.roles,
      cluster: this.#client.profile.cluster ?? '',
      period: this.#period,
      sample: { seed, size, population: picked.answer.sample?.population ?? picked.answer.rows.length, hash: picked.answer.hash },
      answers: answers.map(({ id, answer: { rows, truncated, hash } }) => ({ id, rows: rows.length, truncated, hash })),
      sampled,
      recording_ca: this.#client.profile.recording_ca,
    };
    this.#write('index.html', evidencePage(facts, answers, stored.answer));
    const manifest: EvidenceManifest = { ...facts, files: this.#files };
    const text = `${escapedJson(manifest, 1)}\n`;
    const key = loadPrivateKey(readFileSync(this.#home.key, 'utf8'));
    const certificate = this.#certificate();
    writeFileSync(
      join(this.#folder, 'manifest.json.sig'),
      signMessage(key, Buffer.from(text), { namespace: EVIDENCE_NAMESPACE, certificate }),
    );
    writeFileSync(join(this.#folder, 'manifest.json'), text);
    return manifest;
  }

  #certificate(): Uint8Array {
    return parseAuthorizedLine(readFileSync(this.#home.certificate, 'utf8')).blob;
  }

  async #ask(
    text: string,
    sample?: { readonly size: number; readonly seed: string },
  ): Promise<{ readonly sql: string; readonly answer: SqlAnswered }> {
    const sql = withPeriod(text, this.#period);
    const answer = await runQuery(this.#client, {
      sql,
      rows: MAX_SQL_ROWS,
      seconds: MAX_SQL_SECONDS,
      ...(sample === undefined ? {} : { sample }),
    });
    if (answer === null) throw new StenoError('QUERY_CANCELLED');
    return { sql, answer };
  }

  async #recordings({ columns, rows }: SqlAnswered): Promise<readonly VerifiedSession[]> {
    const at = columns.findIndex(({ name }) => name === 'session');
    const { KeyframeCheck } = await import('#recordings/render/keyframe-check.js');
    const verifier = await openVerifier(this.#client.profile.recording_ca, (header) => new KeyframeCheck(header));
    const done: VerifiedSession[] = [];
    for (const row of rows) {
      const session = String(row[at]);
      this.#note(session);
      try {
        const bytes = await this.#download(session);
        const verdict = verifier(bytes);
        this.#write(`recordings/${session}.cast.zst`, bytes);
        done.push(
          verdict.ok
            ? { session, verdict: 'verified', head: verdict.checkpoint.head, detail: '' }
            : { session, verdict: verdict.code, head: '', detail: verdict.detail },
        );
      } catch (error) {
        if (!(error instanceof StenoError)) throw error;
        done.push({ session, verdict: error.code, head: '', detail: error.detail ?? '' });
      }
    }
    return done;
  }

  async #download(session: string): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    const stream = await this.#client.stream(`/api/sessions/${session}/export?format=cast.zst`);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_RECORDING_BYTES) {
        stream.destroy();
        throw new StenoError('TOO_LARGE', session);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #write(path: string, content: string | Uint8Array): void {
    const file = join(this.#folder, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, content, { mode: 0o600 });
    const bytes = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
    this.#files.push({ path, bytes, sha256: createHash('sha256').update(content).digest('hex') });
  }

  #note(what: string): void {
    const { err } = standardOutput;
    if (err.isTTY === true) err.write(`\r\u001b[K${what}`);
  }
}
