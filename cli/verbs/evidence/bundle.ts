/**
 * `steno export --bundle`: a folder that says what happened in a session, who it was and what allowed it, and that is checked with stock tools
 * (docs/decisions/0123-evidence-bundle.md). Files are streamed to disk and hashed from there; the manifest is written last, so a folder
 * without one is unfinished. Tested in bundle.test.ts and test/end-to-end/evidence.test.ts.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listAudit } from '#schemas/api/recordings/audit.js';
import { showSession } from '#schemas/api/recordings/sessions.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { signMessage } from '#runtime/ssh/sshsig.js';
import type { Client } from '../../client/client.js';
import type { Home } from '../../client/home.js';
import { version } from '../../machine/version.js';
import { escapedJson, standardOutput } from '../../terminal/output.js';
import { progress } from '../../terminal/progress.js';
import { BUNDLE_NAMESPACE, MANIFEST, SIGNATURE, manifestText } from './bundle-manifest.js';
import type { BundleManifest } from './bundle-manifest.js';
import { composePage, unsignedOf } from './page.js';
import { fetchFiles } from './session-files.js';
import type { FetchedFiles } from './session-files.js';

/** The installation's verifier, relative to `dist/cli/verbs/evidence/` and to the sources. */
const verifier = ['../../../../docs/verify.py', '../../../docs/verify.py']
  .map((place) => fileURLToPath(new URL(place, import.meta.url)))
  .find((file) => existsSync(file));

/** Rows of the audit log about the session. */
const MAX_AUDIT = 2_000;

export interface Bundle {
  readonly manifest: BundleManifest;
  readonly fetched: FetchedFiles;
}

export async function writeBundle(client: Client, home: Home, id: string, folder: string): Promise<Bundle> {
  if (existsSync(folder) && (!statSync(folder).isDirectory() || readdirSync(folder).length > 0))
    throw new StenoError('USAGE', `${folder} is not a new or empty folder`);
  const info = await call(client.viewer, showSession, { params: { id } });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const missing: string[] = [];
  const write = (path: string, content: string): void => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, content, { mode: 0o600 });
  };
  const paths = { recording: join(folder, 'recording.cast.zst'), log: join(folder, 'events.zst') };
  const fetched = await fetchFiles(client, id, paths, () => progress(standardOutput, 'Exporting', info.stored_bytes));
  const header = fetched.recording?.header ?? null;
  const unsigned = await unsignedOf(client, header, info.requests);
  missing.push(...unsigned.notes);
  if (fetched.recording?.ok !== true)
    missing.push('The recording is not whole, or too large to be looked at here: run the check of README.txt.');

  write('session.json', `${escapedJson(info, 1)}\n`);
  write('identity.json', `${escapedJson(identityOf(info, header, fetched.recording, await issueOf(client, header)), 1)}\n`);
  for (const request of unsigned.requests) write(`requests/${plain(request['id'])}.json`, `${escapedJson(request, 1)}\n`);
  for (const role of unsigned.roles) write(`roles/${plain(role['name'])}.json`, `${escapedJson(role, 1)}\n`);
  await writeAudit(client, id, write, missing);
  write('recording-ca.pub', client.profile.recording_ca.map((line) => `${line}\n`).join(''));
  if (verifier === undefined) missing.push('verify.py is not here: this installation has none.');
  else await copyFile(verifier, join(folder, 'verify.py'));
  try {
    await composePage(
      client,
      { session: id, stored: info.stored_bytes, paths, hasLog: fetched.hasLog, unsigned },
      join(folder, 'session.html'),
    );
  } catch (error) {
    if (!(error instanceof StenoError) || error.code !== 'TOO_LARGE') throw error;
    missing.push('session.html is not here: the recording is too large for one page.');
  }
  write('README.txt', readme(info, client.profile.user, missing));

  const certificate = parseAuthorizedLine(readFileSync(home.certificate, 'utf8')).blob;
  const { keyId, principals } = parseCertificate(certificate);
  const manifest: BundleManifest = {
    ...{ version: 1, kind: 'steno-bundle', steno: version, session: id, made_at: Date.now(), made_by: keyId },
    ...{ principal: principals[0] ?? '', cluster: client.profile.cluster ?? '', missing: missing.map((text) => text.slice(0, 1024)) },
    files: await hashed(folder, filesIn(folder)),
  };
  const text = manifestText(manifest);
  const key = loadPrivateKey(readFileSync(home.key, 'utf8'));
  write(SIGNATURE, signMessage(key, Buffer.from(text), { namespace: BUNDLE_NAMESPACE, certificate }));
  write(MANIFEST, text);
  return { manifest, fetched };
}

/** The user's identity and credentials, as the gateway signed them in the recording's header. */
function identityOf(info: SessionInfo, header: RecordingHeader | null, verdict: Verdict | null, issued: object | null): object {
  if (header === null)
    return { signed: false, note: 'The head of the recording was not read.', user: info.user, login: info.login, node: info.node };
  const { steno } = header;
  const { user, roles, login, node, source_address, client_version, certificate_serial, certificate_key_id, requests, gateway, counter } =
    steno;
  return {
    note: 'Copied from the head of recording.cast.zst, where the gateway signed it, but for `issued`, the row of the audit log about the login that issued the certificate. The certificate of the recording key is in that file.',
    ...{ user, roles, login, node, source_address, client_version },
    certificate: { serial: certificate_serial, key_id: certificate_key_id, issued },
    ...{ requests, gateway, counter, started_at: steno.started_at },
    checkpoint: verdict?.ok === true ? verdict.checkpoint : null,
  };
}

/** The audit row of the login that issued the user's certificate; null: not found, or not for whoever exports. */
async function issueOf(client: Client, header: RecordingHeader | null): Promise<object | null> {
  if (header === null) return null;
  const { user, certificate_serial: serial, started_at: until } = header.steno;
  try {
    const { rows } = await call(client.viewer, listAudit, { query: { event: 'user.login', actor: user, to: until + 1, limit: 200 } });
    return rows.find(({ data }) => serialsOf(data).includes(serial)) ?? null;
  } catch (error) {
    if (error instanceof StenoError && error.code === 'ACCESS_DENIED') return null;
    throw error;
  }
}

function serialsOf(data: string): readonly unknown[] {
  const { serials } = JSON.parse(data) as { readonly serials?: unknown };
  return Array.isArray(serials) ? serials : [];
}

async function writeAudit(client: Client, id: string, write: (path: string, content: string) => void, missing: string[]): Promise<void> {
  const lines: string[] = [];
  try {
    let before: string | undefined;
    do {
      const { rows, next } = await call(client.viewer, listAudit, { query: { session: id, limit: 200, before } });
      lines.push(...rows.map((row) => `${escapedJson(row)}\n`));
      before = next ?? undefined;
    } while (before !== undefined && lines.length < MAX_AUDIT);
    if (before !== undefined) missing.push(`audit.jsonl has the newest ${lines.length} rows about the session; there are more.`);
  } catch (error) {
    if (!(error instanceof StenoError) || error.code !== 'ACCESS_DENIED') throw error;
    missing.push(`audit.jsonl is not here: ${error.entry.message}.`);
    return;
  }
  write('audit.jsonl', lines.reverse().join(''));
}

/** Names of roles and ids of requests make file names: nothing else of them does. */
function plain(name: unknown): string {
  const text = typeof name === 'string' ? name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 100) : '';
  return /^[A-Za-z0-9]/.test(text) ? text : `x${text}`;
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? readdirSync(join(folder, entry.name)).map((name) => `${entry.name}/${name}`) : [entry.name]))
    .sort();
}

async function hashed(folder: string, paths: readonly string[]): Promise<BundleManifest['files']> {
  const files: BundleManifest['files'] = [];
  for (const path of paths) files.push({ path, ...(await hashOfFile(join(folder, path))) });
  return files;
}

export async function hashOfFile(file: string): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

function readme({ id }: SessionInfo, user: string, missing: readonly string[]): string {
  return `Evidence of Steno about session ${id}, made by ${user}.

recording.cast.zst   the recording; "zstd -dc" shows it, any player of asciicast v3 plays it
events.zst           the signed log of kernel events, where the session has one
session.html         both in one page that replays and verifies itself, offline
identity.json        who it was, by which certificate, roles and access requests
requests/  roles/    what was asked for and approved; what the roles say, as they stood when this was made
session.json         what Steno lists of the session
audit.jsonl          what the audit log says about it, oldest first
recording-ca.pub     the key that certifies recording keys, as whoever made this knew it
verify.py            checks all of it, with stock python3, zstd and ssh-keygen
manifest.json        every file with its SHA-256; manifest.json.sig signs it

Check it with keys that you have from elsewhere, not with those in here:

  python3 verify.py . RECORDING_CA.pub USER_CA.pub     or     steno verify . --ca RECORDING_CA.pub --user-ca USER_CA.pub

"steno ca export recording" and "steno ca export user" print them. A program that came with the evidence may lie: whoever distrusts the hand
that this came from takes verify.py from elsewhere too. What the gateway signed are the recording and the event log. Everything else is
under the word of whoever signed the manifest.
${missing.length === 0 ? '' : `\nNot in here, or not as one would wish:\n${missing.map((text) => `  ${text}\n`).join('')}`}`;
}
